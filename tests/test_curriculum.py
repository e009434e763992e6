"""O currículo: dificuldade, estágios, arquivo, plano e relatório."""

import json
import math
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.training import difficulty
from src.training.curriculum import (
    Stage,
    StageResult,
    default_stages,
    difficulty_scores,
    easiest,
    learning_rate_scale,
    load_stages,
    parse_stages,
    plan_lines,
    plan_stages,
    stage_at,
    stage_table,
)
from src.training.examples import Example, build_examples, text_windows
from src.training.packing import PackedDataset, row_length
from src.utils.errors import ConfigError, UsageError
from tests.conftest import DIALOGUES, SENTENCES

REFERENCE = [
    {"context_length": 64, "batch_size": 8, "epochs": 1},
    {"context_length": 128, "batch_size": 4, "epochs": 2},
    {"context_length": 256, "batch_size": 2, "epochs": 2},
]
MEASURES = ("length", "rarity", "both")


def example(*ids: int) -> Example:
    return Example(list(ids), [False] + [True] * (len(ids) - 1))


# ---------------------------------------------------------------------- dificuldade


def slow_values(examples, by):
    """As medidas de uma dificuldade, pela definição."""
    counts = Counter(token for e in examples for token in e.ids)
    total = sum(counts.values()) + len(counts)
    surprise = {token: -math.log((count + 1) / total) for token, count in counts.items()}
    lengths = [len(e.ids) for e in examples]
    rarity = [round(sum(surprise[t] for t in e.ids) / len(e.ids), 9) for e in examples]
    return {"length": [lengths], "rarity": [rarity], "both": [lengths, rarity]}[by]


def slow_scores(examples, by):
    """A referência: compara cada exemplo com todos os outros."""
    measures = slow_values(examples, by)
    halves = [0] * len(examples)
    for values in measures:
        for i, mine in enumerate(values):
            halves[i] += sum(2 * (other < mine) + (other == mine) for other in values)
    return [count / (2 * len(measures) * len(examples)) for count in halves]


def slow_easiest(examples, fraction, by):
    scores = slow_scores(examples, by)
    needed = math.ceil(round(fraction * sum(len(e.ids) for e in examples), 6))
    chosen: list[int] = []
    for index in sorted(range(len(examples)), key=lambda i: (scores[i], i)):
        if sum(len(examples[i].ids) for i in chosen) >= needed:
            break
        chosen.append(index)
    return [examples[i] for i in sorted(chosen)]


corpora = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(corpora, st.sampled_from(MEASURES), st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.7, 0.99, 1.0]))
def test_vectorised_difficulty_is_the_slow_definition(corpus, by, fraction):
    examples = [example(*ids) for ids in corpus]
    assert difficulty_scores(examples, by) == pytest.approx(slow_scores(examples, by), abs=1e-12)
    chosen = easiest(examples, fraction, by)
    assert [id(e) for e in chosen] == [id(e) for e in slow_easiest(examples, fraction, by)]


@pytest.mark.parametrize("by", MEASURES)
def test_chunks_do_not_change_the_scores(by, monkeypatch):
    examples = [example(*range(n % 7, n % 7 + 1 + n % 5)) for n in range(50)]
    whole = difficulty_scores(examples, by)
    monkeypatch.setattr(difficulty, "CHUNK", 3)
    assert difficulty_scores(examples, by) == whole


def test_shorter_and_commoner_examples_are_easier():
    long_common, short_rare = example(1, 1, 1, 1), example(8, 9)
    length, rarity = (difficulty_scores([long_common, short_rare], by) for by in MEASURES[:2])
    assert length[0] > length[1] and rarity[0] < rarity[1]
    assert difficulty_scores([long_common, short_rare], "both") == [0.5, 0.5]


@pytest.mark.parametrize("by", MEASURES)
def test_equal_examples_tie_whatever_the_order_of_their_tokens(by):
    ids = [1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 5]  # somadas em outra ordem, as surpresas diferem no fim
    examples = [example(*some) for some in (ids, ids[::-1], sorted(ids[::2]) + ids[1::2], ids)]
    assert difficulty_scores(examples, by) == [0.5] * 4
    assert [id(e) for e in easiest(examples, 0.5, by)] == [id(e) for e in examples[:2]]


def test_scores_lie_between_zero_and_one_and_an_empty_list_has_none():
    examples = [example(*range(n + 1)) for n in range(20)]
    for by in MEASURES:
        assert all(0 < score < 1 for score in difficulty_scores(examples, by))
        assert difficulty_scores([], by) == [] and easiest([], 0.5, by) == []


