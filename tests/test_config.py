"""A configuração: validada ao nascer, ida e volta em JSON, e leve de importar."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import main
from src.config.config import Config, ModelConfig
from src.config.personas import PERSONAS
from src.config.presets import PRESETS
from src.utils.errors import ConfigError


def test_model_config_alone_has_the_dimensions_of_gpt2_small():
    config = ModelConfig()
    assert (config.hidden_size, config.num_hidden_layers) == (768, 12)
    assert (config.num_attention_heads, config.max_position_embeddings) == (12, 1024)
    switches = ("use_state_space", "use_moe", "use_hypernet", "use_growing")
    assert not any(getattr(config, name) for name in switches)


def test_sections_and_names_of_the_contract_exist():
    config = Config()
    assert config.tokenizer.vocab_size > 0 and config.feedback.path == "feedback.jsonl"
    assert config.paths.models_dir == "models" and config.rag.embedding_dim == 768
    assert isinstance(config.model, ModelConfig) and config.chat.persona in PERSONAS
    assert config.training.seed == 42


def test_json_round_trip_keeps_everything(tmp_path):
    config = Config(model={"size": "nano", "use_hypernet": True}, chat={"temperature": 0.3})
    config.save(tmp_path / "c.json")
    again = Config.from_file(tmp_path / "c.json")
    assert again.to_dict() == config.to_dict()
    assert again.model.use_hypernet and again.chat.temperature == 0.3


def test_older_files_without_newer_fields_load():
    config = Config.from_dict({"chat": {"persona": "formal"}, "training": {"learning_rate": 1}})
    assert config.chat.persona == "formal" and config.chat.max_new_tokens > 0


@pytest.mark.parametrize(
    "values,message",
    [
        ({"chat": {"temperature": -1}}, "chat.temperature=-1: esperado no mínimo"),
        ({"chat": {"top_p": 2.0}}, "no máximo"),
        ({"chat": {"altura": 1}}, "chat.altura: campo desconhecido"),
        ({"cozinha": {}}, "cozinha"),
        ({"training": {"batch_size": "oito"}}, "inteiro"),
        ({"training": {"seed": True}}, "inteiro"),
        ({"rag": {"use_faiss": 1}}, "true ou false"),
        ({"chat": [1]}, "seção chat"),
        ({"model": {"altura": 3}}, "model.altura"),
        ({"model": {"size": "gigante"}}, "nano, mini, small, base"),
        ({"model": {"n_layer": 0}}, "n_layer=0"),
        ([1], "esperado um objeto"),
    ],
)
def test_bad_values_are_named_with_what_was_expected(values, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(values).model


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="não existe"):
        Config.from_file(tmp_path / "nada.json")
    (tmp_path / "torto.json").write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="torto.json"):
        Config.from_file(tmp_path / "torto.json")
    (tmp_path / "ruim.json").write_text('{"chat": {"top_k": -1}}', "utf-8")
    with pytest.raises(ConfigError, match="ruim.json.*top_k"):
        Config.from_file(tmp_path / "ruim.json")
    with pytest.raises(ConfigError, match="gravar"):
        Config().save(tmp_path / "sem" / "pasta.json")


def test_luna_home_anchors_relative_paths_only(monkeypatch, tmp_path):
    monkeypatch.setenv("LUNA_HOME", str(tmp_path))
    elsewhere = str(tmp_path.parent / "dados")
    config = Config(paths={"data_dir": elsewhere})
    assert Path(config.paths.models_dir) == tmp_path / "models"
    assert Path(config.feedback.path) == tmp_path / "feedback.jsonl"
    assert config.paths.data_dir == elsewhere


def test_each_preset_is_a_valid_hybrid():
    for name, preset in PRESETS.items():
        config = ModelConfig.from_preset(name)
        assert config.use_state_space and config.use_moe
        assert config.n_embd == preset.hidden_size and config.n_head == preset.num_attention_heads
    lightweight = ModelConfig.from_preset("base").lightweight()
    assert (lightweight.n_embd, lightweight.n_layer) == (256, 4)
    assert max(lightweight.active_ssm_layers + lightweight.active_moe_layers) < 4


def test_changing_depth_or_width_recomputes_what_depends_on_them():
    config = ModelConfig(n_embd=64, n_layer=6, n_head=4, use_moe=True)
    smaller = config.replaced(n_layer=2, n_embd=32)
    assert smaller.moe_layers == [1] and smaller.expert_size == 128
    assert config.replaced(sparse_top_k=2).expert_size == 128
    assert config.replaced(num_hidden_layers=2, moe_layers=[0]).moe_layers == [0]


def test_config_is_imported_without_torch():
    code = "import sys, src.config.config as c; c.Config(); print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_help_lists_the_personas_sizes_and_devices_that_exist():
    assert main.PERSONA_CHOICES.strip("{}").split(",") == ["tecnico", "casual", "formal"]
    assert set(main.PERSONA_CHOICES.strip("{}").split(",")) == set(PERSONAS)
    assert main.SIZE_CHOICES.strip("{}").split(",") == ["auto", *PRESETS]


def test_config_file_is_plain_json(tmp_path):
    Config().save(tmp_path / "c.json")
    assert set(json.loads((tmp_path / "c.json").read_text("utf-8"))) == {
        *("model", "training", "tokenizer", "rag", "chat", "feedback", "paths")
    }
