"""Os callbacks: as decisões, sem Trainer; a retomada em qualquer ponto; e tudo junto, com ele."""

import copy
import json
import math
import shutil
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.training.callbacks import (
    CheckpointCallback,
    DynamicBatchSizeCallback,
    EarlyStoppingCallback,
    GrowthCallback,
    LearningRateSchedulerCallback,
    attach,
    callbacks_state,
    load_callbacks_state,
)
from src.training.checkpoint_callback import REMOVING, remove_folder
from src.training.decisions import (
    MAX_SAVE_SHARE,
    NoiseEstimate,
    after_evaluation,
    after_out_of_memory,
    checkpoint_due,
    checkpoints_to_remove,
    next_rows_per_step,
    noise_scale,
    small_batch,
)
from src.training.optim import add_parameters, build_optimizer, parameter_groups
from src.training.schedule import KINDS, RateSchedule, build_scheduler, learning_rate_factor
from src.utils.errors import LunaError, StorageError, UsageError
from tests.conftest import make_model, tiny_config

EVALUATIONS = [3.0, 2.5, 2.51, 2.4, float("nan"), 2.45, 2.41, 2.39, 2.6, 2.6, 2.6, 2.6, 2.0]


def event(callback, name, step, stop=False, evaluate=False, max_steps=1000, **kwargs):
    """Um acontecimento do Trainer, sem Trainer; devolve o TrainerControl."""
    control = TrainerControl(should_training_stop=stop, should_evaluate=evaluate)
    state = TrainerState(global_step=step, max_steps=max_steps)
    getattr(callback, name)(None, state, control, **kwargs)
    return control


def through_json(callback, fresh):
    """Um callback novo com o estado do outro, depois de ir e voltar de um arquivo."""
    fresh.load_state_dict(json.loads(json.dumps(callback.state_dict(), allow_nan=False)))
    return fresh


# ---------------------------------------------------------------------- quando gravar


def test_steps_rule_saves_at_multiples_only_once():
    assert [s for s in range(1, 13) if checkpoint_due(s, 0, 0.0, steps=4)] == [4, 8, 12]
    assert not checkpoint_due(8, 8, 1e9, steps=4, minutes=1)


def test_minutes_rule_waits_and_a_new_best_does_not():
    assert not checkpoint_due(5, 0, 59.0, minutes=1)
    assert checkpoint_due(5, 0, 60.0, minutes=1)
    assert checkpoint_due(5, 0, 0.0, minutes=1, new_best=True)
    assert not checkpoint_due(5, 0, 1e9, steps=4)
    assert not checkpoint_due(5, 0, 1e9, steps=4, new_best=True)


@pytest.mark.parametrize("new_best", [False, True])
@pytest.mark.parametrize("cost", [0.01, 2.0, 30.0])
def test_saving_by_minutes_never_costs_more_than_two_percent(cost, new_best):
    now = last = spent = known = 0.0
    saves = last_step = 0
    for step in range(1, 20_000):
        now += 0.7
        arguments = {"minutes": 0.5, "save_seconds": known, "new_best": new_best}
        if checkpoint_due(step, last_step, now - last, **arguments):
            if saves:  # o custo de cada gravação se paga no intervalo que vem depois dela
                assert spent / now <= MAX_SAVE_SHARE
            now, spent, saves, last_step, known = now + cost, spent + cost, saves + 1, step, cost
            last = now
    assert saves > 5


@settings(deadline=None, max_examples=50)  # sob carga, um exemplo pode demorar
@given(st.sets(st.integers(1, 50)), st.integers(1, 5), st.none() | st.integers(1, 50))
def test_the_last_ones_and_the_best_always_stay(steps, keep, best):
    removed = checkpoints_to_remove(steps, keep, best)
    kept = steps - set(removed)
    assert set(sorted(steps)[-keep:]) <= kept and best not in removed
    assert len(kept - {best}) <= keep and set(removed) <= steps


# ---------------------------------------------------------------------- paciência


def test_patience_counts_since_the_last_improvement_beyond_the_threshold():
    best, waited, history = None, 0, []
    for value in (3.0, 2.95, 2.89, 2.85, math.nan, math.inf, 2.7):
        best, waited = after_evaluation(best, waited, value, threshold=0.1)
        history.append((best, waited))
    expected = [(3.0, 0), (3.0, 1), (2.89, 0), (2.89, 1), (2.89, 2), (2.89, 3), (2.7, 0)]
    assert history == expected
    assert after_evaluation(None, 0, math.nan) == (None, 1)


# ---------------------------------------------------------------------- ruído e lote


