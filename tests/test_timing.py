"""O relógio, a latência, a memória e a velocidade: o que se mede e o que se afirma."""

import pytest
import torch

from src.evaluation import speed as speed_module
from src.evaluation.latency import measure_latency, percentiles, time_generation
from src.evaluation.memory import measure_memory
from src.evaluation.speed import gpt2_peer, inference_speed, prompt_lengths, verdict
from src.evaluation.timing import (
    MIN_REPEATS,
    Spread,
    against,
    interleaved,
    machine,
    machine_line,
    measure_pairs,
)
from src.utils.errors import LunaError, UsageError
from tests import evaluation_support
from tests.conftest import make_model, tiny_config

gpt2_folder, luna_folder = evaluation_support.gpt2_folder, evaluation_support.luna_folder


# ---------------------------------------------------------------------- relógio


def test_spread_is_the_median_and_the_tenth_and_ninetieth_percentiles():
    found = Spread.of(range(101))
    assert (found.median, found.low, found.high) == (50, 10, 90)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)
    assert Spread(1.5, 1.25, 2.0).text(2) == "1,50 (1,25-2,00)"


@pytest.mark.parametrize(
    ("a", "b", "touch"),
    [((1, 2), (2, 3), True), ((1, 2), (2.1, 3), False), ((1, 9), (4, 5), True)],
)
def test_spreads_that_touch_name_no_winner(a, b, touch):
    first, second = (Spread(sum(ends) / 2, *ends) for ends in (a, b))
    assert first.overlaps(second) is second.overlaps(first) is touch


def test_a_ratio_differs_from_one_only_when_its_whole_spread_does():
    assert Spread(0.9, 0.8, 0.99).differs_from_one
    assert Spread(1.2, 1.1, 1.4).differs_from_one
    assert not Spread(0.9, 0.8, 1.0).differs_from_one
    assert not Spread(1.1, 0.9, 1.4).differs_from_one


def test_ratios_are_taken_round_by_round():
    """A máquina ficou três vezes mais lenta no meio: os tempos dobram, a razão não se mexe."""
    mine, peer = [10, 30, 10, 30], [20, 60, 20, 60]
    found = against(mine, peer)
    assert found.ratio == Spread(0.5, 0.5, 0.5)
    assert found.ms.low < found.ms.median < found.ms.high