def test_the_easiest_half_is_half_of_the_tokens_in_the_original_order():
    examples = [example(*[1] * n) for n in (6, 1, 5, 2, 4, 2)]  # 20 tokens
    assert [len(e.ids) for e in easiest(examples, 0.5, "length")] == [1, 5, 2, 4, 2]
    assert [len(e.ids) for e in easiest(examples, 0.45, "length")] == [1, 2, 4, 2]
    assert easiest(examples, 1, "length") == examples
    assert len(easiest([example(1)] * 100, 0.07, "length")) == 7 and 0.07 * 100 > 7
    assert [len(e.ids) for e in easiest(examples, 0.001, "length")] == [1]


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, math.nan])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(UsageError, match="fraction=.*acima de 0 e até 1"):
        easiest([example(1)], fraction, "length")


@pytest.mark.parametrize("fraction", [0.5, 1])
def test_unknown_measure_is_refused_with_the_ones_that_exist(fraction):
    with pytest.raises(UsageError, match="by='size': esperado um de length, rarity, both"):
        easiest([example(1)], fraction, "size")


def test_a_hundred_thousand_examples_take_moments():
    """O pedido é um milhão em segundos; um décimo disso, com folga para a máquina ocupada."""
    examples = [example(*range(n % 97, n % 97 + 5 + n % 40)) for n in range(100_000)]
    started = time.process_time()
    easiest(examples, 0.5, "both")
    assert time.process_time() - started < 5


# ---------------------------------------------------------------------- estágios


def test_the_stages_of_the_reference_are_accepted_as_written():
    stages = parse_stages(REFERENCE, max_context=256)
    assert [(s.context_length, s.batch_size, s.epochs) for s in stages] == [
        (64, 8, 1),
        (128, 4, 2),
        (256, 2, 2),
    ]
    assert [s.name for s in stages] == ["estágio 1", "estágio 2", "estágio 3"]
    assert all((s.learning_rate_scale, s.difficulty) == (1.0, 1.0) for s in stages)


def test_new_keys_stage_objects_and_results_read_back():
    value = {"name": "fácil", "difficulty": 0.5, "by": "rarity", "learning_rate_scale": 0.3}
    (stage,) = parse_stages([value], max_context=64)
    assert stage == Stage("fácil", difficulty=0.5, by="rarity", learning_rate_scale=0.3)
    assert parse_stages((stage, Stage()), 64) == [stage, Stage("estágio 2")]
    saved = json.loads(json.dumps(StageResult(stage, 1, 2, 3.0).to_dict()))
    assert parse_stages([saved["stage"]], 64) == [stage]


@pytest.mark.parametrize(
    "key,value,expected",
    [
        ("epochs", 0, "no mínimo 0.001"),
        ("epochs", "2", "do tipo número"),
        ("epochs", math.nan, "finito"),
        ("epochs", math.inf, "finito"),
        ("epochs", 10**400, "no máximo 100000"),
        ("epochs", True, "do tipo número"),
        ("epochs", None, "do tipo número"),
        ("batch_size", 0, "no mínimo 1"),
        ("batch_size", 2.5, "do tipo inteiro"),
        ("context_length", 1, "no mínimo 2"),
        ("context_length", "64", "do tipo inteiro"),
        ("difficulty", 0, "no mínimo 0.001"),
        ("difficulty", 1.5, "no máximo 1"),
        ("difficulty", [0.5], "do tipo número"),
        ("learning_rate_scale", -1, "no mínimo 0.001"),
        ("by", "size", "um de length, rarity, both"),
        ("name", 3, "do tipo texto"),
    ],
)
def test_bad_value_is_refused_with_stage_key_value_and_expected(key, value, expected):
    with pytest.raises(UsageError) as caught:
        parse_stages([{"epochs": 1}, {key: value}], max_context=64)
    message = str(caught.value)
    assert message.startswith(f"Estágio 2: {key}=") and expected in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "key,right", [("max_position_embeddings", "context_length"), ("épocas", "")]
)
def test_unknown_key_is_refused_and_a_known_other_name_is_translated(key, right):
    with pytest.raises(UsageError) as caught:
        parse_stages([{key: 64}], max_context=64)
    message = str(caught.value)
    assert f"Estágio 1: chave desconhecida '{key}' (valor 64)" in message
    assert ("Aqui o nome é " + right in message) == bool(right)


@pytest.mark.parametrize("stages", [[], (), {"epochs": 1}, "estágios", 3])
def test_anything_but_a_list_with_stages_is_refused(stages):
    with pytest.raises(UsageError, match="lista com ao menos um estágio"):
        parse_stages(stages, max_context=64)


def test_stage_that_is_not_an_object_is_refused():
    with pytest.raises(UsageError, match="Estágio 1: 64: esperado um objeto com chaves"):
        parse_stages([64], max_context=64)


