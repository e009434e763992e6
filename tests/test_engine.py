"""O motor do treino: a ordem das linhas, o lote em partes, a memória que falta, os NaN, o plano."""

import json
from datetime import datetime

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from src.training import engine
from src.training.batch_callback import DynamicBatchSizeCallback
from src.training.dropout import dropout_for
from src.training.engine import LunaHFTrainer, is_out_of_memory
from src.training.plan import (
    TrainingPlan,
    describe_duration,
    describe_end,
    steps_in,
    total_seconds,
)
from src.training.run_file import read_run_file
from src.training.stream import Position, StreamStage, TrainingStream, row_order, steps_for
from src.training.trainer import LunaTrainer
from src.utils.errors import LunaError, UsageError
from tests.conftest import SENTENCES, make_model, tiny_config

QUICK = {"max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 2e-3}
QUICK |= {"max_position_embeddings": 16}


class Numbers:
    """Linhas que são só o seu número."""

    length, learned = 1, 10

    def __init__(self, count):
        self.count, self.tokens = count, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {"input_ids": torch.tensor([index])}


def drawn(stream):
    return [batch["input_ids"].ravel().tolist() for batch in stream]


# ---------------------------------------------------------------------- a ordem das linhas


def test_every_pass_reads_each_row_once_in_another_order():
    stream = TrainingStream([StreamStage(Numbers(10), steps_for(2, 10, 4), 4)], seed=3)
    rows = sum(drawn(stream), [])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:] and rows[:10] == row_order(3, 0, 0, 10).tolist()
    assert stream.epoch == 2.0 and stream.position.tokens == 20


def test_the_seed_decides_the_order():
    def rows(seed):
        return drawn(TrainingStream([StreamStage(Numbers(50), 5, 10)], seed))

    assert rows(1) == rows(1) != rows(2)


@pytest.mark.parametrize("stop", range(9))
def test_the_position_continues_where_it_stopped(stop):
    def stages():
        return [StreamStage(Numbers(7), 4, 3), StreamStage(Numbers(5), 4, 2)]

    whole = drawn(TrainingStream(stages(), 1))
    first = TrainingStream(stages(), 1)
    before = [batch for _, batch in zip(range(stop), drawn_lazily(first))]
    state = json.loads(json.dumps(first.state_dict()))
    rest = TrainingStream(stages(), 1)
    rest.load_state_dict(state)
    assert before + drawn(rest) == whole


def drawn_lazily(stream):
    for batch in stream:
        yield batch["input_ids"].ravel().tolist()


def test_processes_share_out_the_rows_of_each_global_batch():
    whole = drawn(TrainingStream([StreamStage(Numbers(9), 5, 4)], 1))
    parts = [drawn(TrainingStream([StreamStage(Numbers(9), 5, 4)], 1, r, 2)) for r in (0, 1)]
    for together, one, other in zip(whole, *parts):
        assert sorted(one + other) == sorted(together) and len(one) == len(other) == 2


def test_the_batch_can_change_between_steps_and_stays_a_multiple_of_the_processes():
    stream = TrainingStream([StreamStage(Numbers(40), 3, 4)], 1, world=2)
    sizes = []
    for batch in stream:
        sizes.append(len(batch["input_ids"]) * 2)
        stream.rows_per_step = 7
    assert sizes == [4, 6, 6]


def test_a_position_of_another_curriculum_is_refused():
    stream = TrainingStream([StreamStage(Numbers(4), 1, 1)])
    with pytest.raises(LunaError, match="estágios mudaram"):
        stream.load_state_dict(Position(stage=3).to_dict())
    with pytest.raises(LunaError, match="não é aceita"):
        stream.load_state_dict({"página": 3})


@pytest.mark.parametrize("epochs,rows,batch,steps", [(2, 10, 4, 5), (0.1, 10, 4, 1), (1, 8, 8, 1)])
def test_steps_cover_the_epochs_asked(epochs, rows, batch, steps):
    assert steps_for(epochs, rows, batch) == steps


# ---------------------------------------------------------------------- memória e NaN


