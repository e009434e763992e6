"""A referência, trecho por trecho: o que ela mostra funciona como está escrito.

Os blocos abaixo são os do "Módulo Python API" e dos "Níveis de Teste", com o ``import torch`` que eles
supõem e as fixtures que os cercam: um modelo pequeno com o nome que usam. Cada parte nova do projeto
acrescenta aqui as suas linhas.
"""

import inspect
import os
import tempfile
import textwrap
import time
import unittest

import pytest
import torch

import main
from src.chat.luna_chat import LunaChat
from src.config.config import Config, ModelConfig
from src.models.luna_model import LunaModel
from src.models.tokenizer import LunaTokenizer
from src.training.trainer import LunaTrainer
from tests.cli_support import restored_globals
from tests.conftest import DIALOGUES, SENTENCES, tiny_config

INITIALISATION = """
from src.config.config import Config
from src.models.luna_model import LunaModel
from src.models.tokenizer import LunaTokenizer

# Carregar configuração
config = Config()

# Carregar modelo pré-treinado
model = LunaModel.from_pretrained("models/MeuLunaGPT", config.model)

# Carregar tokenizador
tokenizer = LunaTokenizer(config)
tokenizer.load("models/MeuLunaGPT/tokenizer")
"""

GENERATION = """
# Preparar entrada
texto = "Qual a importância da inteligência artificial?"
tokens = tokenizer.encode(texto)
input_ids = torch.tensor([tokens], device=model.device)

# Gerar resposta
output_ids = model.generate(
    input_ids, 
    max_length=200, 
    num_beams=4, 
    no_repeat_ngram_size=3,
    temperature=0.7
)

# Decodificar resposta
resposta = tokenizer.decode(output_ids[0].tolist())
print(resposta)
"""

TRAINING = """
from src.training.trainer import LunaTrainer

# Inicializar trainer
trainer = LunaTrainer("MeuLunaGPT", config)

# Carregar dados
train_data = ["Exemplo de texto para treino 1", "Exemplo de texto para treino 2"]
valid_data = ["Exemplo de texto para validação"]

# Treinar com curriculum learning
stages = [
    {"context_length": 64, "batch_size": 8, "epochs": 1},
    {"context_length": 128, "batch_size": 4, "epochs": 2},
]

for i, stage in enumerate(stages):
    print(f"Estágio {i+1}/{len(stages)}")
    trainer.train_supervised(
        train_data, 
        valid_data, 
        num_train_epochs=stage["epochs"],
        per_device_train_batch_size=stage["batch_size"],
        max_position_embeddings=stage["context_length"]
    )
"""

DOMAIN_WORKFLOW = """
from src.config.config import Config
from src.training.trainer import LunaTrainer
import glob

# Carregar dados
train_files = glob.glob('data/train/dominio/*.txt')
train_data = []
for file in train_files:
    with open(file, 'r', encoding='utf-8') as f:
        train_data.append(f.read())

# Inicializar trainer
config = Config()
trainer = LunaTrainer('LunaDominio', config)

# Definir estágios do curriculum
stages = [
    {'context_length': 64, 'batch_size': 8, 'epochs': 1},
    {'context_length': 128, 'batch_size': 4, 'epochs': 2},
    {'context_length': 256, 'batch_size': 2, 'epochs': 2}
]

# Treinar com curriculum
for i, stage in enumerate(stages):
    print(f'Estágio {i+1}/{len(stages)}')
    trainer.train_supervised(train_data, None, 
                            num_train_epochs=stage['epochs'],
                            per_device_train_batch_size=stage['batch_size'])
"""


BENCHMARK = """
def benchmark_inference_speed():
    \"\"\"Mede velocidade de inferência em diferentes condições.\"\"\"
    config = Config()
    model = LunaModel.from_pretrained("models/benchmark")
    tokenizer = LunaTokenizer(config)
    tokenizer.load("models/benchmark/tokenizer")
    
    # Testar diferentes tamanhos de input
    for seq_len in [32, 64, 128, 256]:
        input_ids = torch.randint(0, 1000, (1, seq_len))
        
        # Medir tempo de inferência
        start_time = time.time()
        model.generate(input_ids, max_length=seq_len + 20)
        inference_time = time.time() - start_time
        
        print(f"Seq len: {seq_len}, Tempo: {inference_time:.4f}s")
"""