def test_stage_built_wrong_is_refused_when_built():
    with pytest.raises(ConfigError, match="stage.epochs=-1"):
        Stage(epochs=-1)


def test_context_beyond_the_model_becomes_the_models_with_a_warning(caplog):
    stages = parse_stages(REFERENCE, max_context=128)
    assert [s.context_length for s in stages] == [64, 128, 128]
    assert "'estágio 3': context_length=256" in caplog.text and "usando 128" in caplog.text
    assert "'estágio 2'" not in caplog.text  # 128 cabe
    caplog.clear()
    assert parse_stages(REFERENCE)[2].context_length == 256 and not caplog.text


# ---------------------------------------------------------------------- arquivo


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"stages": v}])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_file_with_a_list_or_an_object_is_read(tmp_path, wrap, bom):
    path = tmp_path / "currículo.json"
    path.write_text(bom + json.dumps(wrap(REFERENCE)), encoding="utf-8")
    assert load_stages(path) == parse_stages(REFERENCE)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("[{]", "não é JSON"),
        ("", "não é JSON"),
        ("[" * 200_000, "não é JSON"),
        ("[" + "9" * 5000 + "]", "não é JSON"),
        ('{"stage": []}', "esperada uma lista"),
        ('{"stages": [{}], "x": 1}', "esperada uma lista"),
        ('{"stages": null}', "esperada uma lista"),
        ("null", "esperada uma lista"),
        ("[]", "ao menos um estágio"),
        ('[{"epochs": NaN}]', "Estágio 1: epochs=nan"),
        ('[{"epochs": 1}, {"batch": 8}]', "Estágio 2: chave desconhecida 'batch' (valor 8)"),
    ],
)
def test_bad_file_is_named_in_the_error(tmp_path, text, expected):
    path = tmp_path / "c.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_stages(path)
    assert str(caught.value).startswith(f"Currículo '{path}': ") and expected in str(caught.value)