def train(config, name, monkeypatch=None, **options):
    trainer = LunaTrainer(name, config, "cpu", show_progress=False)
    summary = trainer.train_supervised(SENTENCES * 4, **(QUICK | options))
    return trainer, summary


def events(trainer, name):
    lines = (trainer.folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record.get("event") == name]


def weights(trainer):
    return torch.cat([p.detach().ravel() for p in trainer.model.parameters()])


def test_out_of_memory_halves_the_parts_and_goes_on_to_the_same_weights(
    config, saved_model, monkeypatch, tmp_path
):
    small, _ = train(
        config, saved_model, per_device_train_batch_size=2, gradient_accumulation_steps=2
    )
    expected = weights(small)
    from tests.conftest import LunaModel, tiny_config  # o modelo de antes

    torch.manual_seed(0)
    LunaModel.from_scratch(tiny_config(small.tokenizer, use_state_space=True, use_moe=True)).save(
        small.folder
    )
    loss, seen = LunaHFTrainer.compute_loss, []

    def crowded(self, model, inputs, *args, **kwargs):
        seen.append(len(inputs["input_ids"]))
        if seen[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return loss(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(LunaHFTrainer, "compute_loss", crowded)
    large, summary = train(config, saved_model)
    assert summary.steps == 4 and seen.count(4) == 1 and len(events(large, "oom")) == 1
    assert torch.allclose(weights(large), expected, atol=1e-6)


def test_out_of_memory_with_one_row_says_what_to_do(config, saved_model, monkeypatch):
    def never(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(LunaHFTrainer, "compute_loss", never)
    with pytest.raises(LunaError, match="mesmo com uma linha por vez"):
        train(config, saved_model)


def test_other_errors_are_not_taken_for_lack_of_memory(config, saved_model, monkeypatch):
    def broken(self, *args, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(LunaHFTrainer, "compute_loss", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        train(config, saved_model)
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9"))


class WeightsAtEachStep(TrainerCallback):
    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.seen.append(torch.cat([p.detach().ravel() for p in model.parameters()]))


def poisoned(steps):
    """``compute_loss`` que dá NaN nas chamadas ``steps``."""
    real, calls = LunaHFTrainer.compute_loss, []

    def compute(self, *args, **kwargs):
        calls.append(1)
        value = real(self, *args, **kwargs)
        return value * float("nan") if len(calls) in steps else value

    return compute


def test_a_loss_that_is_not_a_number_skips_that_step_only(config, saved_model, monkeypatch):
    monkeypatch.setattr(LunaHFTrainer, "compute_loss", poisoned({2}))
    watcher = WeightsAtEachStep()
    trainer, summary = train(config, saved_model, callbacks=[watcher])
    first, second, third, _ = watcher.seen
    assert summary.steps == 4 and torch.equal(first, second) and not torch.equal(second, third)
    assert all(bool(torch.isfinite(w).all()) for w in watcher.seen)
    assert len(events(trainer, "skipped")) == 1


def test_three_in_a_row_stop_with_advice_and_leave_the_model_as_it_was(
    config, saved_model, monkeypatch
):
    folder = config.paths.model_dir(saved_model)
    before = (folder / "components" / "base.safetensors").read_bytes()
    monkeypatch.setattr(LunaHFTrainer, "compute_loss", poisoned({2, 3, 4}))
    with pytest.raises(LunaError, match=r"agora 0.002\).*\"learning_rate\": 0.001.*Sem --resume"):
        train(config, saved_model)
    assert (folder / "components" / "base.safetensors").read_bytes() == before
    assert engine.MAX_SKIPPED == 3
    monkeypatch.undo()
    config.training.learning_rate = 0.001  # o conselho, seguido
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    assert trainer.train_supervised(SENTENCES * 4, max_steps=2).steps == 2
    assert read_run_file(folder).options["arguments"]["learning_rate"] == 0.001


def test_gradient_norm_is_in_the_metrics(config, saved_model):
    trainer, _ = train(config, saved_model, logging_steps=1)
    lines = (trainer.folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    norms = [r["grad_norm"] for r in map(json.loads, lines) if "grad_norm" in r]
    assert len(norms) == 4 and all(norm > 0 for norm in norms)


# ---------------------------------------------------------------------- o lote em partes


def arguments_in(folder):
    return TrainingArguments(output_dir=str(folder), max_steps=1, use_cpu=True, report_to=[])


def gradient_in_parts(micro_rows, folder, observe=None, **switches):
    """O gradiente de um lote de 8 linhas, em partes de ``micro_rows``."""
    arguments = arguments_in(folder)
    stream = TrainingStream([StreamStage(Numbers(8), 1, 8)])
    model = make_model(tiny_config(**switches))
    trainer = LunaHFTrainer(stream, micro_rows, model=model, args=arguments)
    trainer.observe_noise = observe
    ids = torch.randint(3, 300, (8, 12), generator=torch.Generator().manual_seed(1))
    labels = ids.masked_fill(torch.arange(12) < torch.arange(8)[:, None], -100)  # linhas desiguais
    items = (labels != -100).sum()
    trainer.training_step(model, {"input_ids": ids, "labels": labels}, items)
    return torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize(
    "switches",
    [{"use_state_space": True}, {"use_moe": True, "balance_weight": 0.0, "z_weight": 0.0}],
)
def test_one_part_of_eight_rows_and_eight_of_one_give_the_same_gradient(switches, tmp_path):
    whole, parts = (gradient_in_parts(rows, tmp_path, **switches) for rows in (8, 1))
    assert torch.allclose(whole, parts, rtol=1e-4, atol=1e-6)


def test_the_balance_of_the_experts_is_the_exception(tmp_path):
    whole, parts = (gradient_in_parts(rows, tmp_path, use_moe=True) for rows in (8, 1))
    assert not torch.allclose(whole, parts, rtol=1e-4, atol=1e-6)


def test_with_several_gpus_a_process_uses_one_and_says_how_to_use_all(tmp_path, caplog):
    arguments = arguments_in(tmp_path)
    arguments._n_gpu = 4
    stream = TrainingStream([StreamStage(Numbers(8), 1, 8)])
    trainer = LunaHFTrainer(stream, 8, model=make_model(tiny_config()), args=arguments)
    assert trainer.args.n_gpu == 1 and "torchrun --nproc_per_node 4" in caplog.text
    assert not isinstance(trainer._wrap_model(trainer.model), torch.nn.DataParallel)


# ---------------------------------------------------------------------- ruído do gradiente


def test_the_noise_is_seen_in_every_step_even_when_the_batch_fits_in_one_part(tmp_path):
    seen = []
    gradient = gradient_in_parts(64, tmp_path, lambda *numbers: seen.append(numbers))
    assert torch.allclose(gradient, gradient_in_parts(8, tmp_path), rtol=1e-4, atol=1e-6)
    ((_, whole, small_rows, rows),) = seen
    assert (small_rows, rows) == (4, 8) and whole == pytest.approx(float(gradient.square().sum()))


def test_the_probe_is_not_taken_for_steps(config, saved_model):
    """Quantos passos a sondagem dá depende da máquina; o ruído só conta os de verdade."""
    noise = DynamicBatchSizeCallback()
    _, summary = train(config, saved_model, max_minutes=0.02, callbacks=[noise])
    assert noise.observations == summary.steps > 0


# ---------------------------------------------------------------------- otimizador e dropout


class Peek(TrainerCallback):
    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        self.optimizer = optimizer.optimizer


def test_the_optimizer_chosen_is_the_one_used(config, saved_model):
    ours, chosen = Peek(), Peek()
    train(config, saved_model, callbacks=[ours])
    train(config, saved_model, callbacks=[chosen], optim="adamw_torch", max_minutes=0.01)
    assert type(ours.optimizer).__name__ == "MuonAdamW"
    assert type(chosen.optimizer) is torch.optim.AdamW
    assert chosen.optimizer.param_groups[0]["initial_lr"] == QUICK["learning_rate"]


@pytest.mark.parametrize("how", ["argument", "accelerate launch"])
def test_fsdp_is_refused_before_anything_with_what_to_use_instead(
    config, saved_model, monkeypatch, how
):
    options = {"fsdp": "full_shard"} if how == "argument" else {}
    if not options:
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="FSDP.*torchrun"):
        train(config, saved_model, **options)


@pytest.mark.parametrize(
    "options,expected",
    [
        ({"max_steps": -1, "num_train_epochs": 8}, 0.1),
        ({"max_steps": 40, "per_device_train_batch_size": 16}, 0.1),  # umas dez passadas
        ({"max_steps": 2, "num_train_epochs": 30}, 0.0),
        ({"max_minutes": 0.0001, "num_train_epochs": 30}, 0.0),
    ],
)
def test_dropout_follows_the_passes_the_run_really_makes(config, saved_model, options, expected):
    trainer, _ = train(config, saved_model, **options)
    assert read_run_file(trainer.folder).options["dropout"] == expected
    drops = [m.p for m in trainer.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert max(drops) == expected


def test_dropout_by_passes_and_by_choice(config, saved_model):
    assert [dropout_for(n * 100.0, 100) for n in (0, 7.9, 8, 30)] == [0.0, 0.0, 0.1, 0.1]
    config.training.dropout = 0.3
    trainer, _ = train(config, saved_model)
    assert read_run_file(trainer.folder).options["dropout"] == 0.3


def test_a_model_started_from_bigrams_is_only_new_in_its_first_training(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    trainer.model.config.origin = "bigram"
    trainer.train_supervised(SENTENCES * 4, **QUICK)
    again = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    assert again.model.config.origin == "trained"


# ---------------------------------------------------------------------- o plano


def plan(**changes):
    values = {"parameters": 8_231_040, "active_parameters": 5_077_632, "trainable": 8_231_040}
    values |= {"steps": 1200, "tokens": 2_400_000, "data_tokens": 800_000}
    values |= {"tokens_per_second": 3000.0, "memory_gb": 0.84, "seconds": 840.0}
    return TrainingPlan(**(values | changes))


def test_the_plan_is_told_in_plain_words():
    lines = "\n".join(plan().lines(datetime(2026, 1, 1, 10, 0)))
    assert "8.231.040 parâmetros (5.077.632 por token)." in lines
    assert "800.000 tokens, lidos 3,0 vezes: 2.400.000 tokens em 1.200 passos" in lines
    assert "3.000 tokens/s" in lines and "0,8 GB" in lines
    assert "Fim previsto: 10:14 (14 min 0 s)" in lines
    assert "serão treinados" in "\n".join(plan(trainable=1000).lines())


def test_durations_and_hours():
    assert [describe_duration(s) for s in (0.2, 59, 95, 7300)] == [
        "1 s",
        "59 s",
        "1 min 35 s",
        "2 h 1 min",
    ]
    now = datetime(2026, 1, 1, 23, 0)
    assert describe_end(datetime(2026, 1, 2, 1, 5), now) == "02/01 às 01:05"


def test_minutes_become_steps_with_room_for_what_is_not_a_step():
    assert steps_in(1, 1.0) < 60 and steps_in(0.001, 10) == 1
    assert total_seconds(steps_in(10, 0.5), 0.5) <= 600


def test_the_probe_changes_nothing(config, saved_model):
    """Com --max_minutes, que sonda: os mesmos passos dão os mesmos pesos que sem sondar."""
    folder = config.paths.model_dir(saved_model)
    original = {p.name: p.read_bytes() for p in (folder / "components").iterdir()}
    index = (folder / "model.safetensors.index.json").read_bytes()
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    summary = trainer.train_supervised(SENTENCES * 4, **(QUICK | {"max_minutes": 0.02}))
    probed = weights(trainer)
    assert summary.plan is not None and summary.plan.steps == summary.steps
    for name, content in original.items():
        (folder / "components" / name).write_bytes(content)
    (folder / "model.safetensors.index.json").write_bytes(index)
    again = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    again.train_supervised(SENTENCES * 4, **(QUICK | {"max_steps": summary.steps}))
    assert torch.equal(weights(again), probed)


@pytest.mark.parametrize("options", [{"max_minutes": 0}, {"max_minutes": "dez"}, {"lora": 3}])
def test_impossible_requests_are_named(config, saved_model, options):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    (name,) = options
    with pytest.raises(UsageError, match=name):
        trainer.train_supervised(SENTENCES, **options)
