"""O ajuste fino: quanto dos dados antigos volta, em que ordem, e como se diz o que se esqueceu."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.evaluation.likelihood import Likelihood
from src.training.examples import Example
from src.training.finetune import (
    CHARACTERS_PER_TOKEN,
    PIECE_CHARACTERS,
    Forgetting,
    enough_tokens,
    hold_out,
    mix_replay,
    sample_corpus,
    sample_texts,
)
from src.training.trainer import LunaTrainer
from src.utils.documents import Document, LoadReport
from src.utils.errors import NoDataError, UsageError
from tests.conftest import SENTENCES


def example(number: int, learned: int, read: int = 1) -> Example:
    """Um exemplo reconhecível por ``number``: ``read`` tokens só lidos e ``learned`` aprendidos."""
    return Example([number] * (read + learned), [False] * read + [True] * learned)


def learned(examples) -> int:
    return sum(e.learned for e in examples)


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@settings(deadline=None, max_examples=60)
@given(new=lengths, old=lengths, fraction=st.floats(0.0, 0.8), seed=st.integers(0, 9))
def test_the_asked_fraction_of_the_learned_tokens_is_old(new, old, fraction, seed):
    news = [example(i, n) for i, n in enumerate(new)]
    olds = [example(1000 + i, n) for i, n in enumerate(old)]
    mixed = mix_replay(news, olds, fraction, seed)
    assert mixed[: len(news)] == news
    replayed = mixed[len(news) :]
    wanted = learned(news) * fraction / (1 - fraction)
    assert abs(learned(replayed) - wanted) <= max(old) / 2 + 1e-6


@settings(deadline=None, max_examples=40)
@given(old=lengths, fraction=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_no_old_example_comes_back_before_all_of_them_came(old, fraction, seed):
    olds = [example(1000 + i, n) for i, n in enumerate(old)]
    replayed = mix_replay([example(0, 100)], olds, fraction, seed)[1:]
    counts = [sum(e is item for e in replayed) for item in olds]
    assert max(counts) - min(counts) <= 1
    for start in range(0, len(replayed), len(olds)):
        group = replayed[start : start + len(olds)]
        assert len({id(e) for e in group}) == len(group)


def test_tokens_that_are_only_read_do_not_count():
    """Conversas leem a pergunta sem aprendê-la; o texto antigo aprende quase tudo."""
    news = [example(i, learned=10, read=90) for i in range(8)]
    olds = [example(100 + i, learned=5) for i in range(50)]
    assert learned(mix_replay(news, olds, 0.2)) - learned(news) == 20


def test_the_same_seed_repeats_the_draw_and_another_changes_it():
    news, olds = [example(0, 50)], [example(1 + i, 5) for i in range(40)]
    first = mix_replay(news, olds, 0.3, seed=1)
    assert first == mix_replay(news, olds, 0.3, seed=1)
    assert first != mix_replay(news, olds, 0.3, seed=2)


def test_no_replay_asks_for_no_old_data():
    news = [example(0, 50)]
    assert mix_replay(news, [], 0.0) == news
    with pytest.raises(UsageError, match="não há dados antigos"):
        mix_replay(news, [example(1, 0)], 0.2)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan"), True, "metade", None])
def test_a_fraction_out_of_range_is_named(fraction):
    with pytest.raises(UsageError, match="--replay"):
        mix_replay([example(0, 5)], [example(1, 5)], fraction)


# ---------------------------------------------------------------------- sorteio de textos


def test_long_texts_are_drawn_in_pieces_that_keep_their_source():
    line = "Uma linha de um livro antigo, com acentos.\n"
    book = Document(line * 3000, "livro.txt")
    pieces = sample_texts([book], tokens=1e9)
    assert sorted(pieces) != [book] and all(len(p) <= PIECE_CHARACTERS for p in pieces)
    assert all(p.file == "livro.txt" and p.startswith("Uma") for p in pieces)
    assert sum(len(p) for p in pieces) == len(book)


def test_text_without_lines_is_cut_too_and_nothing_is_lost():
    text = Document("".join(chr(97 + i % 26) for i in range(3 * PIECE_CHARACTERS + 7)), "x.txt")
    pieces = sample_texts([text], tokens=1e9)
    assert len(pieces) == 4 and sum(len(p) for p in pieces) == len(text)


def test_conversations_are_never_cut():
    messages = [{"role": "user", "content": "Oi"}, {"role": "assistant", "content": "a " * 30_000}]
    talk = Document("a " * 30_000, messages=messages)
    (drawn,) = sample_texts([talk], tokens=10)
    assert drawn is talk


def test_only_what_is_needed_is_drawn_and_the_seed_decides():
    texts = [Document(f"Texto de número {i:04d}. " * 10, f"{i}.txt") for i in range(500)]
    drawn = sample_texts(texts, tokens=100, seed=3)
    size = sum(len(t) for t in drawn)
    assert 100 * CHARACTERS_PER_TOKEN <= size <= 100 * CHARACTERS_PER_TOKEN + len(texts[0])
    assert drawn == sample_texts(texts, tokens=100, seed=3) != sample_texts(texts, 100, seed=4)


def test_a_stream_of_texts_is_drawn_without_keeping_it(monkeypatch):
    alive = []

    class Counted(Document):
        def __del__(self):
            alive.pop()

    def stream():
        for number in range(2000):
            alive.append(1)
            assert len(alive) < 50  # dos 2000, só os sorteados até ali
            yield Counted(f"Texto número {number:04d}. " * 4, messages=[])

    assert len(sample_texts(stream(), tokens=100)) >= 8


def test_a_corpus_is_drawn_from_its_files_whatever_their_size_and_without_repetitions(tmp_path):
    texts = [f"Parágrafo {n}: {SENTENCES[n % 8]} {n * n} {n * 7}" for n in range(60)]
    (tmp_path / "a.txt").write_text("\n\n".join(texts), encoding="utf-8")
    (tmp_path / "b.txt").write_text("\n\n".join(texts), encoding="utf-8")
    report = LoadReport()
    drawn = sample_corpus([str(tmp_path)], 1e9, 1e-6, report)
    assert not report.files_skipped and len(drawn) == len(set(drawn))
    assert sum(map(len, drawn)) < 1.5 * len("\n\n".join(texts))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "vazio.txt").write_text(" ", encoding="utf-8")
    with pytest.raises(NoDataError, match="--replay"):
        sample_corpus([str(tmp_path / "c")], 1e9, 200, LoadReport())


def test_enough_tokens_grows_with_the_new_texts_and_the_fraction():
    few, many = enough_tokens(["a" * 100], 0.2), enough_tokens(["a" * 10**7], 0.2)
    assert many - few > 10**7 / 4 * 0.25 and enough_tokens(["a" * 10**7], 0.5) > many


# ---------------------------------------------------------------------- separar para medir


def test_some_old_texts_are_held_out_and_equal_ones_stay_together():
    texts = [f"Texto de número {n}." for n in range(50)] * 2
    kept, apart = hold_out(texts, seed=1)
    assert sorted(kept + apart) == sorted(texts) and not set(kept) & set(apart)
    assert 5 <= len(set(apart)) <= 10 and (kept, apart) == hold_out(texts, seed=1)
    assert hold_out(texts, seed=2) != (kept, apart)


@pytest.mark.parametrize("texts", [None, [], "um texto só", ["igual"] * 30, SENTENCES])
def test_with_too_few_old_texts_none_is_held_out(texts):
    kept, apart = hold_out(texts)
    assert apart == [] and "".join(kept) == "".join(texts or [])


def test_the_held_out_are_measured_and_never_read_again(config, saved_model, monkeypatch):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    built, real = [], LunaTrainer._examples

    def spied(self, data, context):
        built.append(list(data))
        return real(self, data, context)

    monkeypatch.setattr(LunaTrainer, "_examples", spied)
    old = [f"O número {n} vem antes do {n + 1}." for n in range(40)]
    summary = trainer.train_supervised(SENTENCES * 4, replay_data=old, max_steps=2)
    measured, new, replayed = built
    assert new == SENTENCES * 4 and len(measured) == 4
    assert set(replayed) and set(replayed) <= set(old) - set(measured)
    assert summary.forgetting.held_out and "relidas" not in summary.forgetting.line()
    few = trainer.train_supervised(SENTENCES * 4, replay_data=old[:5], max_steps=2)
    assert "(relidas no treino: eram poucas para separar)" in few.forgetting.line()


# ---------------------------------------------------------------------- esquecimento


def test_forgetting_is_the_bits_per_byte_lost_on_the_same_text():
    nats = {"tokens": 100, "byte_count": 400}
    before = Likelihood.from_totals(200.0, **nats)
    after = Likelihood.from_totals(250.0, **nats)
    lost = Forgetting.between(before, after)
    assert lost.difference == pytest.approx(after.bits_per_byte - before.bits_per_byte)
    assert lost.line() == "Leituras antigas: 0,721 -> 0,902 bits por byte (+0,180: esqueceu)."
    values = json.loads(json.dumps(lost.to_dict()))
    assert set(values) == {"before", "after", "bytes", "held_out", "difference"}
    assert values["bytes"] == 400
    with pytest.raises(ValueError, match="400 e 401"):
        Forgetting.between(before, Likelihood.from_totals(250.0, 100, 401))


@pytest.mark.parametrize(
    "after,words",
    [
        (1.6, "(-0,400: melhorou"),
        (1.9999, "(0,000: não"),
        (2.0001, "(0,000: não"),
        (2.4, "(+0,400"),
    ],
)
def test_forgetting_is_said_in_words(after, words):
    assert words in Forgetting(2.0, after, 10).line()
