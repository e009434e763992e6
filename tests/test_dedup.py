"""Repetições exatas, quase exatas e a divisão entre treino e validação."""

import random
import subprocess
import sys
import time

import pytest

from src.utils.dedup import (
    NEAR_THRESHOLD,
    SHINGLE_WORDS,
    NearDuplicates,
    deduplicate,
    duplicate_groups,
    jaccard,
    shingles,
    split_documents,
    text_digest,
)
from src.utils.documents import Document
from src.utils.errors import ConfigError

# --- A referência: lenta, óbvia, todos contra todos --------------------------------------------


def word_shingles(text):
    words = "".join(c if c.isalnum() or c == "_" else " " for c in text.casefold()).split()
    return {tuple(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1)}


def true_jaccard(first, second):
    a, b = word_shingles(first), word_shingles(second)
    return len(a & b) / len(a | b) if a and b else 0.0


def kept_by_the_reference(texts):
    kept: list[int] = []
    for index, text in enumerate(texts):
        same = any(text_digest(text) == text_digest(texts[j]) for j in kept)
        if not same and all(true_jaccard(text, texts[j]) < NEAR_THRESHOLD for j in kept):
            kept.append(index)
    return kept


def words(generator, count, vocabulary=400):
    return [f"p{generator.randrange(vocabulary)}" for _ in range(count)]


def corpus(seed, originals=40, copies=3):
    """Textos ao acaso e cópias com poucas a muitas palavras trocadas, embaralhados."""
    generator = random.Random(seed)
    texts = []
    for _ in range(originals):
        base = words(generator, generator.choice([3, 6, 30, 80, 200]))
        texts.append(" ".join(base))
        for _ in range(copies):
            changed = list(base)
            for _ in range(generator.choice([0, 1, 2, 4, 8])):
                changed[generator.randrange(len(changed))] = "trocada"
            texts.append(" ".join(changed))
    generator.shuffle(texts)
    return texts


def documents_of(texts, file="a.txt"):
    return [Document(text, file) for text in texts]


def distinct(count, file=None):
    """Documentos que não se parecem entre si."""
    generator = random.Random(0)
    return [
        Document(" ".join(words(generator, 40, 10**6)), file or f"arquivo{i}.txt")
        for i in range(count)
    ]


# --- Repetições --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_are_those_of_the_all_pairs_reference(seed):
    texts = corpus(seed)
    kept, exact, near = deduplicate(documents_of(texts))
    assert kept == [texts[index] for index in kept_by_the_reference(texts)]
    assert len(kept) + exact + near == len(texts)
    assert exact and near


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_the_connected_components_of_the_reference(seed):
    texts = corpus(seed, originals=20)
    groups = duplicate_groups(texts)
    expected = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            if text_digest(texts[i]) == text_digest(texts[j]) or (
                true_jaccard(texts[i], texts[j]) >= NEAR_THRESHOLD
            ):
                low, high = sorted((expected[i], expected[j]))
                expected = [low if group == high else group for group in expected]
    assert groups == expected


def test_jaccard_of_the_hashed_shingles_is_the_true_one():
    texts = corpus(11, originals=15)
    for first, second in zip(texts, texts[1:] + texts[:1]):
        assert jaccard(shingles(first), shingles(second)) == true_jaccard(first, second)


def test_case_and_spacing_make_no_difference_to_exact_duplicates():
    kept, exact, near = deduplicate(documents_of(["Olá  Mundo", "olá\nmundo ", "Olá, mundo"]))
    assert (kept, exact, near) == (["Olá  Mundo", "Olá, mundo"], 1, 0)


def test_first_occurrence_is_the_one_kept():
    text = " ".join(f"p{i}" for i in range(60))
    documents = [Document(text, "b.txt"), Document(text + " fim", "a.txt"), Document(text, "c.txt")]
    kept, exact, near = deduplicate(documents)
    assert [document.source for document in kept] == ["b.txt"] and (exact, near) == (1, 1)


def test_very_short_texts_are_only_compared_exactly():
    kept, exact, near = deduplicate(documents_of(["um dois três quatro", "um dois três quatro!"]))
    assert (len(kept), exact, near) == (2, 0, 0)
    assert len(shingles("um dois três quatro")) == 0


def test_punctuation_alone_makes_longer_texts_near_duplicates():
    kept, _, near = deduplicate(
        documents_of(["Tudo bem com você hoje?", "tudo bem com você, hoje"])
    )
    assert (len(kept), near) == (1, 1)


def test_nothing_in_gives_nothing_out():
    assert deduplicate([]) == ([], 0, 0)
    assert duplicate_groups([]) == []
    assert list(NearDuplicates([]).candidates()) == []


def test_hashes_are_the_same_in_another_process():
    code = "from src.utils.dedup import shingles; print(shingles('a b c d e f').tolist())"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == str(shingles("a b c d e f").tolist())


def test_word_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("src.utils.dedup._MAX_CACHED_WORDS", 3)
    monkeypatch.setattr("src.utils.dedup._MAX_CACHED_SHINGLES", 1)
    texts = corpus(3, originals=10)
    assert deduplicate(documents_of(texts))[0] == [texts[i] for i in kept_by_the_reference(texts)]


def test_twenty_thousand_documents_take_seconds():
    generator = random.Random(0)
    texts = [" ".join(words(generator, 50, 5000)) for _ in range(20_000)]
    start = time.perf_counter()
    kept, _, near = deduplicate(documents_of(texts))
    assert (len(kept), near) == (20_000, 0)
    assert time.perf_counter() - start < 20  # cerca de 2 s numa máquina livre; folga para outras