def test_missing_folder_and_binary_files_are_named_in_the_error(tmp_path):
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00[")
    for path in (tmp_path / "nada.json", tmp_path, tmp_path / "b.json"):
        with pytest.raises(UsageError, match="^Currículo '") as caught:
            load_stages(path)
        assert str(path) in str(caught.value)


# ---------------------------------------------------------------------- padrões


@pytest.mark.parametrize("context", [16, 64, 100, 256, 1024])
def test_default_goes_from_short_and_easy_to_everything_with_the_work_of_plain_epochs(context):
    stages = parse_stages(None, context, epochs=3.0)
    assert stages == default_stages(context, 3.0)
    lengths, parts = [s.context_length for s in stages], [s.difficulty for s in stages]
    assert lengths == sorted(lengths) and parts == sorted(parts)
    assert parts[0] == 0.5 and (lengths[-1], parts[-1]) == (context, 1)
    assert all(min(64, context) <= length <= context for length in lengths)
    assert sum(s.epochs * s.difficulty for s in stages) == pytest.approx(3.0)


def test_default_contexts_are_the_references_on_a_context_of_256():
    assert [s.context_length for s in default_stages(256, 1)] == [64, 128, 256]


def test_default_of_no_epochs_or_unknown_context_is_refused():
    with pytest.raises(UsageError, match="epochs=0"):
        default_stages(256, 0)
    with pytest.raises(UsageError, match="informe max_context"):
        parse_stages(None)


def test_default_plan_takes_about_the_steps_of_plain_training():
    texts = [list(range(n % 50, n % 50 + 20 + n * 37 % 900)) for n in range(300)]

    def build(context):
        return [w for ids in texts for w in text_windows(ids, 1, context)]

    plans = plan_stages(default_stages(256, 4.0), build, 256, 4, fill_id=1)
    plain = PackedDataset(build(256), 256, 1)
    # 2 %: um token dividido a cada janela de 64, a folga no fim das linhas, um passo por estágio
    assert plans[-1].end_step == pytest.approx(4.0 * len(plain) / 4, rel=0.02)


# ---------------------------------------------------------------------- plano


def windows_of(tokens):
    calls = []

    def build(context):
        calls.append(context)
        return text_windows(list(range(tokens)), 1, context)

    return build, calls


def test_plan_gives_each_stage_its_rows_and_consecutive_steps():
    build, calls = windows_of(1000)
    stages = parse_stages(
        [
            {"context_length": 16, "batch_size": 8, "epochs": 1},
            {"context_length": 16, "epochs": 0.5, "difficulty": 0.5},
            {"context_length": 32, "batch_size": 3, "epochs": 2},
            {"epochs": 1},
        ]
    )
    plans = plan_stages(stages, build, context=64, rows_per_step=2, fill_id=1)
    assert calls == [16, 32, 64]
    assert [p.dataset.length for p in plans] == [16, 16, 32, 64]
    assert [p.rows_per_step for p in plans] == [8, 8, 3, 2]  # sem batch_size, 128 tokens por passo
    for plan in plans:
        rows, per_step = len(plan.dataset), plan.rows_per_step
        assert plan.steps == math.ceil(plan.stage.epochs * rows / per_step)
        assert plan.examples == easiest(build(plan.dataset.length), plan.stage.difficulty, "both")
    assert plans[1].dataset.tokens == pytest.approx(plans[0].dataset.tokens / 2, abs=16)
    firsts, ends = [p.first_step for p in plans], [p.end_step for p in plans]
    assert firsts == [0, *ends[:-1]] and ends[-1] == sum(p.steps for p in plans)


def test_stage_is_known_from_the_global_step_alone():
    build, _ = windows_of(1000)
    stages = [Stage("a", context_length=16), Stage("b", learning_rate_scale=0.25)]
    plans = plan_stages(stages, build, 64, 2, fill_id=1)
    names = ["a"] * plans[0].steps + ["b"] * plans[1].steps
    assert [stage_at(plans, step).stage.name for step in range(len(names))] == names
    assert [learning_rate_scale(plans, s) for s in range(len(names))] == [
        {"a": 1.0, "b": 0.25}[name] for name in names
    ]
    assert stage_at(plans, len(names)) is stage_at(plans, 10**9) is plans[-1]
    with pytest.raises(UsageError, match="step=-1"):
        stage_at(plans, -1)


def test_fractions_of_epochs_are_not_rounded_up_by_floating_point():
    build, _ = windows_of(749)
    (plan,) = plan_stages([Stage(epochs=1.1)], build, 16, 1, fill_id=1)
    assert len(plan.dataset) == 50 and 1.1 * 50 > 55 and plan.steps == 55


def test_a_step_never_asks_for_more_rows_than_the_stage_has():
    build, _ = windows_of(40)
    (plan,) = plan_stages([Stage(batch_size=100, epochs=3)], build, 16, 4, fill_id=1)
    assert plan.rows_per_step == len(plan.dataset) and plan.steps == 3
    (plan,) = plan_stages([Stage(epochs=0.001)], build, 16, 4, fill_id=1)
    assert plan.steps == 1


def test_one_full_stage_is_plain_training_row_by_row(tokenizer):
    texts = [*SENTENCES, *DIALOGUES]
    examples = build_examples(texts, tokenizer, 64)
    plain = PackedDataset(examples, row_length(examples, 64), tokenizer.eos_id)
    (plan,) = plan_stages(
        [Stage()], lambda n: build_examples(texts, tokenizer, n), 64, 2, tokenizer.eos_id
    )
    assert len(plan.dataset) == len(plain)
    for mine, its in zip(plan.dataset, plain):
        assert all(mine[name].equal(its[name]) for name in its)


def test_planning_twice_gives_the_same_plan(tokenizer):
    def plan():
        def build(context):
            return build_examples([*SENTENCES, *DIALOGUES], tokenizer, context)

        return plan_stages(default_stages(64, 2), build, 64, 2, tokenizer.eos_id)

    first, second = plan(), plan()
    assert [p.dataset.rows for p in first] == [p.dataset.rows for p in second]
    assert [p.examples for p in first] == [p.examples for p in second]
    assert [replace(p, dataset=None) for p in first] == [replace(p, dataset=None) for p in second]


# ---------------------------------------------------------------------- relatório


def test_plan_lines_tell_each_stage_before_the_start():
    build, _ = windows_of(1000)
    plans = plan_stages([Stage("fácil", difficulty=0.5, batch_size=4)], build, 64, 2, fill_id=1)
    assert plan_lines(plans) == [
        "Estágio 1/1, fácil: contexto 64, 50 % dos dados, 4 linhas por passo, 3 passos."
    ]


def test_table_and_dictionary_report_each_stage():
    results = [
        StageResult(Stage("fácil"), 1200, 2_457_600, 95.4, 3.5, 2.75),
        StageResult(Stage("completo"), 10, 20_480, 0.6),
    ]
    lines = stage_table(results)
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["estágio", "passos", "tokens", "segundos", "bits por byte antes", "depois"]
    assert cells[2] == ["fácil", "1.200", "2.457.600", "95", "3,500", "2,750"]
    assert cells[3] == ["completo", "10", "20.480", "1", "não medido", "não medido"]
    saved = json.loads(json.dumps(results[0].to_dict()))
    assert (saved["stage"]["name"], saved["steps"], saved["tokens"]) == ("fácil", 1200, 2_457_600)
    assert (saved["seconds"], saved["before"], saved["after"]) == (95.4, 3.5, 2.75)