def test_noise_scale_solves_the_two_equations_exactly():
    signal, noise = 0.3, 12.0
    estimate = noise_scale(signal + noise / 4, signal + noise / 32, 4, 32)
    assert estimate.signal == pytest.approx(signal) and estimate.noise == pytest.approx(noise)
    assert estimate.rows == pytest.approx(noise / signal)


def test_noise_scale_is_unbiased_even_with_uneven_micro_batches():
    """Gradientes por linha G + ruído: a média das estimativas chega a |G|² e tr(Sigma)."""
    generator = torch.Generator().manual_seed(0)
    true = torch.tensor([0.5, -0.2, 0.1])
    deviation = torch.tensor([1.0, 2.0, 0.5])
    sizes = [6, 1, 1]
    shares = [size / 8 for size in sizes]
    draws = true + deviation * torch.randn(200_000, 8, 3, generator=generator)
    parts = [part.mean(1) * w for part, w in zip(draws.split(sizes, 1), shares)]
    weighted = [part.pow(2).sum(-1).mean().item() for part in parts]
    whole = sum(parts).pow(2).sum(-1).mean().item()
    small_sq, small_rows = small_batch(weighted, 8, shares)
    estimate = noise_scale(small_sq, whole, small_rows, 8)
    assert estimate.signal == pytest.approx(float(true.pow(2).sum()), rel=0.05)
    assert estimate.noise == pytest.approx(float(deviation.pow(2).sum()), rel=0.05)


def test_equal_shares_are_the_default():
    assert small_batch([1.0, 3.0], 8) == small_batch([1.0, 3.0], 8, [0.5, 0.5]) == (8.0, 4.0)


def test_noise_needs_two_sizes_and_survives_hopeless_signals():
    with pytest.raises(LunaError, match="mais de um micro-lote"):
        noise_scale(1.0, 1.0, 8, 8)
    assert NoiseEstimate(-0.1, 5.0).rows == math.inf
    assert NoiseEstimate(0.5, -1.0).rows == 0.0
    average = NoiseEstimate()
    for _ in range(3):  # o começo em zero se cancela na razão
        average = average.averaged(NoiseEstimate(2.0, 30.0), 0.95)
    assert average.rows == pytest.approx(15.0)


@pytest.mark.parametrize(
    "current,noise,expected",
    [(8, 16, 16), (8, 15.9, 8), (8, 4, 8), (8, 3.9, 4), (8, 1e9, 16), (8, math.inf, 16), (8, 0, 4)],
)
def test_batch_doubles_halves_or_stays(current, noise, expected):
    assert next_rows_per_step(current, noise, 1, 64) == expected


def test_batch_respects_its_limits():
    assert next_rows_per_step(8, 1e9, 1, 15) == 8
    assert next_rows_per_step(8, 0, 5, 64) == 8
    assert next_rows_per_step(3, 0, 1, 64) == 3  # 3 não tem metade


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 6), st.floats(0.1, 1e4))
def test_batch_settles_without_going_back_and_forth(power, noise):
    rows = [3 * 2**power]
    for _ in range(20):
        rows.append(next_rows_per_step(rows[-1], noise, 1, 3 * 2**8))
    assert rows[-1] == rows[-2]
    assert rows in (sorted(rows), sorted(rows, reverse=True))


def test_out_of_memory_halves_until_one_row_and_then_advises():
    assert [after_out_of_memory(n) for n in (8, 5, 2)] == [4, 2, 1]
    with pytest.raises(LunaError, match="uma linha por vez.*max_position_embeddings"):
        after_out_of_memory(1)


# ---------------------------------------------------------------------- taxa de aprendizado


def test_wsd_rises_stays_and_falls():
    factors = [learning_rate_factor(s, 10, 2, 0.4, "wsd") for s in range(11)]
    expected = [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert factors == pytest.approx(expected)


def test_the_other_shapes():
    linear = [learning_rate_factor(s, 5, 1, kind="linear") for s in range(6)]
    assert linear == pytest.approx([0.5, 1, 0.75, 0.5, 0.25, 0])
    cosine = [learning_rate_factor(s, 4, 0, kind="cosine") for s in range(5)]
    assert cosine == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])
    constant = [learning_rate_factor(s, 4, 1, kind="constant") for s in range(6)]
    assert constant == [0.5, 1, 1, 1, 1, 1]


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(KINDS), st.integers(1, 200), st.integers(0, 250), st.floats(0, 1), st.data())
def test_no_update_is_spent_at_rate_zero(kind, total, warmup, fraction, data):
    step = data.draw(st.integers(0, total - 1))
    assert 0 < learning_rate_factor(step, total, warmup, fraction, kind) <= 1


def a_scheduler(kind="wsd", total=20, rates=(0.1, 0.02)):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return build_scheduler(torch.optim.SGD(groups), total, 3, 0.5, kind)