def test_thousands_of_copies_of_one_text_do_not_cost_the_square():
    generator = random.Random(0)
    base = words(generator, 100)
    texts = [" ".join(base + [f"cauda{i}"]) for i in range(4000)]
    start = time.perf_counter()
    kept, _, near = deduplicate(documents_of(texts))
    assert (len(kept), near) == (1, 3999)
    assert time.perf_counter() - start < 20  # 8 milhões de pares levariam minutos


# --- Divisão -----------------------------------------------------------------------------------


def test_split_is_the_same_whatever_the_order_of_the_list():
    documents = distinct(50, "um.txt")
    shuffled = random.Random(1).sample(documents, len(documents))
    first, second = split_documents(documents, 0.2, 42), split_documents(shuffled, 0.2, 42)
    assert [set(side) for side in first] == [set(side) for side in second]
    assert (len(first[0]), len(first[1])) == (40, 10)


def test_another_seed_gives_another_split():
    documents = distinct(50, "um.txt")
    assert set(split_documents(documents, 0.2, 1)[1]) != set(split_documents(documents, 0.2, 2)[1])


def test_split_keeps_the_original_order_on_each_side():
    documents = distinct(30, "um.txt")
    for side in split_documents(documents, 0.3, 0):
        assert side == [document for document in documents if document in side]


def test_ten_files_or_more_are_split_by_file():
    documents = [
        Document(f"{document} parte {part}", document.file)
        for document in distinct(20)
        for part in ("alfa", "beta gama delta épsilon zeta eta teta iota capa lambda mi ni xi")
    ]
    train, valid = split_documents(documents, 0.1, 42)
    assert not {d.file for d in train} & {d.file for d in valid}
    assert len({d.file for d in valid}) == 2 and len(valid) == 4


def test_fewer_than_ten_files_are_split_by_document():
    documents = [Document(d, f"{i % 9}.txt") for i, d in enumerate(distinct(90))]
    train, valid = split_documents(documents, 0.1, 42)
    assert (len(train), len(valid)) == (81, 9)


def test_identical_and_near_identical_texts_stay_on_one_side():
    generator = random.Random(5)
    documents = []
    for index in range(30):
        base = words(generator, 60, 10**6)
        copies = [base, base, base + ["fim"], ["início", *base]]
        documents += [Document(" ".join(text), f"f{index % 3}.txt") for text in copies]
    train, valid = split_documents(documents, 0.3, 42)
    assert valid
    cores = [{d.split()[30] for d in side} for side in (train, valid)]
    assert not cores[0] & cores[1]


def test_repetition_across_files_joins_the_files():
    documents = distinct(12) + [Document("a mesma frase que está em dois arquivos", "x.txt")]
    documents += [Document("a mesma frase que está em dois arquivos", "arquivo0.txt")]
    train, valid = split_documents(documents, 0.3, 0)
    side = train if "arquivo0.txt" in {d.file for d in train} else valid
    assert {d.file for d in side} >= {"x.txt", "arquivo0.txt"}


def test_a_notice_repeated_in_every_file_falls_back_to_documents():
    documents = distinct(12)
    documents += [Document("o aviso legal de sempre em todo arquivo", d.file) for d in documents]
    train, valid = split_documents(documents, 0.1, 42)
    assert train and valid
    assert len([d for d in (*train, *valid) if d.startswith("o aviso")]) == 12
    assert len({d.startswith("o aviso") for d in valid}) == 1


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("count", [2, 3, 10, 11])
def test_two_units_or_more_leave_no_side_empty(count, fraction):
    train, valid = split_documents(distinct(count), fraction, 42)
    assert train and valid and len(train) + len(valid) == count


def test_a_huge_file_does_not_vanish_from_training():
    documents = distinct(11)
    huge = Document(" ".join(words(random.Random(9), 5000, 10**6)), "enorme.txt")
    for seed in range(20):
        assert huge in split_documents([*documents, huge], 0.1, seed)[0]


def test_copies_of_one_text_all_go_to_training():
    train, valid = split_documents(documents_of(["o mesmo"] * 5), 0.5, 42)
    assert (len(train), valid) == (5, [])


def test_documents_already_unique_are_split_alike():
    documents = distinct(40, "um.txt")
    assert split_documents(documents, 0.1, 3, already_unique=True) == split_documents(
        documents, 0.1, 3
    )


def test_one_document_is_cut_at_a_paragraph_near_the_end():
    paragraphs = [f"Parágrafo {i} com o seu próprio texto." for i in range(20)]
    train, valid = split_documents([Document("\n\n".join(paragraphs), "a.txt")], 0.1, 42)
    assert train == ["\n\n".join(paragraphs[:18])] and valid == ["\n\n".join(paragraphs[18:])]
    assert valid[0].source == "a.txt"


@pytest.mark.parametrize(
    "document",
    [
        Document("um parágrafo só", "a.txt"),
        Document("igual\n\nigual", "a.txt"),
        Document("Usuário: a\n\nb\nLuna: c", "a.txt", messages=[{"role": "user", "content": "a"}]),
    ],
)
def test_one_document_that_should_not_be_cut_goes_to_training(document):
    assert split_documents([document], 0.5, 42) == ([document], [])


def test_no_validation_asked_for_or_no_documents():
    documents = distinct(3)
    assert split_documents(documents, 0.0, 42) == (documents, [])
    assert split_documents([], 0.1, 42) == ([], [])


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2, float("nan")])
def test_fraction_out_of_range_is_refused_with_its_name_and_value(fraction):
    with pytest.raises(ConfigError, match="valid_fraction="):
        split_documents(distinct(2), fraction, 42)
