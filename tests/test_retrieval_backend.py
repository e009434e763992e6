"""O armazém local: qualquer sequência de mudanças dá o índice que se faria do zero."""

import threading
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.retrieval.embedding_cache import EmbeddingCache
from src.retrieval.local_backend import LocalBackend
from src.retrieval.types import Chunk, ChunkBackend, DocumentRecord
from src.utils.errors import DataError
from tests.retrieval_support import (
    TEXTS,
    Counting,
    D,
    built,
    chunks_of,
    contents,
    encode,
    put,
    vector,
)

file_names = st.sampled_from(["a.txt", "b.txt", "ação.md", "🎉.html"])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), file_names, st.lists(st.sampled_from(TEXTS), max_size=4)),
        st.tuples(st.just("remove"), file_names, st.just([])),
        st.tuples(st.just("search"), st.just(""), st.just([])),
        st.tuples(st.just("clear"), st.just(""), st.just([])),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(changes, st.booleans())
def test_removing_a_file_gives_the_scores_of_an_index_that_never_had_it(steps, dense):
    backend, files = LocalBackend(use_faiss=False), {}
    for action, file, texts in steps:
        if action == "add":
            files.pop(file, None)  # um arquivo trocado vai para o fim
            files[file] = texts
            put(backend, file, texts, dense)
        elif action == "remove":
            assert backend.remove(file) == len(files.pop(file, []))
        elif action == "clear":
            files.clear()
            backend.clear()
        else:
            backend.search_lexical("gato", 3)
    assert len(backend) == sum(map(len, files.values()))
    assert contents(backend) == contents(built(files, dense))


def test_it_is_a_chunk_backend():
    backend: ChunkBackend = LocalBackend()
    assert len(backend) == 0 and dict(backend.documents) == {}


def test_an_empty_backend_answers_nothing_and_removes_nothing():
    backend = LocalBackend()
    assert len(backend.search_lexical("gato", 5).ids) == 0
    assert len(backend.search_dense(vector("gato"), 5).ids) == 0
    assert backend.remove("nunca.txt") == 0 and backend.vectors(np.arange(0)) is None


def test_a_change_is_seen_by_the_next_search():
    backend = built({"a.txt": ["gato no sofá"]})
    assert len(backend.search_lexical("gato", 5).ids) == 1
    put(backend, "b.txt", ["o rato e o gato"])
    assert len(backend.search_lexical("gato", 5).ids) == 2
    put(backend, "a.txt", ["cão no jardim"])
    found = backend.search_lexical("gato", 5)
    assert [backend.chunk(row).file for row in found.ids] == ["b.txt"]
    assert backend.remove("b.txt") == 1 and len(backend.search_lexical("gato", 5).ids) == 0


def test_faiss_and_numpy_backends_give_the_same():
    files = {"a.txt": TEXTS[:3], "b.txt": TEXTS[3:]}
    assert contents(built(files, use_faiss=True)) == contents(built(files, use_faiss=False))


def test_a_file_without_chunks_is_remembered():
    backend = built({"vazio.txt": [], "a.txt": TEXTS[:2]})
    assert backend.documents["vazio.txt"].chunks == 0 and len(backend) == 2
    assert backend.remove("vazio.txt") == 0 and "vazio.txt" not in backend.documents


def test_the_record_counts_the_chunks_it_was_given():
    backend = built({"a.txt": TEXTS[:3]})
    assert backend.documents["a.txt"].chunks == 3
    with pytest.raises(TypeError):
        backend.documents["b.txt"] = backend.documents["a.txt"]


def test_the_title_and_the_section_are_searched_too():
    backend = LocalBackend()
    chunk = Chunk("1", "Não fala disso.", "a", "a", title="Girafas", section="África > Savana")
    backend.add(DocumentRecord("a", "", 1), [chunk], None)
    assert len(backend.search_lexical("girafa", 5).ids) == 1
    assert len(backend.search_lexical("savana", 5).ids) == 1


@pytest.mark.parametrize("dense", [True, False])
def test_a_filter_sees_the_metadata_of_each_chunk(dense):
    backend = LocalBackend()
    for number in range(30):
        metadata = {"autor": "José 🎉" if number % 3 else "Ana", "n": number}
        put(backend, f"{number}.txt", ["gato no sofá"], metadata=metadata)

    def keep(metadata):
        return metadata["autor"] == "Ana" and metadata["n"] < 20

    hits = backend.search_dense(vector("x"), 50, keep) if dense else None
    hits = hits or backend.search_lexical("gato", 50, keep)
    assert sorted(hits.ids.tolist()) == [0, 3, 6, 9, 12, 15, 18]
    backend.remove("3.txt")
    hits = backend.search_lexical("gato", 50, keep)
    assert [backend.chunk(row).file for row in hits.ids][:2] == ["0.txt", "6.txt"]


def test_equal_metadata_is_judged_once():
    backend, judged = built({"a.txt": TEXTS, "b.txt": TEXTS}), []
    backend.search_lexical("gato", 5, lambda metadata: judged.append(metadata) or True)
    assert judged == [{"arquivo": "a.txt"}, {"arquivo": "b.txt"}]


def test_metadata_that_json_does_not_have_can_be_filtered():
    backend = LocalBackend()
    put(backend, "a.txt", ["gato"], metadata={"dia": date(2024, 1, 2)})
    put(backend, "b.txt", ["gato"], metadata={"dia": date(2025, 1, 2)})
    found = backend.search_lexical("gato", 5, lambda m: m["dia"].year == 2025)
    assert found.ids.tolist() == [1]