def advance(scheduler, steps=1):
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()


def test_scheduler_goes_on_from_json_with_the_planned_end():
    whole, first, other = a_scheduler(), a_scheduler(), a_scheduler("constant", total=999)
    rates = []
    for _ in range(20):
        rates.append(whole.get_last_lr())
        advance(whole)
    advance(first, 7)
    other.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert rates[7] == other.get_last_lr()
    for step in range(8, 20):
        advance(other)
        assert other.get_last_lr() == rates[step]
    assert rates[0] == pytest.approx([0.1 / 4, 0.02 / 4])


@pytest.mark.parametrize(
    "changes", [{"kind": "torta"}, {"total": 0}, {"warmup": -1}, {"decay_fraction": 1.5}]
)
def test_impossible_schedule_is_named(changes):
    with pytest.raises(UsageError, match=f"{next(iter(changes))}="):
        RateSchedule(**({"total": 10} | changes))


# ---------------------------------------------------------------------- EarlyStoppingCallback


def stops(callback, values, first=0):
    """Em que avaliações, das de ``values`` a partir de ``first``, se pediu para parar."""
    found = []
    for number in range(first, len(values)):
        metrics = {"eval_bits_per_byte": values[number]}
        if event(callback, "on_evaluate", number * 10, metrics=metrics).should_training_stop:
            found.append(number)
    return found


@pytest.mark.parametrize("split", range(len(EVALUATIONS)))
def test_early_stopping_decides_alike_wherever_the_history_is_split(split):
    whole, first = EarlyStoppingCallback(patience=4), EarlyStoppingCallback(patience=4)
    expected = stops(whole, EVALUATIONS)
    assert expected == [11]
    found = stops(first, EVALUATIONS[:split])
    second = through_json(first, EarlyStoppingCallback(patience=4))
    assert found + stops(second, EVALUATIONS, split) == expected
    assert second.state_dict() == whole.state_dict()


def test_early_stopping_says_why_and_a_resumed_run_stops_too():
    told = []
    callback = EarlyStoppingCallback(patience=2, threshold=0.1)
    attach([callback], report=lambda name, values: told.append((name, values)))
    assert stops(callback, [2.5, 2.45, 2.41]) == [2]
    assert "não melhorou mais que 0,1000 em 2 avaliações" in callback.stopped_because
    assert "o melhor, 2,5000, foi no passo 0" in callback.stopped_because
    assert told[0][0] == "early_stop" and callback.stopped_because in told[0][1]["message"]
    again = through_json(callback, EarlyStoppingCallback(patience=2))
    assert event(again, "on_train_begin", 30).should_training_stop
    patient = through_json(callback, EarlyStoppingCallback(patience=3))
    assert patient.stopped_because is None
    assert not event(patient, "on_train_begin", 30).should_training_stop


def test_early_stopping_without_its_metric_or_without_evaluations(caplog):
    with pytest.raises(LunaError, match="eval_bits_per_byte.*Há: eval_loss"):
        event(EarlyStoppingCallback(), "on_evaluate", 1, metrics={"eval_loss": 2.0})
    event(EarlyStoppingCallback(), "on_train_end", 1)
    assert "valid_data" in caplog.text
    with pytest.raises(UsageError, match="patience=0"):
        EarlyStoppingCallback(patience=0)


# ---------------------------------------------------------------------- CheckpointCallback


class Disk:
    """Grava pastas ``step-N`` de mentira, guarda o estado que iria nelas, e é o relógio."""

    def __init__(self, folder, cost=0.0):
        self.folder, self.cost, self.now, self.states = folder, cost, 0.0, {}
        self.callback = self.error = None

    def __call__(self):
        self.now += self.cost
        if self.error is not None:
            raise self.error
        step = self.callback.last_saved_step
        self.states[step] = json.dumps(self.callback.state_dict(), allow_nan=False)
        path = self.folder / f"step-{step}"
        path.mkdir()
        (path / "weights").write_text("x")
        return path

    def names(self):
        return sorted((p.name for p in self.folder.iterdir()), key=lambda n: int(n.split("-")[-1]))

    def new(self, **options):
        self.callback = CheckpointCallback(self, clock=lambda: self.now, **options)
        return self.callback


def drive(disk, first, last, seconds=1.0, every=0, bits=None):
    """Passos ``first``..``last`` de um treino de mentira, com avaliação a cada ``every``."""
    for step in range(first, last + 1):
        disk.now += seconds
        evaluates = bool(every) and step % every == 0
        event(disk.callback, "on_step_end", step, evaluate=evaluates)
        if evaluates:
            metrics = {"eval_bits_per_byte": bits(step)}
            event(disk.callback, "on_evaluate", step, metrics=metrics)


