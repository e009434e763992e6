"""O treino: que tokens são aprendidos, como se empacota, e o que o treinador promete."""

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerCallback

from src.config.personas import PERSONAS
from src.models.luna_model import LunaModel
from src.training import examples
from src.training.examples import (
    Example,
    build_examples,
    chat_windows,
    parse_text,
    text_windows,
    with_persona,
)
from src.training.packing import IGNORED, PackedDataset, best_fit, row_length
from src.training.summary import TrainingSummary, trust_in_words
from src.training.trainer import LunaTrainer
from src.utils.errors import LunaError, ModelNotFoundError, NoDataError, UsageError
from src.utils.text_formats import parse_dialogue
from tests.conftest import DIALOGUES, SENTENCES, make_model, tiny_config

QUICK = {"num_train_epochs": 2, "per_device_train_batch_size": 2, "learning_rate": 2e-3}


# ---------------------------------------------------------------------- exemplos


def test_plain_text_learns_every_token_once_across_windows():
    ids = list(range(10, 40))
    windows = text_windows(ids, eos_id=1, context=8)
    learned = [t for w in windows for t, learn in zip(w.ids, w.learn) if learn]
    assert learned == [*ids, 1]
    assert all(len(w.ids) <= 8 for w in windows) and windows[0].ids[0] == 1


def test_texts_are_tokenized_in_blocks_and_repeated_tokens_are_one_object(tokenizer, monkeypatch):
    texts = [f"{SENTENCES[n % 8]} {n}" for n in range(40)]
    whole, sizes, real = build_examples(texts, tokenizer, 16), [], tokenizer.encode_batch

    def spied(block):
        sizes.append(sum(map(len, block)))
        return real(block)

    monkeypatch.setattr(tokenizer, "encode_batch", spied)
    monkeypatch.setattr(examples, "BLOCK_CHARS", 200)
    found = build_examples(texts, tokenizer, 16)
    assert found == whole and sum(sizes) == sum(map(len, texts))
    assert len(sizes) > 5 and max(sizes) < 300
    assert len({id(token) for e in found for token in e.ids}) <= len(tokenizer)
    assert len({id(e.learn) for e in found}) <= 16


def test_dialogue_learns_only_the_answers_and_their_end(tokenizer):
    messages = [
        {"role": "system", "content": "Seja breve."},
        {"role": "user", "content": "Oi, tudo bem?"},
        {"role": "assistant", "content": "Tudo ótimo!"},
        {"role": "user", "content": "Qual é o seu nome?"},
        {"role": "assistant", "content": "Sou a Luna."},
    ]
    (example,) = chat_windows(messages, tokenizer, context=200)
    learned = [t for t, learn in zip(example.ids, example.learn) if learn]
    first, second = tokenizer.encode("Tudo ótimo!"), tokenizer.encode("Sou a Luna.")
    assert learned == [*first, tokenizer.eos_id, *second, tokenizer.eos_id]
    assert example.ids == tokenizer.encode_chat(messages)


def test_long_conversation_is_cut_at_whole_exchanges_each_with_its_system(tokenizer):
    exchange = [
        {"role": "user", "content": "Que horas parte o trem?"},
        {"role": "assistant", "content": "O trem parte às dez e meia."},
    ]
    system = {"role": "system", "content": "Seja breve."}
    whole = len(tokenizer.encode_chat([system, *exchange]))
    windows = chat_windows([system, *exchange * 5], tokenizer, context=whole + 3)
    assert len(windows) == 5
    assert all(w.ids == tokenizer.encode_chat([system, *exchange]) for w in windows)