class TestVectorsThatDoNotFit:
    """O que se recusa deixa o índice como estava."""

    @pytest.mark.parametrize(
        "vectors,message",
        [
            (None, "veio sem vetores, e o índice tem vetores"),
            (np.zeros((1, D + 1), np.float32), rf"\[n, {D}\]"),
            (np.zeros((2, D), np.float32), "2 vetores para 1 trechos"),
            (np.full((1, D), np.nan, np.float32), "não são números"),
        ],
    )
    def test_bad_vectors_are_refused(self, vectors, message):
        backend = built({"a.txt": TEXTS, "b.txt": TEXTS[:2]})
        before = contents(backend)
        with pytest.raises(DataError, match=message):
            backend.add(DocumentRecord("b.txt", "novo", 1), chunks_of("b.txt", ["x"]), vectors)
        assert contents(backend) == before

    def test_vectors_in_an_index_of_words_are_refused(self):
        backend = built({"a.txt": TEXTS}, dense=False)
        with pytest.raises(DataError, match="só tem palavras"):
            put(backend, "b.txt", ["x"])

    @pytest.mark.parametrize("searched", [True, False])
    @pytest.mark.parametrize("dense", [True, False])
    def test_an_emptied_index_takes_any_dimension(self, dense, searched):
        backend = built({"a.txt": TEXTS})
        if searched:
            backend.search_dense(vector("x"), 1)
        backend.remove("a.txt")
        other = np.eye(2, D + 3, dtype=np.float32) if dense else None
        for file in ("b.txt", "c.txt"):
            backend.add(DocumentRecord(file, "", 2), chunks_of(file, ["x", "y"]), other)
        assert backend.dimension == (D + 3 if dense else 0)
        assert (backend.vectors(np.arange(4)) is not None) == dense


def test_all_vectors_can_be_replaced():
    backend = built({"a.txt": TEXTS[:2], "b.txt": TEXTS[2:4]}, dense=False)
    with pytest.raises(DataError, match="3 vetores para 4"):
        backend.set_vectors(encode(TEXTS[:3]))
    backend.set_vectors(encode(TEXTS[:4]))
    assert contents(backend) == contents(built({"a.txt": TEXTS[:2], "b.txt": TEXTS[2:4]}))
    backend.set_vectors(None)
    assert backend.dimension == 0 and len(backend.search_dense(vector("x"), 5).ids) == 0


def test_searches_beside_changes_never_see_half_of_one():
    backend, wrong = built({"a.txt": TEXTS, "b.txt": TEXTS}), []
    stop = threading.Event()

    def search():
        while not stop.is_set():
            try:
                hits = backend.search_lexical("gato", 50)
                backend.search_dense(vector("gato"), 50)
                if len(hits.ids) not in (3, 6):
                    wrong.append(len(hits.ids))
            except Exception as error:  # qualquer uma é o defeito que se procura
                wrong.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    for _ in range(60):
        put(backend, "b.txt", TEXTS)
        backend.remove("b.txt")
    stop.set()
    thread.join()
    assert wrong == []


# ---------------------------------------------------------------------- vetores reaproveitados


def test_a_changed_file_only_computes_the_vectors_of_its_new_texts():
    backend, model = built({"a.txt": ["um", "dois", "três"], "b.txt": ["quatro"]}), Counting()
    cache = EmbeddingCache(backend)
    texts = ["um", "novo", "três", "quatro", "novo", "outro"]
    vectors = cache.vectors_for(texts, model)
    assert model.asked == [["novo", "outro"]]  # repetições, uma vez só
    assert vectors.tolist() == encode(texts).tolist() and vectors.dtype == np.float32
    assert (cache.reused, cache.encoded) == (4, 2)
    assert (
        cache.vectors_for(["outro", "dois"], model).tolist() == encode(["outro", "dois"]).tolist()
    )
    assert len(model.asked) == 1


def test_the_vectors_known_at_the_start_survive_changes_of_the_index():
    backend, model = built({"a.txt": ["um", "dois"], "b.txt": ["três"]}), Counting()
    cache = EmbeddingCache(backend)
    backend.remove("a.txt")
    backend.search_lexical("x", 1)
    assert cache.vectors_for(["dois", "três"], model).tolist() == encode(["dois", "três"]).tolist()
    assert model.asked == []


def test_without_an_index_everything_is_computed_once():
    model = Counting()
    for backend in (None, LocalBackend(), built({"a.txt": ["um"]}, dense=False)):
        cache = EmbeddingCache(backend)
        assert cache.vectors_for([], model).shape[0] == 0 and model.asked == []
        assert cache.vectors_for(["um", "um"], model).tolist() == encode(["um", "um"]).tolist()
        assert model.asked.pop() == ["um"]


def test_the_vectors_at_hand_are_bounded(monkeypatch):
    monkeypatch.setattr("src.retrieval.embedding_cache.RECENT", 2)
    cache, model = EmbeddingCache(), Counting()
    cache.vectors_for(["a", "b", "c"], model)
    cache.vectors_for(["b", "c"], model)
    cache.vectors_for(["a"], model)
    assert model.asked == [["a", "b", "c"], ["a"]]
