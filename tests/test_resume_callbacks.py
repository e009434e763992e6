"""Retomar com callbacks que decidem, ou com releitura: os mesmos pesos, bit a bit."""

import json

import pytest

from src.training.callbacks import (
    CheckpointCallback,
    DynamicBatchSizeCallback,
    EarlyStoppingCallback,
    LearningRateSchedulerCallback,
)
from tests.test_resume import Stop, new_model, same, train, weights

OLD = [f"O número {n} vem antes do {n + 1}." for n in range(40)]
STAGES = [{"context_length": 16, "learning_rate_scale": 0.5}, {"epochs": 3}]


def noisy():
    return DynamicBatchSizeCallback(every=2, decay=0.5)


def plateau():
    return LearningRateSchedulerCallback("cosine", plateau=1, threshold=10.0)


def impatient():
    return EarlyStoppingCallback(patience=2, threshold=10.0)


#: os callbacks, as opções, o passo da queda e o acontecimento que prova que algo se decidiu
CASES = {
    "lote": ([noisy], {"gradient_accumulation_steps": 2, "max_steps": 12}, 7, "batch"),
    "taxa": ([plateau], {"stages": STAGES, "eval_steps": 3}, 8, "plateau"),
    "parada": ([impatient], {"eval_steps": 3}, 8, "early_stop"),
    "releitura": ([], {"replay_data": OLD, "replay_fraction": 0.3}, 8, "start"),
    "outro otimizador": ([], {"optim": "adamw_torch"}, 8, "start"),
}


def happened(folder):
    lines = (folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line).get("event") for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_decides_as_if_it_had_never_stopped(case, config, tokenizer):
    makers, options, stop, event = CASES[case]
    folders = [new_model(config, tokenizer, name) for name in ("Inteiro", "Partido")]
    whole = train(config, "Inteiro", [make() for make in makers], **options)
    assert whole.steps > stop and event in happened(folders[0])
    broken = [*(make() for make in makers), Stop(stop), CheckpointCallback(steps=stop - 1)]
    with pytest.raises(RuntimeError, match="queda"):
        train(config, "Partido", broken, **options)
    replay = {"replay_data": OLD} if "replay_data" in options else {}
    rest = train(config, "Partido", [make() for make in makers], resume="auto", **replay)
    assert rest.steps == whole.steps - (stop - 1)
    assert same(weights(folders[0]), weights(folders[1]))
