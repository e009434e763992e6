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
    mix_replay,
    sample_texts,
)
from src.utils.documents import Document
from src.utils.errors import UsageError


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


# ---------------------------------------------------------------------- esquecimento


def test_forgetting_is_the_bits_per_byte_lost_on_the_same_text():
    nats = {"tokens": 100, "byte_count": 400}
    before = Likelihood.from_totals(200.0, **nats)
    after = Likelihood.from_totals(250.0, **nats)
    lost = Forgetting.between(before, after)
    assert lost.difference == pytest.approx(after.bits_per_byte - before.bits_per_byte)
    assert lost.line() == "Leituras antigas: 0,721 -> 0,902 bits por byte (+0,180: esqueceu)."
    values = json.loads(json.dumps(lost.to_dict()))
    assert set(values) == {"before", "after", "bytes", "difference"} and values["bytes"] == 400
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