def put_model(folder, name):
    """Um modelo pequeno, de contexto 256, em ``models/<name>`` dentro de ``folder``."""
    config = Config()
    config.tokenizer.vocab_size = 400
    tokenizer = LunaTokenizer(config)
    path = os.path.join(folder, "models", name)
    tokenizer.train_and_save(SENTENCES * 3, os.path.join(path, "tokenizer"))
    switches = {"use_state_space": True, "use_moe": True, "n_positions": 256}
    LunaModel.from_scratch(tiny_config(tokenizer, **switches)).save(path)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Uma pasta de trabalho como a de quem segue a referência."""
    monkeypatch.chdir(tmp_path)
    put_model(tmp_path, "MeuLunaGPT")
    return tmp_path


def test_python_api_initialisation_and_generation_run_as_printed(workplace, capsys):
    names = {"torch": torch}
    exec(INITIALISATION, names)
    exec(GENERATION, names)
    assert names["resposta"].startswith(names["texto"])
    assert names["output_ids"].shape[1] <= 200
    assert names["resposta"] in capsys.readouterr().out


def test_python_api_training_runs_as_printed(workplace, capsys):
    names = {"torch": torch}
    exec(INITIALISATION, names)
    before = names["model"].state_dict()
    exec(TRAINING, names)
    after = LunaModel.from_pretrained("models/MeuLunaGPT").state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert "Estágio 2/2" in capsys.readouterr().out


def test_new_domain_workflow_runs_as_printed(workplace, capsys):
    os.makedirs("data/train/dominio")
    for index, text in enumerate(SENTENCES[:3] + DIALOGUES):
        with open(f"data/train/dominio/{index}.txt", "w", encoding="utf-8") as stream:
            stream.write(text)
    put_model(workplace, "LunaDominio")
    exec(DOMAIN_WORKFLOW, {})
    assert "Estágio 3/3" in capsys.readouterr().out


def test_benchmark_runs_as_printed_after_create(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with restored_globals():
        assert main.main(["create", "--name", "benchmark", "--quiet"]) == 0
    names = {"torch": torch, "time": time, "Config": Config}
    names |= {"LunaModel": LunaModel, "LunaTokenizer": LunaTokenizer}
    exec(BENCHMARK, names)
    names["benchmark_inference_speed"]()
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Seq len: {n}" for n in (32, 64, 128, 256)]


class TestReferenceLevels(unittest.TestCase):
    """Os exemplos de "Níveis de Teste", como estão escritos, com as suas fixtures."""

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.test_dir = self.temporary.name
        self.test_texts = SENTENCES * 2
        self.config = Config()
        self.config.tokenizer.vocab_size = 400
        self.config.paths.models_dir = os.path.join(self.test_dir, "models")
        self.config.chat.min_new_tokens = 24  # é daqui que vem o tamanho mínimo da resposta
        self.config.chat.max_new_tokens = 32
        self.config.chat.temperature = 0.0
        put_model(self.test_dir, "test_model")
        tokenizer = LunaTokenizer(self.config)
        tokenizer.load(os.path.join(self.test_dir, "models", "test_model", "tokenizer"))
        switches = {"use_state_space": True, "use_moe": True, "n_positions": 256}
        self.config.model = tiny_config(tokenizer, **switches)

    def test_luna_model_with_components(self):
        """Teste da integração dos componentes na LunaModel"""
        model_config = ModelConfig(use_state_space=True, use_moe=True)
        model = LunaModel.from_scratch(model_config)
        self.assertIsNotNone(model.moe_blocks)

        # Verificar se o modelo salva e carrega corretamente
        with tempfile.TemporaryDirectory() as tmpdirname:
            model.save(tmpdirname)
            loaded_model = LunaModel.from_pretrained(tmpdirname, model_config)
            self.assertIsNotNone(loaded_model.moe_blocks)
        self.assertEqual(len(loaded_model.moe_blocks), 6)
        self.assertEqual(len(loaded_model.state_space_layers), 6)

    def test_end_to_end_with_advanced_components(self):
        """Teste completo do pipeline com componentes arquiteturais avançados"""
        # Criar tokenizer
        tokenizer = LunaTokenizer(self.config)
        tokenizer.train_and_save(self.test_texts, os.path.join(self.test_dir, "tokenizer"))

        # Criar modelo
        model = LunaModel.from_scratch(self.config.model)
        model_path = os.path.join(self.test_dir, "model")
        model.save(model_path)

        # Treinar modelo
        trainer = LunaTrainer("test_model", self.config)
        trainer.train_supervised(self.test_texts, None, num_train_epochs=5)

        # Carregar modelo treinado
        loaded_model = LunaModel.from_pretrained(model_path, self.config.model)
        self.assertEqual(loaded_model.config.n_embd, self.config.model.n_embd)

        # Testar geração
        chat = LunaChat("test_model", self.config, persona="tecnico")
        response = chat.generate_response("Olá, como você funciona?")
        self.assertIsNotNone(response)
        self.assertGreater(len(response), 10)


# ---------------------------------------------------------------------- assinaturas e comandos

SIGNATURES = {
    LunaModel.from_scratch: "config use_lightweight",
    LunaModel.from_pretrained: "model_path config",
    LunaModel.save: "self model_dir save_to_wandb run_name",
    LunaModel.forward: "self input_ids attention_mask",
    LunaTokenizer.train_and_save: "self texts save_dir",
    LunaTokenizer.load: "self tokenizer_dir",
    LunaTokenizer.configure_special_tokens: "self",
    LunaTokenizer.encode: "self text",
    LunaTokenizer.decode: "self tokens",
    LunaTokenizer.get_vocab_size: "self",
    LunaTrainer.__init__: "self model_name config device",
    LunaTrainer.train_supervised: "self train_data valid_data",
    LunaTrainer.eval: "self data",
    LunaTrainer.save_checkpoint: "self",
    LunaChat.__init__: "self model_name config persona device mode",
    LunaChat.chat: "self initial_context",
    LunaChat.generate_response: "self prompt history",
    LunaChat.extract_response: "self generated_text",
}


@pytest.mark.parametrize("method", SIGNATURES, ids=lambda method: method.__qualname__)
def test_methods_take_the_arguments_of_the_reference_in_order(method):
    expected = SIGNATURES[method].split()
    assert list(inspect.signature(method).parameters)[: len(expected)] == expected


def test_utility_functions_of_the_reference_exist_with_their_arguments():
    from src.utils.dependency_utils import check_and_install_dependencies
    from src.utils.file_utils import load_data_from_patterns, load_file_based_on_extension
    from src.utils.hardware_utils import (
        detect_hardware,
        get_optimal_device,
        setup_memory_efficient_training,
    )
    from src.utils.logging_utils import setup_logging

    assert list(inspect.signature(load_data_from_patterns).parameters)[:2] == [
        "patterns",
        "auto_split",
    ]
    assert len(inspect.signature(load_file_based_on_extension).parameters) == 1
    assert list(inspect.signature(setup_memory_efficient_training).parameters) == ["config"]
    assert "level" in inspect.signature(setup_logging).parameters
    profile = detect_hardware()
    fields = "cpu_count cpu_threads memory_total has_cuda cuda_devices has_mps system_type".split()
    assert all(hasattr(profile, name) for name in fields)
    assert get_optimal_device() in ("cpu", "cuda", "mps")
    assert check_and_install_dependencies(install=False) is not None


COMMANDS = """
create --name MeuLunaGPT
create --name LunaEspecialista --train_data dados/medicina/*.txt artigos/saude/*.pdf
train --model MeuLunaGPT --epochs 3
train --model MeuLunaGPT --lightweight --device cpu --use_wandb
train --model MeuLunaGPT --train_data a.txt --valid_data b.txt
chat --model MeuLunaGPT
chat --model MeuLunaGPT --persona tecnico --context texto
chat --model MeuLunaGPT --lightweight --device cpu
test
test --minimal
"""


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines())
def test_command_lines_of_the_reference_are_accepted(line):
    args = main.build_parser().parse_args(line.split())
    assert args.command == line.split()[0]


def test_hyphen_spelling_is_the_same_option():
    parser = main.build_parser()
    one = parser.parse_args(["train", "--model", "X", "--train-data", "a", "--use-wandb"])
    two = parser.parse_args(["train", "--model", "X", "--train_data", "a", "--use_wandb"])
    assert one == two


def test_special_tokens_of_the_reference_are_in_the_vocabulary(tokenizer):
    for token in "<|user|> <|assistant|> <|system|> <|thinking|> <|proactive|>".split():
        assert len(tokenizer.encode(token, allow_special=True)) == 1
        assert len(tokenizer.encode(token)) > 1


def test_snippets_here_are_whole():
    for snippet in (INITIALISATION, GENERATION, TRAINING, DOMAIN_WORKFLOW, BENCHMARK):
        compile(textwrap.dedent(snippet), "referencia", "exec")
