"""A busca por palavras diante do BM25 feito à mão e do índice do bm25s."""

import math
from collections import Counter

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.retrieval.hits import best_hits
from src.retrieval.lexical import K1, B, EncodedTexts, LexicalIndex, analyzer_signature
from src.retrieval.portuguese import terms
from src.utils.errors import DataError

TEXTS = [
    "Os gatos dormem no sofá da sala.",
    "O gato persegue o rato, e o rato foge do gato.",
    "Cães latem à noite.",
    "",
    "A constituição garante direitos aos cidadãos; a Constituição de 1988.",
    "Um cão e um gato brincam no jardim enquanto chove muito na cidade inteira.",
]
WORDS = ["gato", "rato", "cão", "sofá", "chuva", "de", "lei"]
some_texts = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=8
)


def built(texts):
    index = LexicalIndex()
    index.add(index.encode(texts))
    return index


def naive(texts, query):
    """O BM25 da fórmula, documento por documento."""
    documents = [terms(text) for text in texts]
    mean = sum(map(len, documents)) / max(1, len(documents))
    scores = []
    for document in documents:
        counts, total = Counter(document), 0.0
        for term in terms(query):
            found_in = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - found_in + 0.5) / (found_in + 0.5))
            if counts[term]:
                norm = K1 * (1 - B + B * len(document) / mean)
                total += idf * counts[term] / (counts[term] + norm)
        scores.append(total)
    return scores


@pytest.mark.parametrize(
    "query", ["gato", "o gato e o rato", "gato gato rato", "direitos do cidadão", "xyz", "", "o de"]
)
def test_scores_equal_the_formula_by_hand(query):
    assert built(TEXTS).all_scores(query) == pytest.approx(naive(TEXTS, query), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(some_texts, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join))
def test_scores_equal_the_formula_on_any_texts(texts, query):
    assert built(texts).all_scores(query) == pytest.approx(naive(texts, query), abs=1e-5)


def test_the_matrix_equals_the_one_that_bm25s_builds_itself():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{int(n)}" for n in rng.zipf(1.3, 40) % 300) for _ in range(200)]
    index = LexicalIndex(analyze=str.split)
    index.add(index.encode(texts))
    reference = bm25s.BM25(method="lucene", k1=K1, b=B)
    reference.index([text.split() for text in texts], show_progress=False)
    for query in (["w1"], ["w1", "w2", "w40"], ["w7", "w7"]):
        expected = reference.get_scores(query)
        assert np.abs(index.all_scores(" ".join(query)) - expected).max() < 1e-5  # float32


@settings(max_examples=60, deadline=None)
@given(some_texts, st.data())
def test_removing_gives_exactly_the_scores_of_never_having_added(texts, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))))
    index = built(texts)
    index.all_scores("gato")  # a matriz antiga já existia
    index.keep(mask)
    index.add(index.encode(["gato de lei", "chuva"]))
    fresh = built([text for text, stays in zip(texts, mask) if stays] + ["gato de lei", "chuva"])
    for query in WORDS:
        assert index.all_scores(query).tolist() == fresh.all_scores(query).tolist()


def test_idf_is_that_of_the_formula_and_the_highest_for_unknown_terms():
    index = built(TEXTS)
    found = index.idf(["gat", "sof", "xyz"])
    for term, count in (("gat", 3), ("sof", 1), ("xyz", 0)):
        assert found[term] == pytest.approx(math.log(1 + (6 - count + 0.5) / (count + 0.5)))


def test_inflections_accents_and_case_meet():
    index = built(TEXTS)
    assert index.search("GATOS", 10).ids.tolist() == index.search("gato", 10).ids.tolist()
    assert 4 in index.search("cidadao", 10).ids and 4 in index.search("Direito", 10).ids


def test_only_matching_texts_appear_and_ties_keep_the_order_of_indexing():
    index = built(["rato", "gato", "gato", "rato", "gato"])
    assert index.search("gato", 10).ids.tolist() == [1, 2, 4]
    assert index.search("gato", 2).ids.tolist() == [1, 2]
    assert index.search("gato", 0).ids.tolist() == []
    assert len(index.search("nada disso", 10).ids) == len(index.search("", 10).ids) == 0


def test_a_mask_hides_texts_without_changing_the_scores_of_the_others():
    index, mask = built(TEXTS), np.array([False, True, True, True, True, True])
    hidden, full = index.search("gato", 10, mask), index.search("gato", 10)
    assert hidden.ids.tolist() == [row for row in full.ids if row != 0]
    assert set(hidden.scores.tolist()) <= set(full.scores.tolist())


def test_scores_of_chosen_rows_are_those_of_the_search():
    index = built(TEXTS)
    found = index.search("gato rato", 10)
    assert index.scores("gato rato", found.ids).tolist() == found.scores.tolist()
    assert index.scores("gato", np.array([3, 2])).tolist() == [0, 0]


def test_an_empty_index_answers_nothing():
    index = LexicalIndex()
    assert len(index) == 0 and len(index.search("gato", 5).ids) == 0
    index.add(index.encode(["", "de o"]))
    assert len(index.search("gato", 5).ids) == 0


def test_state_restores_the_scores_and_forgets_removed_words():
    index = built([*TEXTS, "segredo confidencial"])
    index.keep(np.arange(len(TEXTS) + 1) < len(TEXTS))
    names, texts = index.state()
    assert not {"segred", "confidenc"} & set(names)
    copy = LexicalIndex()
    copy.restore(names, texts)
    for query in ("gato", "direitos", "segredo"):
        assert copy.all_scores(query).tolist() == index.all_scores(query).tolist()
    copy.add(copy.encode(["gato novo"]))
    assert copy.all_scores("novo").argmax() == len(TEXTS)


@pytest.mark.parametrize(
    "names,ids,lengths",
    [
        (["a"], [0, 1], [2]),
        (["a"], [-1], [1]),
        (["a", "a"], [0], [1]),
        (["a"], [0], [2]),
        (["a"], [0], [2, -1]),
    ],
)
def test_restore_refuses_numbers_that_do_not_fit(names, ids, lengths):
    texts = EncodedTexts(np.array(ids, dtype=np.int32), np.array(lengths, dtype=np.int32))
    with pytest.raises(DataError, match="não combinam"):
        LexicalIndex().restore(names, texts)


def test_the_signature_changes_with_the_analysis(monkeypatch):
    before = analyzer_signature()
    assert before == analyzer_signature()
    monkeypatch.setattr("src.retrieval.lexical.terms", str.split)
    assert analyzer_signature() != before


@given(
    st.lists(st.integers(0, 4), max_size=30), st.integers(0, 12)
)  # poucos valores: muitos empates
def test_best_hits_are_the_first_of_the_sorted_list(values, limit):
    scores = np.array(values, dtype=np.float32)
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:limit]
    assert best_hits(np.arange(len(values)), scores, limit).ids.tolist() == expected
