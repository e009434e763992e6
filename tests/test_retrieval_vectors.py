"""A busca por sentido: FAISS, numpy e a conta direta."""

import logging
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.retrieval import vectors as module
from src.retrieval.vectors import VectorIndex
from src.utils.errors import DataError


def unit(count, dimension=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def built(vectors, **options):
    index = VectorIndex(**options)
    index.add(vectors)
    return index


@pytest.fixture
def no_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    module._import_faiss.cache_clear()
    yield
    module._import_faiss.cache_clear()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 5))
def test_faiss_and_numpy_agree_up_to_ties(count, limit, seed):
    vectors = np.round(unit(count, 4, seed), 1)  # arredondados: há empates
    query = unit(1, 4, 99)[0]
    fast, slow = (built(vectors, use_faiss=use).search(query, limit) for use in (True, False))
    assert fast.scores.tolist() == slow.scores.tolist()
    inside = fast.scores > fast.scores[-1]  # só no último valor o empate pode ser outro
    assert fast.ids[inside].tolist() == slow.ids[inside].tolist()


@pytest.mark.parametrize("use_faiss", [True, False])
def test_the_search_is_the_sorted_list_of_inner_products(use_faiss):
    vectors, query = unit(300), unit(1, seed=1)[0]
    exact = vectors.astype(np.float64) @ query.astype(np.float64)
    found = built(vectors, use_faiss=use_faiss).search(query, 20)
    assert found.ids.tolist() == np.argsort(-exact)[:20].tolist()
    assert found.scores == pytest.approx(exact[found.ids], abs=1e-6)


@pytest.mark.parametrize("threshold", [1, 10_000])
def test_the_product_and_faiss_give_the_same_search(monkeypatch, threshold):
    monkeypatch.setattr(module, "PRODUCT_FROM", threshold)
    vectors, query = unit(300), unit(1, seed=1)[0]

    found = built(vectors, use_faiss=True).search(query, 20)

    plain = sorted(range(300), key=lambda row: -sum(a * b for a, b in zip(vectors[row], query)))
    assert found.ids.tolist() == plain[:20]


@pytest.mark.parametrize("use_faiss", [True, False])
def test_equal_vectors_come_in_the_order_of_indexing(use_faiss):
    found = built(np.repeat(unit(1), 5, axis=0), use_faiss=use_faiss).search(unit(1)[0], 3)
    assert found.ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("use_faiss", [True, False])
def test_a_removed_row_never_comes_back_and_the_others_keep_their_scores(use_faiss):
    vectors, query = unit(100), unit(1, seed=1)[0]
    index, mask = built(vectors, use_faiss=use_faiss), np.arange(100) % 3 > 0
    index.search(query, 5)
    index.keep(mask)
    index.add(unit(10, seed=5))
    fresh = built(np.concatenate([vectors[mask], unit(10, seed=5)]), use_faiss=use_faiss)
    a, b = index.search(query, 200), fresh.search(query, 200)
    assert a.ids.tolist() == b.ids.tolist() and a.scores.tolist() == b.scores.tolist()


@pytest.mark.parametrize("options", [{}, {"use_faiss": False}, {"flat_limit": 20}])
def test_a_mask_gives_the_best_of_what_it_lets_through(options):
    vectors, query = unit(200), unit(1, seed=1)[0]
    index, mask = built(vectors, **options), np.random.default_rng(0).random(200) < 0.3
    exact = np.where(mask, vectors @ query, -9)
    assert index.search(query, 10, mask).ids.tolist() == np.argsort(-exact)[:10].tolist()
    assert len(index.search(query, 10, np.zeros(200, dtype=bool)).ids) == 0


def test_scores_of_chosen_rows_are_bit_for_bit_those_of_the_search():
    index, query = built(unit(500)), unit(1, seed=1)[0]
    found = index.search(query, 30)
    assert index.scores(query, found.ids).tolist() == found.scores.tolist()
    assert index.scores(query, found.ids[7:8]).tolist() == found.scores[7:8].tolist()