def test_checkpoints_keep_the_last_ones_and_the_best(tmp_path):
    disk = Disk(tmp_path)
    event(disk.new(steps=5), "on_train_begin", 0)
    drive(disk, 1, 40, every=10, bits=lambda step: abs(step - 20))
    assert disk.names() == ["step-20", "step-35", "step-40"]
    assert disk.callback.best_step == 20 and disk.callback.last_saved_step == 40


def test_checkpoint_waits_for_the_evaluation_of_its_step(tmp_path):
    disk = Disk(tmp_path)
    event(disk.new(steps=5), "on_train_begin", 0)
    event(disk.callback, "on_step_end", 5, evaluate=True)
    assert disk.names() == []
    event(disk.callback, "on_evaluate", 5, metrics={"eval_bits_per_byte": 2.0})
    assert disk.names() == ["step-5"]
    assert json.loads(disk.states[5])["written"] == [{"step": 5, "bits_per_byte": 2.0}]
    event(disk.callback, "on_step_end", 10, evaluate=True)  # a avaliação não veio
    event(disk.callback, "on_step_end", 11)
    assert disk.names() == ["step-5", "step-11"]


def test_checkpoints_of_others_are_never_removed(tmp_path):
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-999").mkdir()
    disk = Disk(tmp_path)
    event(disk.new(steps=5, keep_last=1), "on_train_begin", 0)
    drive(disk, 1, 20)
    assert disk.names() == ["step-1", "step-20", "step-999"]


def test_minutes_are_stretched_by_the_cost_of_saving(tmp_path):
    disk = Disk(tmp_path, cost=6.0)  # 6 s de gravação pedem 294 s de intervalo
    event(disk.new(minutes=1, keep_last=99), "on_train_begin", 0)
    drive(disk, 1, 1000)
    assert disk.names() == ["step-60", "step-354", "step-648", "step-942"]


def test_best_evaluation_is_saved_when_it_fits_the_cost(tmp_path):
    disk = Disk(tmp_path, cost=1.0)
    event(disk.new(minutes=60, keep_last=1), "on_train_begin", 0)
    drive(disk, 1, 200, every=30, bits=lambda step: 9 - step / 100 if step <= 100 else 8.5)
    assert disk.names() == ["step-90"]  # o de 60 não se pagaria; depois de 90 nenhum é melhor
    assert disk.callback.best_step == 90
    event(disk.callback, "on_train_end", 200)
    event(disk.callback, "on_evaluate", 200, metrics={"eval_bits_per_byte": 0.1})
    assert disk.names() == ["step-90"]  # fora do treino não grava


@pytest.mark.parametrize("split", range(0, 60, 7))
@pytest.mark.parametrize("rhythm", [{"steps": 4}, {"minutes": 0.1}, {"steps": 9, "minutes": 0.1}])
def test_checkpoints_are_the_same_wherever_the_run_is_split(tmp_path, split, rhythm):
    def bits(step):
        return abs(step - 30)

    names = []
    for folder, middle in ((tmp_path / "a", 0), (tmp_path / "b", split)):
        folder.mkdir()
        disk = Disk(folder, cost=0.2)
        event(disk.new(**rhythm), "on_train_begin", 0)
        drive(disk, 1, middle, every=6, bits=bits)
        through_json(disk.callback, disk.new(**rhythm))
        event(disk.callback, "on_train_begin", middle)
        drive(disk, middle + 1, 60, every=6, bits=bits)
        names.append((disk.names(), sorted(disk.states)))
    assert names[0] == names[1]


def test_resuming_from_a_checkpoint_knows_that_checkpoint(tmp_path):
    disk = Disk(tmp_path)
    event(disk.new(steps=5), "on_train_begin", 0)
    drive(disk, 1, 10)
    disk.new(steps=5).load_state_dict(json.loads(disk.states[10]))
    event(disk.callback, "on_train_begin", 10)
    drive(disk, 11, 20)
    assert disk.names() == ["step-15", "step-20"]


def test_steps_of_earlier_runs_count_in_the_name(tmp_path):
    disk = Disk(tmp_path)
    attach([disk.new(steps=5)], first_step=100)
    event(disk.callback, "on_train_begin", 0)
    drive(disk, 1, 5)
    assert disk.names() == ["step-105"]


def test_full_disk_does_not_end_the_run_and_other_errors_do(tmp_path, caplog):
    disk = Disk(tmp_path)
    event(disk.new(steps=5, keep_last=1), "on_train_begin", 0)
    drive(disk, 1, 5)
    disk.error = StorageError("o disco está cheio")
    drive(disk, 6, 10)
    assert "passo 10 não gravado" in caplog.text and "cheio" in caplog.text
    assert disk.names() == ["step-5"] and disk.callback.last_saved_step == 5
    disk.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        drive(disk, 11, 15)
    assert disk.callback.written == [{"step": 5, "bits_per_byte": None}]
    disk.error = None
    drive(disk, 16, 20)
    assert disk.names() == ["step-20"]


