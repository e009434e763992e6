"""O índice no disco: o que se lê é o que se gravou, no formato prometido."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.retrieval import index_files
from src.retrieval.chunk_table import decode_chunk, encode_chunk
from src.retrieval.embedding_cache import EmbeddingCache
from src.retrieval.local_backend import LocalBackend
from src.retrieval.storage import index_exists, load_index, read_manifest, save_index
from src.retrieval.types import Chunk
from src.retrieval.vectors import VectorIndex
from src.utils.errors import DataError
from tests.retrieval_support import (
    DATA,
    EXTRA,
    FILES,
    TEXTS,
    Counting,
    built,
    contents,
    data_folder,
    flip,
    load,
    names_in,
    put,
    vector,
)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    """Um índice gravado."""
    save_index(tmp_path / "retriever", built(FILES), EXTRA)
    return tmp_path / "retriever"


# ---------------------------------------------------------------------- ida e volta


@pytest.mark.parametrize("dense", [True, False])
def test_what_is_loaded_is_what_was_saved_bit_for_bit(tmp_path, dense):
    backend = built(FILES, dense)
    saved = save_index(tmp_path / "r", backend, EXTRA)
    loaded, manifest = load(tmp_path / "r")
    assert contents(loaded) == contents(backend)
    assert manifest == saved and manifest.problems == [] and not manifest.needs_vectors
    assert (manifest.chunks, manifest.documents, manifest.extra) == (5, 3, EXTRA)
    assert manifest.dimension == (6 if dense else 0)


def test_a_loaded_index_goes_on_changing_as_if_never_saved(folder):
    loaded, _ = load(folder)
    loaded.remove("a.txt")
    put(loaded, "novo.txt", TEXTS[4:])
    save_index(folder, loaded, EXTRA)
    again, _ = load(folder)
    rest = {name: texts for name, texts in FILES.items() if name != "a.txt"}
    assert contents(again) == contents(built(rest | {"novo.txt": TEXTS[4:]}))


def test_an_empty_index_can_be_saved_and_loaded(tmp_path):
    save_index(tmp_path / "r", LocalBackend())
    loaded, manifest = load(tmp_path / "r", encoder="qualquer")
    assert len(loaded) == 0 and manifest.problems == []


def test_the_words_of_removed_files_leave_the_disk(folder):
    backend, _ = load(folder)
    put(backend, "segredo.txt", ["palavra confidencialíssima"])
    save_index(folder, backend)
    backend.remove("segredo.txt")
    save_index(folder, backend)
    for path in data_folder(folder).iterdir():
        assert b"confidenc" not in path.read_bytes() and b"segredo" not in path.read_bytes()


@given(
    st.text(),
    st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())),
)
def test_any_text_and_metadata_survive_the_line(text, metadata):
    chunk = Chunk("id", text, text, "f", 3, text, text, 7, metadata)
    line = encode_chunk(chunk)
    assert b"\n" not in line and decode_chunk(line) == chunk


@pytest.mark.parametrize(
    "text", ["meio par \ud83d", "quebra\u2028de linha\x85\x00\r\n", "ímã 👩‍👩‍👧"]
)
def test_odd_characters_survive_the_disk(tmp_path, text):
    backend = LocalBackend(use_faiss=False)
    put(backend, f"{text}.txt", ["gato"], dense=False, metadata={text: [text]})
    save_index(tmp_path / "r", backend, {"settings": {text: text}})
    loaded, manifest = load(tmp_path / "r")
    assert loaded.chunk(0) == backend.chunk(0) and manifest.extra == {"settings": {text: text}}
    assert dict(loaded.documents) == dict(backend.documents)


def test_filters_see_the_same_metadata_after_loading(tmp_path):
    backend = LocalBackend(use_faiss=False)
    tricky = ['gato", "metadata": {"autor": "Ana"}}', "gato", 'gato\\", "metadata": {']
    for number, text in enumerate(tricky * 2):
        metadata = {"autor": "José 🎉" if number % 2 else "Ana", "metadata": {"n": number % 3}}
        put(backend, f"{number}", [text], dense=False, metadata=metadata)
    save_index(tmp_path / "r", backend)
    loaded, _ = load(tmp_path / "r")
    put(loaded, "novo", ["gato"], dense=False, metadata={"autor": "Ana", "metadata": {"n": 0}})
    judged = []
    found = loaded.search_lexical("gato", 9, lambda m: judged.append(m) or m["autor"] == "Ana")
    assert sorted(found.ids.tolist()) == [0, 2, 4, 6] and len(judged) <= 7


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"{}", b'{"chunk_id": 1}', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_not_a_chunk_is_refused(line):
    with pytest.raises(DataError, match="linha"):
        decode_chunk(line)


def test_unknown_keys_of_a_line_are_ignored():
    record = json.loads(encode_chunk(Chunk("1", "t", "s", "f"))) | {"futuro": 1}
    assert decode_chunk(json.dumps(record).encode()) == Chunk("1", "t", "s", "f")


def test_large_indexes_keep_their_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(VectorIndex.__init__, "__kwdefaults__", SMALL)
    backend = built({"a.txt": [f"texto {n}" for n in range(300)]}, use_faiss=True)
    save_index(tmp_path / "r", backend)
    loaded, manifest = load_index(tmp_path / "r")
    assert "neighbors.npy" in manifest.files and loaded.parts()[2]._near is not None
    expected = backend.search_dense(vector("x"), 5)
    assert loaded.search_dense(vector("x"), 5).ids.tolist() == expected.ids.tolist()
    flip(data_folder(tmp_path / "r") / "neighbors.npy")
    loaded, manifest = load_index(tmp_path / "r")
    assert "neighbors.npy" in manifest.problems[0] and not manifest.needs_vectors
    assert loaded.search_dense(vector("x"), 5).ids.tolist() == expected.ids.tolist()


SMALL = {"flat_limit": 50, "hnsw_limit": 10**6}


# ---------------------------------------------------------------------- o formato


def test_the_folder_has_the_files_of_the_contract(folder):
    assert names_in(folder) == sorted([data_folder(folder).name, "manifest.json"])
    assert names_in(data_folder(folder)) == sorted([*DATA, "manifest.json"])
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["format"] == "lunagpt-retriever" and manifest["version"] == 1
    assert manifest["encoder"] == EXTRA["encoder"] and manifest["dimension"] == 6
    for name in DATA:
        path = data_folder(folder) / name
        assert manifest["files"][name]["size"] == path.stat().st_size
        assert index_files.is_intact(path, manifest["files"][name])
    lines = (data_folder(folder) / "chunks.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == TEXTS[:5]


def test_a_second_save_keeps_the_date_of_creation_and_only_the_new_generation(folder):
    first = read_manifest(folder)
    second = save_index(folder, built({"b.txt": TEXTS}), EXTRA)
    assert second.created == first.created and second.generation != first.generation
    assert data_folder(folder).name == f"data-{second.generation}"


def test_keys_of_the_format_cannot_be_taken(folder):
    with pytest.raises(DataError, match="chunks"):
        save_index(folder, LocalBackend(), {"chunks": 3})
    assert contents(load(folder)[0]) == contents(built(FILES))


def test_a_newer_format_is_refused_with_what_to_do(folder):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 9}), encoding="utf-8")
    with pytest.raises(DataError, match="formato 9.*Atualize o LunaGPT"):
        load(folder)


def test_a_manifest_with_fewer_or_more_keys_is_read(folder):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for key in ("dimension", "chunks", "documents", "settings"):
        del manifest[key]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"depois": 1}), encoding="utf-8")
    loaded, found = load(folder)
    assert contents(loaded) == contents(built(FILES)) and found.problems == []
    assert found.extra["depois"] == 1 and (found.chunks, found.dimension) == (5, 6)


def test_a_header_that_promises_too_much_is_refused_before_taking_memory(tmp_path):
    path = tmp_path / "x.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)}
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
    with pytest.raises(DataError, match="forma"):
        index_files.read_array(path, "float32", 2)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 3), (5,)])
def test_arrays_come_back(tmp_path, shape):
    array = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    index_files.write_array(tmp_path / "x.npy", array)
    found = index_files.read_array(tmp_path / "x.npy", "int64", len(shape))
    assert found.shape == shape and found.tolist() == array.tolist()


def test_repeated_records_are_joined(folder):
    path = data_folder(folder) / "documents.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    records[2]["chunks"] = 1
    data = json.dumps([*records, records[2]]).encode()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["documents.json"] = index_files.write_data(path, data)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    loaded, _ = load(folder)
    assert [record.chunks for record in loaded.documents.values()] == [3, 0, 2]


def test_where_there_is_no_index_it_is_said(tmp_path):
    for path in (tmp_path / "nada", tmp_path):
        assert not index_exists(path)
        with pytest.raises(DataError, match="Não há índice.*Indexe"):
            load(path)


def test_an_index_of_another_encoder_comes_without_vectors(folder):
    loaded, manifest = load(folder, encoder="outro")
    assert manifest.needs_vectors and "outro" in manifest.problems[0]
    assert contents(loaded) == contents(built(FILES, dense=False))
    assert not load(folder, encoder=EXTRA["encoder"])[1].needs_vectors


def test_an_index_of_words_asks_for_vectors_only_if_there_is_an_encoder(tmp_path):
    save_index(tmp_path / "r", built(FILES, dense=False), {"encoder": None})
    assert not load(tmp_path / "r")[1].needs_vectors
    assert load(tmp_path / "r", encoder="e")[1].needs_vectors


def test_words_analysed_in_another_way_are_analysed_again(folder, monkeypatch):
    monkeypatch.setattr("src.retrieval.index_reader.analyzer_signature", lambda: "outra")
    loaded, manifest = load(folder)
    assert manifest.problems == [] and contents(loaded) == contents(built(FILES))


def test_only_new_texts_are_computed_after_loading(folder):
    loaded, _ = load(folder)
    model = Counting()
    EmbeddingCache(loaded).vectors_for([TEXTS[0], "novo", TEXTS[4]], model)
    assert model.asked == [["novo"]]