@pytest.mark.parametrize("question,answer", [("Oi", "água " * 200), ("água " * 200, "Sim, claro.")])
def test_exchange_larger_than_the_context_keeps_question_end_and_answer(
    tokenizer, question, answer, caplog
):
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    (example,) = chat_windows(messages, tokenizer, context=32)
    whole, mask = tokenizer.encode_chat(messages, return_assistant_mask=True)
    reply = [t for t, learn in zip(whole, mask) if learn]
    learned = [t for t, learn in zip(example.ids, example.learn) if learn]
    assert len(example.ids) == 32 and example.shortened
    assert learned == reply[: len(learned)] and len(learned) == min(len(reply), 28)
    assert tokenizer.assistant_id in example.ids
    build_examples([f"Usuário: {question}\nLuna: {answer}"], tokenizer, 32)
    assert "1 trocas não cabem no contexto de 32" in caplog.text


def test_conversation_without_persona_gets_one_of_all_always_the_same():
    seen = set()
    for number in range(60):
        messages = [{"role": "user", "content": f"Pergunta {number}"}]
        dressed = with_persona(messages, None)
        assert dressed == with_persona(messages, None)
        seen.add(dressed[0]["content"] if dressed[0]["role"] == "system" else None)
    assert seen == {None, *(p.system_prompt for p in PERSONAS.values())}


def test_declared_persona_and_own_system_are_respected():
    user = {"role": "user", "content": "Oi"}
    assert with_persona([user], "formal")[0]["content"] == PERSONAS["formal"].system_prompt
    own = [{"role": "system", "content": "Meu sistema"}, user]
    assert with_persona(own, "formal") == own


def test_texts_dialogues_and_instructions_given_as_strings_are_recognised():
    (talk,) = parse_text(DIALOGUES[0])
    assert [m["role"] for m in talk.messages] == ["user", "assistant"] * 2
    (order,) = parse_text("[INSTRUÇÃO] Some 1 e 1.\n\n[RESPOSTA] Dois.")
    assert order.messages[1]["content"] == "Dois."
    (plain,) = parse_text("Um texto qualquer.")
    assert plain.messages is None and plain == "Um texto qualquer."
    (fact,) = parse_text("[TÍTULO] Água\n\n[CONTEÚDO] É um líquido.")
    assert fact.messages is None and "líquido" in fact


def test_records_given_to_the_api_are_read_like_jsonl():
    (talk,) = parse_text({"pergunta": "Oi?", "resposta": "Olá."})
    assert [m["content"] for m in talk.messages] == ["Oi?", "Olá."]


def test_loaded_documents_are_taken_as_they_are():
    from src.utils.documents import LoadReport

    (talk,) = parse_dialogue(DIALOGUES[1].split("\n"), "a.txt", LoadReport())
    assert parse_text(talk) == [talk]


def test_no_learnable_token_is_an_error(tokenizer):
    with pytest.raises(NoDataError, match="Luna:"):
        build_examples([""], tokenizer, 32)


# ---------------------------------------------------------------------- empacotamento


@given(st.lists(st.integers(1, 16), max_size=60))
def test_packing_uses_each_item_once_and_never_overflows(lengths):
    rows = best_fit(lengths, 16)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 16 for row in rows)


def test_best_fit_fills_the_tightest_gap():
    assert best_fit([9, 6, 4, 1], 10) == [[0, 3], [1, 2]]


def test_packed_row_has_exact_ids_labels_and_positions():
    examples = [Example([5, 6, 7], [False, True, True]), Example([8, 9], [False, False])]
    dataset = PackedDataset(examples, length=7, fill_id=1)
    row = dataset[0]
    assert row["input_ids"].tolist() == [5, 6, 7, 8, 9, 1, 1]
    assert row["labels"].tolist() == [IGNORED, 6, 7, IGNORED, IGNORED, IGNORED, IGNORED]
    assert row["position_ids"].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert dataset.tokens == 5 and dataset.learned == 2
    assert dataset.fill_fraction == pytest.approx(5 / 7)


def test_rows_are_never_longer_than_all_the_data():
    examples = [Example([5, 6, 7], [False, True, True])]
    assert row_length(examples, context=64) == 3
    assert row_length(examples * 100, context=64) == 64