def test_a_folder_of_another_name_is_refused(tmp_path):
    callback = CheckpointCallback(lambda: tmp_path / "step-7", steps=5)
    event(callback, "on_train_begin", 0)
    with pytest.raises(LunaError, match="esperada uma pasta 'step-5'"):
        event(callback, "on_step_end", 5)


def test_a_crash_during_removal_leaves_no_half_folder_under_the_name(tmp_path, monkeypatch):
    path = tmp_path / "step-5"
    path.mkdir()
    (path / "weights").write_text("x")
    real = shutil.rmtree

    def crash(target, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", crash)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(path)
    assert [p.name for p in tmp_path.iterdir()] == [f"{REMOVING}step-5"]
    monkeypatch.setattr(shutil, "rmtree", real)
    assert remove_folder(tmp_path / "step-9") and not list(tmp_path.iterdir())


def test_what_cannot_be_removed_is_told_and_tried_again(tmp_path, monkeypatch, caplog):
    disk = Disk(tmp_path)
    event(disk.new(steps=5, keep_last=1), "on_train_begin", 0)
    with monkeypatch.context() as patch:
        patch.setattr(
            type(tmp_path), "rename", lambda *_: (_ for _ in ()).throw(OSError(13, "não"))
        )
        drive(disk, 1, 10)
    assert "step-5' não saiu por completo" in caplog.text
    assert disk.names() == ["step-5", "step-10"]
    drive(disk, 11, 15)
    assert disk.names() == ["step-15"]


def test_checkpoint_callback_asks_for_a_rhythm_and_for_its_save():
    with pytest.raises(UsageError, match="steps, minutes"):
        CheckpointCallback()
    with pytest.raises(UsageError, match="steps=0"):
        CheckpointCallback(steps=0)
    with pytest.raises(LunaError, match="sem save"):
        event(CheckpointCallback(steps=1), "on_train_begin", 0)


# ---------------------------------------------------------------------- DynamicBatchSizeCallback


def batch_sizes(callback, noise_by_step, first=0):
    """As linhas por atualização depois de cada passo, com o ruído dado por ``noise_by_step``."""
    sizes = []
    for step in range(first + 1, len(noise_by_step) + 1):
        rows = callback.sampler.rows_per_step
        noise = noise_by_step[step - 1]
        callback.observe(1 + noise / (rows / 2), 1 + noise / rows, rows / 2, rows)
        event(callback, "on_step_end", step)
        sizes.append(callback.sampler.rows_per_step)
    return sizes


def dynamic(rows=8, **changes):
    options = {"max_rows": 64, "min_rows": 2, "every": 4, "decay": 0.5} | changes
    return DynamicBatchSizeCallback(SimpleNamespace(rows_per_step=rows), **options)


NOISE = [40.0] * 16 + [3.0] * 28


def test_batch_follows_the_noise_up_and_down_one_step_at_a_time():
    callback = dynamic()
    event(callback, "on_train_begin", 0)
    sizes = batch_sizes(callback, NOISE)
    assert sizes[:3] == [8, 8, 8] and sizes[3] == 16 and sizes[7] == 32
    assert max(sizes) == 32 and sizes[-1] == 4
    ratios = {after / before for before, after in zip(sizes, sizes[1:])}
    assert ratios == {0.5, 1.0, 2.0}


@pytest.mark.parametrize("split", range(0, len(NOISE), 3))
def test_batch_decisions_are_the_same_wherever_the_run_is_split(split):
    whole, first = dynamic(), dynamic()
    event(whole, "on_train_begin", 0)
    expected = batch_sizes(whole, NOISE)
    event(first, "on_train_begin", 0)
    found = batch_sizes(first, NOISE[:split])
    second = through_json(first, dynamic())  # o amostrador novo volta ao lote inicial
    event(second, "on_train_begin", split)
    assert found + batch_sizes(second, NOISE, split) == expected
    assert second.state_dict() == whole.state_dict()


def test_batch_changed_by_a_stage_is_not_undone_by_a_resume():
    callback = dynamic()
    event(callback, "on_train_begin", 0)
    callback.sampler.rows_per_step = 32
    resumed = through_json(callback, dynamic())
    resumed.sampler.rows_per_step = 32
    event(resumed, "on_train_begin", 1)
    assert resumed.sampler.rows_per_step == 32


def test_batch_needs_enough_observations_and_ignores_skipped_updates():
    callback = dynamic()
    event(callback, "on_train_begin", 0)
    callback.observe(math.inf, 1.0, 4, 8)
    callback.observe(1.0, math.nan, 4, 8)
    assert callback.observations == 0
    for _ in range(3):
        callback.observe(100.0, 10.0, 4, 8)
    event(callback, "on_step_end", 4)
    assert callback.sampler.rows_per_step == 8
    callback.observe(100.0, 10.0, 4, 8)
    event(callback, "on_step_end", 7)
    assert callback.sampler.rows_per_step == 8  # não é a vez
    event(callback, "on_step_end", 8)
    assert callback.sampler.rows_per_step == 16


def test_batch_never_falls_to_one_row_where_no_noise_can_be_seen():
    callback = dynamic(min_rows=1)
    event(callback, "on_train_begin", 0)
    sizes = batch_sizes(callback, [0.01] * 40 + [1e6] * 40)
    assert min(sizes) == 2 and sizes[-1] == 64


def test_batch_stops_at_eight_times_the_start_unless_told_otherwise():
    callback = dynamic(rows=2, max_rows=None)
    event(callback, "on_train_begin", 0)
    assert batch_sizes(callback, [1e6] * 40)[-1] == 16
    with pytest.raises(LunaError, match="sem sampler"):
        event(DynamicBatchSizeCallback(), "on_train_begin", 0)
    with pytest.raises(UsageError, match="max_rows=1"):
        DynamicBatchSizeCallback(max_rows=1, min_rows=2)


# ---------------------------------------------------------------------- LearningRateScheduler


def plateau_rates(callback, scheduler, values, first=0, begin=True):
    if begin:
        event(callback, "on_train_begin", first, lr_scheduler=scheduler, max_steps=40)
    rates = []
    for number in range(first, len(values)):
        advance(scheduler)
        metrics = {"eval_bits_per_byte": values[number]}
        event(callback, "on_evaluate", number + 1, metrics=metrics, lr_scheduler=scheduler)
        rates.append([group["lr"] for group in scheduler.optimizer.param_groups])
    return rates


def test_plateau_scales_every_rate_at_once_and_from_then_on():
    scheduler, plain = a_scheduler("constant"), a_scheduler("constant")
    callback = LearningRateSchedulerCallback(plateau=2, factor=0.3)
    rates = plateau_rates(callback, scheduler, [2.0, 2.0, 2.0, 2.0, 2.0, 1.0])
    scales = [1, 1, 0.3, 0.3, 0.09, 0.09]
    for scale, rate in zip(scales, rates):
        advance(plain)
        assert rate == pytest.approx([scale * value for value in plain.get_last_lr()])
    assert callback.scale == pytest.approx(0.09)


@pytest.mark.parametrize("loaded", ["both", "optimizer", "neither"])
@pytest.mark.parametrize("split", range(len(EVALUATIONS)))
@pytest.mark.parametrize("kind", [None, "cosine"])
def test_plateau_decides_alike_wherever_the_run_is_split(split, loaded, kind):
    """Também quando só parte do estado (otimizador, agendador) volta com o callback."""

    def new():
        return LearningRateSchedulerCallback(kind, plateau=2, factor=0.3)

    expected = plateau_rates(new(), a_scheduler(), EVALUATIONS)
    first, scheduler = new(), a_scheduler()
    found = plateau_rates(first, scheduler, EVALUATIONS[:split])
    resumed = a_scheduler()
    if loaded != "neither":
        resumed.optimizer.load_state_dict(copy.deepcopy(scheduler.optimizer.state_dict()))
    if loaded == "both":
        resumed.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    else:
        resumed.last_epoch = split
    second = through_json(first, new())
    rest = plateau_rates(second, resumed, EVALUATIONS, split)
    if loaded == "both":
        assert found + rest == expected
    for a, b in zip(found + rest, expected):
        assert a == pytest.approx(b, rel=1e-12)


def test_the_asked_schedule_replaces_the_trainers():
    scheduler = a_scheduler("constant", rates=(0.1,))
    callback = LearningRateSchedulerCallback("linear", warmup_steps=1)
    event(callback, "on_train_begin", 0, lr_scheduler=scheduler, max_steps=5)
    rates = []
    for _ in range(5):
        rates.append(scheduler.get_last_lr()[0])
        advance(scheduler)
    assert rates == pytest.approx([0.05, 0.1, 0.075, 0.05, 0.025])


def test_another_curve_keeps_the_rates_of_the_stages():
    parameters = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1}]
    scheduler = build_scheduler(torch.optim.SGD(parameters), 6, scales=[[3, 1.0], [6, 0.5]])
    callback = LearningRateSchedulerCallback("constant")
    event(callback, "on_train_begin", 0, lr_scheduler=scheduler, max_steps=6)
    rates = []
    for _ in range(6):
        rates.append(scheduler.get_last_lr()[0])
        advance(scheduler)
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 3)