@pytest.mark.parametrize("kind,hnsw_limit", [("hnsw", 10**6), ("ivf", 100)])
class TestApproximate:
    """Acima de ``flat_limit``, com limites pequenos."""

    def index(self, vectors, hnsw_limit):
        return built(vectors, flat_limit=100, hnsw_limit=hnsw_limit)

    def recall(self, index, query, mask=None):
        scores = index.matrix @ query
        expected = np.argsort(-(scores if mask is None else np.where(mask, scores, -9)))[:10]
        found = index.search(query, 10, mask)
        assert found.scores == pytest.approx(scores[found.ids], abs=1e-6)  # a nota é a exata
        assert mask is None or mask[found.ids].all()
        return len(set(found.ids.tolist()) & set(expected.tolist())) / 10

    def test_it_finds_nearly_all_of_the_best_with_exact_scores(self, kind, hnsw_limit):
        index = self.index(unit(1500), hnsw_limit)
        recalls = [self.recall(index, query) for query in unit(20, seed=1)]
        assert index._near.kind == kind and np.mean(recalls) > 0.6  # aleatórios: o pior caso do IVF
        mask = np.arange(1500) % 2 == 0
        assert np.mean([self.recall(index, query, mask) for query in unit(20, seed=1)]) > 0.6

    def test_removed_rows_never_appear_and_new_ones_do(self, kind, hnsw_limit):
        vectors = unit(1500)
        index = self.index(vectors, hnsw_limit)
        assert index.search(vectors[7], 1).ids.tolist() == [7]
        near = index._near
        mask = np.arange(1500) >= 50
        index.keep(mask)
        index.add(vectors[7:8])
        found = index.search(vectors[7], 5)
        assert index._near is near and found.ids[0] == 1450  # só a cópia nova
        assert found.scores == pytest.approx(index.matrix[found.ids] @ vectors[7], abs=1e-6)

    def test_many_removals_rebuild_it(self, kind, hnsw_limit):
        index = self.index(unit(1500), hnsw_limit)
        index.search(unit(1)[0], 1)
        index.keep(np.arange(1500) < 900)
        index.search(unit(1)[0], 1)
        assert index._near.total == 900

    def test_its_state_comes_back(self, kind, hnsw_limit):
        index, query = self.index(unit(1500), hnsw_limit), unit(1, seed=1)[0]
        index.search(query, 1)
        index.keep(np.arange(1500) != 3)
        copy = self.index(index.matrix, hnsw_limit)
        copy.restore_neighbors(*index.neighbors_state())
        assert copy.search(query, 9).ids.tolist() == index.search(query, 9).ids.tolist()

    def test_a_state_of_other_vectors_is_refused(self, kind, hnsw_limit):
        data, rows = self.index(unit(1500), hnsw_limit).neighbors_state()
        with pytest.raises(DataError):
            self.index(unit(1200), hnsw_limit).restore_neighbors(data, rows)
        with pytest.raises(DataError):
            self.index(unit(1500), hnsw_limit).restore_neighbors(data[:50], rows)


def test_without_faiss_numpy_answers_the_same_and_it_is_said_once(no_faiss, caplog):
    caplog.set_level(logging.INFO)
    index = built(unit(300), flat_limit=100)
    found = [index.search(unit(1, seed=1)[0], 5).ids.tolist() for _ in range(3)]
    assert found[0] == found[2] == np.argsort(-(unit(300) @ unit(1, seed=1)[0]))[:5].tolist()
    assert len([r for r in caplog.records if "pip install faiss-cpu" in r.message]) == 1
    assert index.neighbors_state() is None


def test_faiss_switched_off_is_said_once(caplog):
    module._say_numpy.cache_clear()
    caplog.set_level(logging.INFO)
    for _ in range(3):
        built(unit(5), use_faiss=False).search(unit(1)[0], 2)
    assert len([r for r in caplog.records if "use_faiss=False" in r.message]) == 1


@pytest.mark.parametrize(
    "bad,message",
    [
        (np.zeros((2, 3), dtype=np.float32), r"\[n, 16\]"),
        (np.zeros(16, dtype=np.float32), r"\[n, 16\]"),
        (np.full((1, 16), np.nan, dtype=np.float32), "não são números"),
        (np.full((1, 16), np.inf, dtype=np.float32), "infinitos"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_changes(bad, message):
    index = built(unit(4))
    with pytest.raises(DataError, match=message):
        index.add(bad)
    assert len(index) == 4


def test_a_question_of_another_dimension_is_refused():
    with pytest.raises(DataError, match="16"):
        built(unit(4)).search(np.ones(8, dtype=np.float32), 2)


def test_an_empty_index_answers_nothing():
    assert len(VectorIndex().search(np.ones(8, dtype=np.float32), 5).ids) == 0
    assert VectorIndex().dimension == 0