def test_packed_loss_equals_the_loss_of_the_documents_alone(tokenizer):
    model = make_model(tiny_config(tokenizer, use_state_space=True, use_moe=True))
    examples = build_examples(SENTENCES[:3], tokenizer, 64)
    row = PackedDataset(examples, 64, tokenizer.eos_id)[0]
    with torch.no_grad():
        packed = model(**{k: v.unsqueeze(0) for k, v in row.items()}).loss
        total = 0.0
        for example in examples:
            ids = torch.tensor([example.ids])
            total += float(model(ids, labels=ids).loss) * example.learned
    assert float(packed) == pytest.approx(total / sum(e.learned for e in examples), abs=1e-5)


# ---------------------------------------------------------------------- o treinador


def test_training_lowers_validation_bits_per_byte_and_saves(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    before = trainer.eval(SENTENCES)
    summary = trainer.train_supervised(
        SENTENCES * 2, SENTENCES, **(QUICK | {"num_train_epochs": 12})
    )
    assert summary.before.bits_per_byte == pytest.approx(before.bits_per_byte, rel=1e-5)
    assert summary.bits_per_byte < before.bits_per_byte - 0.5
    again = LunaTrainer(saved_model, config, "cpu").eval(SENTENCES)
    assert again.bits_per_byte == pytest.approx(summary.bits_per_byte, rel=1e-5)
    folder = config.paths.model_dir(saved_model)
    assert json.loads((folder / "training" / "summary.json").read_text("utf-8"))["steps"] > 0
    lines = (folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert any("loss" in json.loads(line) for line in lines)
    card = (folder / "model_card.md").read_text("utf-8")
    assert "bits por byte" in card and "chat --model Teste" in card
    assert not list(folder.glob("**/*.bin")) and not list(folder.glob("**/*.pt"))


def test_a_single_step_already_learns(config, saved_model):
    """O aquecimento não pode gastar, à taxa zero, o único passo de um treino."""
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train_supervised(SENTENCES, max_steps=1)
    assert any(not torch.equal(before[n], p) for n, p in trainer.model.named_parameters())


def test_evaluation_equals_a_direct_computation(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    result = trainer.eval(SENTENCES[:2])
    nats = tokens = 0
    for text in SENTENCES[:2]:
        ids = torch.tensor([[1, *trainer.tokenizer.encode(text), 1]])
        ids[0, 0] = ids[0, -1] = trainer.tokenizer.eos_id
        with torch.no_grad():
            loss = trainer.model(ids, labels=ids).loss
        nats, tokens = nats + float(loss) * (ids.shape[1] - 1), tokens + ids.shape[1] - 1
    count = sum(len(text.encode("utf-8")) for text in SENTENCES[:2])
    assert result.tokens == tokens and result.bytes == count
    assert result.loss == pytest.approx(nats / tokens, rel=1e-5)
    expected = nats / torch.log(torch.tensor(2.0)).item() / count
    assert result.bits_per_byte == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(config, saved_model, tmp_path):
    folder = config.paths.model_dir(saved_model)
    original = {p.name: p.read_bytes() for p in (folder / "components").iterdir()}
    index = (folder / "model.safetensors.index.json").read_bytes()
    results = []
    for seed in (1, 1, 2):
        for name, content in original.items():
            (folder / "components" / name).write_bytes(content)
        (folder / "model.safetensors.index.json").write_bytes(index)
        trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
        trainer.train_supervised(SENTENCES * 3, seed=seed, max_position_embeddings=16, **QUICK)
        results.append(trainer.model.state_dict()["model.transformer.wte.weight"].clone())
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


class GradientRecorder(TrainerCallback):
    """Guarda os gradientes na hora de cada atualização."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients.append([p.grad.clone() for p in model.parameters()])


def test_one_batch_of_four_has_the_gradient_of_four_of_one(config, tokenizer):
    """Com números de tokens desiguais por linha; MoE desligado, pois o balanço é por lote."""
    folder = config.paths.model_dir("Acum")
    make_model(tiny_config(tokenizer, use_state_space=True)).save(folder)
    tokenizer.save(folder / "tokenizer")
    texts = [SENTENCES[0], SENTENCES[1] + " " + SENTENCES[2], "Oi.", SENTENCES[3]] * 2
    gradients = []
    for batch, accumulation in ((4, 1), (1, 4)):
        recorder = GradientRecorder()
        LunaTrainer("Acum", config, "cpu", show_progress=False).train_supervised(
            texts,
            max_steps=1,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            learning_rate=0.0,
            max_grad_norm=0.0,
            max_position_embeddings=40,
            callbacks=[recorder],
        )
        gradients.append(recorder.gradients[0])
    assert max(float((a - b).abs().max()) for a, b in zip(*gradients)) < 1e-6


def test_router_losses_are_shared_out_across_accumulation():
    model = make_model(tiny_config(use_moe=True)).train()
    ids = torch.randint(3, 300, (2, 10), generator=torch.Generator().manual_seed(0))
    plain = model(ids, labels=ids)
    extra = model.config.balance_weight * plain.balance_loss + model.config.z_weight * plain.z_loss
    counted = model(ids, labels=ids, num_items_in_batch=torch.tensor(36))  # 18 aqui, 18 no outro
    language = float(plain.loss - extra)
    assert float(counted.loss) == pytest.approx((language + float(extra)) / 2, rel=1e-5)
    with torch.no_grad():
        assert float(model.eval()(ids, labels=ids).loss) == pytest.approx(language, rel=1e-4)


class Interrupter(TrainerCallback):
    """Aperta Ctrl-C durante o passo dado."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 == self.step:
            signal.raise_signal(signal.SIGINT)


def test_interrupted_training_saves_what_was_learned(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.train_supervised(
            SENTENCES * 6, callbacks=[Interrupter(2)], max_position_embeddings=32, **QUICK
        )
    assert trainer.last_summary.interrupted and trainer.last_summary.steps == 2
    saved = LunaModel.from_pretrained(config.paths.model_dir(saved_model)).state_dict()
    now = trainer.model.state_dict()
    assert all(torch.equal(saved[name], now[name]) for name in now)


def test_checkpoint_holds_the_current_weights(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    trainer.train_supervised(SENTENCES, **QUICK)
    folder = trainer.save_checkpoint()
    assert folder.name == f"step-{trainer.steps_done}" and trainer.steps_done > 0
    loaded = LunaModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in trainer.model.state_dict().items())


@pytest.mark.parametrize("length", [1, "32", 0])
def test_impossible_context_is_refused(config, saved_model, length):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    with pytest.raises(UsageError, match="de 2 a 64"):
        trainer.train_supervised(SENTENCES, max_position_embeddings=length)


def test_context_beyond_the_models_is_reduced_and_told(config, saved_model, caplog):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    trainer.train_supervised(SENTENCES, max_position_embeddings=128, max_steps=1)
    assert "max_position_embeddings=128" in caplog.text and "usando 64" in caplog.text


def test_unknown_argument_is_named(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    with pytest.raises(UsageError, match="epocas"):
        trainer.train_supervised(SENTENCES, epocas=3)
    with pytest.raises(UsageError, match="não aceito"):
        trainer.train_supervised(SENTENCES, lr_scheduler_type="torto")
    with pytest.raises(UsageError, match="learning_rate"):
        trainer.train_supervised(SENTENCES, learning_rate="rápida")
    with pytest.raises(UsageError, match="valid_data"):
        trainer.train_supervised(SENTENCES, eval_strategy="epoch")
    with pytest.raises(UsageError, match="messages"):
        trainer.train_supervised([{"nada": 1}])
    with pytest.raises(UsageError, match="esperado um texto"):
        trainer.train_supervised([3])


def test_unknown_model_is_told_before_anything_else(config):
    with pytest.raises(ModelNotFoundError, match="Fantasma"):
        LunaTrainer("Fantasma", config)


def test_model_in_use_is_not_trained_twice(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    with trainer.store.lock(saved_model):
        with pytest.raises(LunaError, match="em uso"):
            trainer.train_supervised(SENTENCES, **QUICK)


def test_weights_saved_by_another_run_are_not_overwritten(config, saved_model):
    late = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    first = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    first.train_supervised(SENTENCES, **QUICK)
    first.train_supervised(SENTENCES, **QUICK)  # o próprio pode continuar
    with pytest.raises(LunaError, match="mudou no disco"):
        late.train_supervised(SENTENCES, **QUICK)


def test_trainers_own_checkpoints_stay_out_of_the_exported_model(config, saved_model, tmp_path):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    trainer.train_supervised(SENTENCES, save_strategy="epoch", **QUICK)
    folder = config.paths.model_dir(saved_model)
    assert list((folder / "checkpoints").glob("checkpoint-*"))
    archive = trainer.store.export(saved_model, tmp_path / "modelo.tar.gz")
    assert archive.stat().st_size > 0


def test_lightweight_changes_the_pace_never_the_weights_shape(config, saved_model):
    config.training.lightweight = True
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    shapes = {k: v.shape for k, v in trainer.model.state_dict().items()}
    assert trainer.settings.batch_size == 1 and trainer.settings.gradient_accumulation >= 8
    assert trainer.settings.notes
    summary = trainer.train_supervised(SENTENCES, num_train_epochs=1)
    assert summary.notes == trainer.settings.notes
    assert {k: v.shape for k, v in trainer.model.state_dict().items()} == shapes


def test_trust_is_worded_by_the_figures():
    assert "ainda pequeno demais para responder bem" in trust_in_words(2.6)
    assert "inventa fatos" in trust_in_words(1.5)
    assert "decorou o treino" in trust_in_words(2.6, 0.1)
    assert "--valid_data" in trust_in_words(None)
    assert "Quanto confiar" in "\n".join(TrainingSummary(3, 10, 1.0).lines())


@pytest.mark.slow
def test_two_processes_train_a_step_and_hold_equal_weights(tmp_path, tokenizer):
    """torchrun com 2 processos em CPU; MoE com especialistas ociosos não trava."""
    folder = tmp_path / "models" / "Duplo"
    switches = {"use_state_space": True, "use_moe": True, "num_experts": 8}
    make_model(tiny_config(tokenizer, **switches, emotional_routing=True)).save(folder)
    tokenizer.save(folder / "tokenizer")
    script = tmp_path / "duplo.py"
    script.write_text(
        textwrap.dedent(f"""
            import os, torch
            torch.set_num_threads(1)
            from src.config.config import Config
            from src.training.trainer import LunaTrainer
            config = Config()
            config.paths.models_dir = {str(tmp_path / "models")!r}
            trainer = LunaTrainer("Duplo", config, "cpu", show_progress=False)
            for stage in (16, 24):  # um segundo treino não confunde a gravação do primeiro
                trainer.train_supervised({SENTENCES!r}, max_steps=2, learning_rate=1e-2,
                                         per_device_train_batch_size=1,
                                         max_position_embeddings=stage)
            path = {str(tmp_path)!r} + "/rank" + os.environ["RANK"] + ".pt"
            total = torch.cat([p.detach().double().flatten() for p in trainer.model.parameters()])
            open(path, "w").write(repr([total.sum().item(), (total * total).sum().item()]))
            """),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--master_addr=127.0.0.1", "--master_port=29517", str(script)]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    ranks = [(tmp_path / f"rank{r}.pt").read_text() for r in (0, 1)]
    assert ranks[0] == ranks[1]
    before = make_model(tiny_config(tokenizer, **switches, emotional_routing=True))
    after = LunaModel.from_pretrained(folder)
    assert not torch.equal(
        before.state_dict()["model.transformer.wte.weight"],
        after.state_dict()["model.transformer.wte.weight"],
    )


def test_deepcopied_config_is_independent(config):
    other = copy.deepcopy(config)
    other.training.seed = 7
    assert config.training.seed != 7