def test_rate_callback_refuses_what_it_cannot_change():
    with pytest.raises(UsageError, match="kind, plateau"):
        LearningRateSchedulerCallback()
    with pytest.raises(UsageError, match="kind='torta'"):
        LearningRateSchedulerCallback("torta")
    with pytest.raises(UsageError, match="factor=1"):
        LearningRateSchedulerCallback(plateau=1, factor=1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    step = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.raises(LunaError, match="StepLR"):
        event(LearningRateSchedulerCallback("wsd"), "on_train_begin", 0, lr_scheduler=step)


# ---------------------------------------------------------------------- crescer


def growing_model(**changes):
    switches = {"use_growing": True, "max_extra_layers": 2, "use_state_space": True}
    return make_model(tiny_config(**(switches | changes)))


def train_step(model, optimizer, seed=0):
    ids = torch.randint(3, 300, (2, 12), generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(ids, labels=ids).loss.backward()
    optimizer.step()


def grow_by_callback(callback, model, optimizer, losses, first=1):
    """As avaliações em que a rede cresceu."""
    found = []
    for number, loss in enumerate(losses, start=first):
        before = len(model.growing_networks[0].layers)
        arguments = {"metrics": {"eval_loss": loss}, "model": model, "optimizer": optimizer}
        event(callback, "on_evaluate", number, **arguments)
        if len(model.growing_networks[0].layers) > before:
            found.append(number)
    return found


def test_growth_changes_no_output_keeps_old_state_and_the_new_weights_learn():
    model = growing_model().train()
    optimizer = build_optimizer(model, 1e-2, 0.1)
    for seed in range(3):
        train_step(model, optimizer, seed)
    ids = torch.arange(3, 23).unsqueeze(0)
    with torch.no_grad():
        before = model.eval()(ids).logits
    old = {p: copy.deepcopy(state) for p, state in optimizer.state.items()}
    callback = GrowthCallback()
    event(callback, "on_train_begin", 0, model=model)
    assert grow_by_callback(callback, model, optimizer, [2.0] * 4) == [4]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, before)
    assert optimizer.state.keys() == old.keys() and callback.grown_at == [4]
    for parameter, state in old.items():
        assert all(torch.equal(state[name], optimizer.state[parameter][name]) for name in state)
    new = dict(model.growing_networks[0].layers[0].named_parameters())
    start = {name: p.detach().clone() for name, p in new.items()}
    for seed in range(3):
        train_step(model.train(), optimizer, seed)
    assert len(new) == 6 and all(not torch.equal(start[name], p) for name, p in new.items())


def test_grown_parameters_are_where_a_resumed_optimizer_expects_them():
    """O estado do otimizador é gravado por posição: a ordem tem de ser a do modelo recarregado."""
    model = growing_model().train()
    optimizer = build_optimizer(model, 1e-2, 0.1)
    train_step(model, optimizer)
    for _ in range(2):
        model.grow()
        names = add_parameters(optimizer, model)
        assert len(names) == 6 and add_parameters(optimizer, model) == []
        train_step(model, optimizer)
    for grown, rebuilt in zip(optimizer.param_groups, parameter_groups(model, 1e-2, 0.1)):
        assert grown["kind"] == rebuilt["kind"] and grown["lr"] == rebuilt["lr"]
        assert [id(p) for p in grown["params"]] == [id(p) for p in rebuilt["params"]]
    twin = copy.deepcopy(model)
    resumed = build_optimizer(twin, 1e-2, 0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (5, 6):
        train_step(model, optimizer, seed)
        train_step(twin, resumed, seed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_a_kind_that_had_no_parameters_still_finds_its_group_and_its_rate():
    model = growing_model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("wte.weight"))
    optimizer = build_optimizer(model, 1e-2, 0.1)
    scheduler = build_scheduler(optimizer, 10, kind="constant")
    model.grow()
    add_parameters(optimizer, model)
    advance(scheduler)
    sizes = {g["kind"]: (len(g["params"]), g["lr"]) for g in optimizer.param_groups}
    assert sizes["matrix"] == (2, 0.1) and sizes["vector"] == (4, 0.01)


def test_an_optimizer_without_kinds_is_refused_untouched():
    model = growing_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    count = len(optimizer.param_groups[0]["params"])
    model.grow()
    with pytest.raises(LunaError, match="parameter_groups"):
        add_parameters(optimizer, model)
    assert len(optimizer.param_groups[0]["params"]) == count


LOSSES = [3.0, 2.5, 2.5, 2.5, 2.5, math.nan, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3]


@pytest.mark.parametrize("split", range(len(LOSSES)))
def test_growth_decides_alike_wherever_the_run_is_split(split):
    results = []
    for middle in (0, split):
        model = growing_model(use_state_space=False, n_layer=1)
        optimizer = build_optimizer(model, 1e-2, 0.1)
        first, second = GrowthCallback(), GrowthCallback()
        event(first, "on_train_begin", 0, model=model)
        found = grow_by_callback(first, model, optimizer, LOSSES[:middle])
        model.growing_networks[0].losses = []  # um modelo recarregado não traz o histórico
        through_json(first, second)
        event(second, "on_train_begin", middle, model=model)
        found += grow_by_callback(second, model, optimizer, LOSSES[middle:], middle + 1)
        results.append((found, second.state_dict()))
    assert results[0] == results[1] and results[0][0] == [5, 10]


def test_growth_stays_out_where_it_cannot_help(monkeypatch, caplog):
    plain = make_model(tiny_config())
    callback = GrowthCallback()
    event(callback, "on_train_begin", 0, model=plain)
    for step in range(5):
        event(callback, "on_evaluate", step, metrics={}, model=plain, optimizer=object())
    model = growing_model(n_layer=1)
    optimizer = build_optimizer(model, 1e-2, 0.1)
    model.growing_networks[0].losses = [1.0] * 3
    arguments = {"metrics": {"eval_loss": 1.0}, "model": model, "optimizer": optimizer}
    event(callback, "on_evaluate", 50, max_steps=50, **arguments)  # a última avaliação
    event(callback, "on_evaluate", 10, stop=True, **arguments)
    event(callback, "on_evaluate", 10, **(arguments | {"optimizer": None}))  # fora do treino
    monkeypatch.setenv("WORLD_SIZE", "2")
    event(callback, "on_evaluate", 10, **arguments)
    assert len(model.growing_networks[0].layers) == 0
    event(GrowthCallback(), "on_train_begin", 0, model=model)
    assert "2 processos" in caplog.text and model.growing_networks[0].losses == []


# ---------------------------------------------------------------------- no Trainer


class Rows(torch.utils.data.Dataset):
    """Linhas sorteadas, sempre as mesmas."""

    def __init__(self, count):
        self.ids = torch.randint(3, 300, (count, 12), generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


class BitsPerByte(TrainerCallback):
    """Faz o papel da avaliação de Luna, com perdas que nunca melhoram."""

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        metrics |= {"eval_bits_per_byte": 2.0, "eval_loss": 2.0}


def test_all_of_them_work_together_inside_the_trainer(tmp_path):
    model = growing_model()
    optimizer = build_optimizer(model, 1e-2, 0.1)
    scheduler = build_scheduler(optimizer, 40, kind="constant")
    disk, told, saved = Disk(tmp_path), [], []
    sampler = SimpleNamespace(rows_per_step=2)

    def save():
        saved.append(json.loads(json.dumps(callbacks_state(callbacks), allow_nan=False)))
        return disk()

    callbacks = [
        EarlyStoppingCallback(patience=9),
        DynamicBatchSizeCallback(),
        LearningRateSchedulerCallback("constant", plateau=5),
        GrowthCallback(),
        disk.new(steps=5),
    ]
    callbacks[-1].save = None
    attach(callbacks, save, 0, sampler, lambda name, values: told.append((name, values)))
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "hf"),
        max_steps=40,
        per_device_train_batch_size=2,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        prediction_loss_only=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=Rows(16),
        eval_dataset=Rows(2),
        callbacks=[BitsPerByte(), *callbacks],
        optimizers=(optimizer, scheduler),
    )
    trainer.train()
    assert trainer.state.global_step == 20  # dez avaliações: a primeira e nove sem melhora
    assert [name for name, _ in told] == ["growth", "plateau", "growth", "early_stop"]
    assert callbacks[3].grown_at == [8, 14]
    shutil.rmtree(tmp_path / "hf", ignore_errors=True)
    assert disk.names() == ["step-10", "step-15", "step-20"]  # o de 10 empata como o melhor
    grown = model.growing_networks[0].layers
    assert len(grown) == 2 and all(layer.proj.weight.detach().any() for layer in grown)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(5e-3)
    last = saved[-1]  # o que a avaliação do passo 20 decidiu já está no checkpoint dele
    assert last["CheckpointCallback"]["last_saved_step"] == 20
    others = [EarlyStoppingCallback(patience=9), GrowthCallback(), GrowthCallback()]
    load_callbacks_state(others, last)
    assert others[0].stopped_because == callbacks[0].stopped_because is not None
    assert others[1].grown_at == [8, 14] and others[2].grown_at == []