def test_rounds_are_interleaved_and_warmup_does_not_count():
    calls = []
    functions = {"lenta": lambda: calls.append("a"), "rápida": lambda: calls.append("b")}
    timings = measure_pairs(functions, repeats=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert timings["lenta"].ratio == Spread(1.0, 1.0, 1.0)
    for timing in timings.values():
        assert 0 <= timing.ms.low <= timing.ms.median <= timing.ms.high


def test_rounds_stop_at_the_time_limit_but_not_before_the_minimum():
    seen = []
    found = interleaved({"x": lambda: 1}, 50, max_seconds=0, on_round=lambda *n: seen.append(n))
    assert found == {"x": [1] * MIN_REPEATS} and seen[-1] == (MIN_REPEATS, 50)


def test_machine_says_what_matters_and_not_who():
    import getpass
    import socket

    found = machine()
    line = machine_line(found)
    assert found["threads"] == torch.get_num_threads() and torch.__version__ in line
    assert found["processor"]
    assert socket.gethostname() not in str(found) or len(socket.gethostname()) < 3
    assert f"/{getpass.getuser()}" not in str(found)


# ---------------------------------------------------------------------- latência


def test_generation_times_cover_every_token(tokenizer):
    model = make_model(tiny_config(tokenizer, use_state_space=True))
    found = time_generation(model, [1, 5, 9], new_tokens=6)
    assert found.first_ms > 0 and len(found.token_ms) == 5
    assert found.first_ms + sum(found.token_ms) <= found.total_ms


def test_forced_length_is_reached_even_when_the_model_wants_to_stop(tokenizer):
    """O viés faz do fim de texto o token preferido: mesmo assim são gerados todos."""
    model = make_model(tiny_config(tokenizer))
    with torch.no_grad():
        model.model.transformer.ln_f.bias.copy_(
            50 * model.get_input_embeddings().weight[tokenizer.eos_id]
        )
    assert len(time_generation(model, [5, 6], 8).token_ms) == 7


def test_generation_is_greedy_and_of_the_asked_length(tokenizer, monkeypatch):
    model, seen = make_model(tiny_config(tokenizer)), {}
    real = type(model).generate

    def spy(self, inputs, **options):
        seen.update(options, ids=inputs.tolist())
        return real(self, inputs, **options)

    monkeypatch.setattr(type(model), "generate", spy)
    time_generation(model, [5, 6, 7], 4)
    assert seen["ids"] == [[5, 6, 7]] and seen["do_sample"] is False
    assert seen["max_new_tokens"] == seen["min_new_tokens"] == 4


def test_latency_is_measured_in_turns_and_summarised(tokenizer, monkeypatch):
    from src.evaluation import latency
    from src.evaluation.latency import GenerationTime

    calls = []

    def fake(model, ids, new_tokens):
        calls.append((model, tuple(ids)))
        slow = 100.0 if len(calls) <= 2 else 1.0  # o aquecimento é lento e não conta
        return GenerationTime(slow * len(ids), (slow, 2 * slow), 0.0)

    monkeypatch.setattr(latency, "time_generation", fake)
    prompts = {"a": [[1], [1, 2]], "b": [[3], [3, 4]]}
    found = measure_latency({"a": "A", "b": "B"}, prompts, 3)
    assert [model for model, _ in calls] == ["A", "B"] * 3
    assert found["a"]["first_token_ms"] == {"p50": 1.5, "p95": 1.95}
    assert found["a"]["per_token_ms"] == {"p50": 1.5, "p95": 2.0}
    assert found["b"]["prompts"] == 2 and found["b"]["new_tokens"] == 3


def test_percentiles_are_the_usual_ones():
    assert percentiles([1, 2, 3, 4, 5]) == {"p50": 3.0, "p95": pytest.approx(4.8)}


# ---------------------------------------------------------------------- memória


def test_memory_is_measured_in_another_process(luna_folder):
    found = measure_memory(luna_folder)
    assert found["peak_gb"] > found["libraries_gb"] > 0.05
    assert found["model_gb"] == pytest.approx(found["peak_gb"] - found["libraries_gb"])
    assert (found["vram_gb"] is None) is not torch.cuda.is_available()


def test_memory_is_of_an_answer_with_the_full_context(luna_folder, monkeypatch):
    from src.evaluation import latency, memory

    seen = []
    monkeypatch.setattr(latency, "time_generation", lambda m, ids, new: seen.append((ids, new)))
    memory.run(luna_folder, "cpu")
    ((ids, new),) = seen
    assert len(ids) + new == 64 and new == 32


def test_the_libraries_are_not_counted_in_the_model(luna_folder):
    """Um modelo de 50 mil parâmetros pede poucos MB; as bibliotecas, centenas."""
    assert measure_memory(luna_folder)["model_gb"] < 0.1


def test_a_slow_memory_measure_is_stopped(luna_folder, monkeypatch):
    from src.evaluation import memory

    monkeypatch.setattr(memory, "_TIMEOUT_S", 0.01)
    with pytest.raises(LunaError, match="interrompida"):
        measure_memory(luna_folder)


def test_a_failed_memory_measure_says_why(tmp_path):
    with pytest.raises(LunaError, match="config.json"):
        measure_memory(tmp_path)


# ---------------------------------------------------------------------- velocidade


@pytest.mark.parametrize(
    ("context", "lengths"),
    [
        (256, [32, 64, 128, 236]),
        (1024, [32, 64, 128, 256, 512, 1004]),
        (84, [32, 64]),
        (40, [20]),
        (10, [1]),
    ],
)
def test_prompts_double_up_to_the_full_context(context, lengths):
    assert prompt_lengths(context) == lengths


def test_the_peer_is_a_plain_gpt2_of_the_same_dimensions(tokenizer):
    config = tiny_config(tokenizer, use_state_space=True, use_moe=True)
    model = make_model(config).to(torch.bfloat16)
    state = torch.random.get_rng_state()
    peer = gpt2_peer(model, 64)
    assert peer.dtype == torch.bfloat16
    assert type(peer).__name__ == "GPT2LMHeadModel" and not peer.training
    same = "vocab_size n_positions n_embd n_layer n_head".split()
    assert all(getattr(peer.config, name) == getattr(config, name) for name in same)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_peer_has_heads_that_divide_its_width_or_is_refused():
    from types import SimpleNamespace

    sizes = {"hidden_size": 30, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = SimpleNamespace(model_type="x", vocab_size=50, **sizes)
    model = torch.nn.Linear(2, 2)
    model.config = config
    assert gpt2_peer(model, 8).config.n_head == 3
    config.num_attention_heads = None
    with pytest.raises(UsageError, match="num_attention_heads"):
        gpt2_peer(model, 8)


def test_every_prompt_length_is_seen_in_every_round(tokenizer, monkeypatch):
    from src.evaluation.latency import GenerationTime

    model = make_model(tiny_config(tokenizer))
    calls = []

    def fake(target, ids, new_tokens):
        mine = target is model
        calls.append((mine, len(ids)))
        return GenerationTime(1.0, (1.0,) * (new_tokens - 1), 10.0 if mine else 20.0)

    monkeypatch.setattr(speed_module, "time_generation", fake)
    rows = inference_speed(model, gpt2_peer(model, 100), prompt_lengths(100), repeats=10)
    one_round = [(mine, size) for size in (32, 64, 80) for mine in (True, False)]
    assert calls == one_round * 12
    assert [row["seq_len"] for row in rows] == [32, 64, 80]
    assert all(row["ratio"] == 0.5 and row["repeats"] == 10 for row in rows)
    assert all(verdict(row) == "este modelo" for row in rows)


def test_the_full_context_really_runs(tokenizer):
    model = make_model(tiny_config(tokenizer, use_state_space=True))
    rows = inference_speed(
        model, gpt2_peer(model, 64), prompt_lengths(64, 4), repeats=1, new_tokens=4
    )
    assert rows[-1]["seq_len"] == 60 and rows[-1]["median_ms"] > 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.8, 0.95, "este modelo"), (1.05, 1.2, "GPT-2"), (0.9, 1.1, "empate")],
)
def test_no_winner_inside_the_spread(low, high, expected):
    row = {"ratio": (low + high) / 2, "ratio_low": low, "ratio_high": high, "repeats": 10}
    assert verdict(row) == expected
    assert verdict(row | {"repeats": 9}) == "poucas rodadas"
