"""O índice danificado: o que está inteiro se usa, o resto se diz e se refaz."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.retrieval import index_files
from src.retrieval.storage import save_index
from src.utils.errors import DataError
from tests.retrieval_support import (
    DAMAGE,
    DATA,
    EXTRA,
    FILES,
    LEXICAL,
    TEXTS,
    built,
    contents,
    data_folder,
    flip,
    load,
    vector,
)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    """Um índice gravado."""
    save_index(tmp_path / "retriever", built(FILES), EXTRA)
    return tmp_path / "retriever"


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", LEXICAL)
def test_damaged_words_are_told_and_rebuilt(folder, name, damage, caplog):
    DAMAGE[damage](data_folder(folder) / name)
    loaded, manifest = load(folder)
    assert contents(loaded) == contents(built(FILES))
    assert len(manifest.problems) == 1 and "refeitos" in manifest.problems[0]
    assert [r.levelno for r in caplog.records] == [logging.WARNING] and not manifest.needs_vectors


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_vectors_are_told_and_left_out(folder, damage):
    DAMAGE[damage](data_folder(folder) / "vectors.npy")
    loaded, manifest = load(folder)
    assert contents(loaded) == contents(built(FILES, dense=False))
    assert manifest.needs_vectors and "vectors.npy" in manifest.problems[0]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_row_marks_are_found_again(folder, damage):
    DAMAGE[damage](data_folder(folder) / "rows.npy")
    loaded, manifest = load(folder)
    assert contents(loaded) == contents(built(FILES)) and "rows.npy" in manifest.problems[0]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_list_of_files_is_rebuilt_and_will_be_read_again(folder, damage):
    DAMAGE[damage](data_folder(folder) / "documents.json")
    loaded, manifest = load(folder)
    assert "documents.json" in manifest.problems[0]
    found = [(r.file, r.chunks, r.digest) for r in loaded.documents.values()]
    assert found == [("a.txt", 3, ""), ("ação 🎉.md", 2, "")]
    assert contents(loaded)["lexical gato"] == contents(built(FILES))["lexical gato"]


def test_one_damaged_line_costs_one_chunk_and_no_vectors(folder):
    path = data_folder(folder) / "chunks.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace("o rato e o gato".encode(), "o rAto e o gato".encode(), 1))
    loaded, manifest = load(folder)
    assert "1 de 5 trechos se perderam (linhas 2)" in manifest.problems[0]
    expected = contents(built(FILES | {"a.txt": [TEXTS[0], TEXTS[2]]}))
    found = contents(loaded)
    for key in expected.keys() - {"documents", "chunks"}:  # a posição de um trecho é a de antes
        assert found[key] == expected[key]
    assert loaded.documents["a.txt"].digest == "" and loaded.documents["a.txt"].chunks == 2
    assert loaded.documents["ação 🎉.md"].digest and "vazio.txt" in loaded.documents


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_the_good_lines_of_a_damaged_file_are_kept(folder, damage):
    DAMAGE[damage](data_folder(folder) / "chunks.jsonl")
    loaded, manifest = load(folder)
    kept = [loaded.chunk(row).text for row in range(len(loaded))]
    assert 0 < len(kept) < 5 and set(kept) < set(TEXTS) and "chunks.jsonl" in manifest.problems[0]
    assert len(loaded.search_dense(vector("x"), 9).ids) == len(kept)
    save_index(folder, loaded)
    assert load(folder)[1].problems == []


def test_lines_are_kept_even_without_the_row_marks_and_the_manifests(folder):
    (folder / "manifest.json").unlink()
    inside = data_folder(folder)
    for name in ("manifest.json", "rows.npy", "documents.json"):
        (inside / name).unlink()
    path = inside / "chunks.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"lixo", *lines[2:4]]))
    loaded, manifest = load(folder)
    assert [loaded.chunk(row).text for row in range(3)] == [TEXTS[0], TEXTS[2], TEXTS[3]]
    assert manifest.needs_vectors and "1 de 4" in " ".join(manifest.problems)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_manifest_falls_back_to_the_copy(folder, damage):
    DAMAGE[damage](folder / "manifest.json")
    loaded, manifest = load(folder)
    assert contents(loaded) == contents(built(FILES)) and manifest.extra == EXTRA
    assert len(manifest.problems) == 1 and "manifest.json" in manifest.problems[0]


def test_without_a_manifest_the_newest_whole_generation_is_used(folder):
    old = data_folder(folder)
    shutil.copytree(old, folder.parent / "velha")
    save_index(folder, built({"b.txt": TEXTS}), EXTRA)
    shutil.copytree(folder.parent / "velha", old)
    (folder / "manifest.json").unlink()
    assert contents(load(folder)[0]) == contents(built({"b.txt": TEXTS}))


def test_a_generation_without_chunks_gives_way_to_another(folder):
    old = data_folder(folder)
    shutil.copytree(old, folder.parent / "velha")
    save_index(folder, built({"b.txt": TEXTS}), EXTRA)
    (data_folder(folder) / "chunks.jsonl").unlink()
    shutil.copytree(folder.parent / "velha", old)
    loaded, manifest = load(folder)
    assert contents(loaded) == contents(built(FILES)) and "chunks.jsonl" in manifest.problems[0]


@pytest.mark.parametrize("damage", ["empty", "missing", "garbage"])
def test_where_nothing_is_left_indexing_again_is_asked_for(folder, damage):
    DAMAGE[damage](data_folder(folder) / "chunks.jsonl")
    with pytest.raises(DataError, match="nada se aproveita.*Indexe os documentos de novo"):
        load(folder)


@pytest.mark.parametrize("generation", ["../fora", "", "a/b", 3, None])
def test_a_manifest_cannot_point_outside(folder, generation):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["generation"] = generation
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert contents(load(folder)[0]) == contents(built(FILES))


def test_pickles_are_never_read(folder):
    path = data_folder(folder) / "vectors.npy"
    np.save(path, np.array([object()], dtype=object), allow_pickle=True)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["vectors.npy"] = index_files.write_data(path, path.read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert load(folder)[1].needs_vectors


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from([*DATA, "manifest.json"]), place=st.floats(0, 0.999))
def test_any_flipped_byte_is_survived(folder, name, place):
    """Um byte trocado nunca derruba a leitura nem muda um texto sem aviso."""
    path = data_folder(folder) / name
    before = path.read_bytes()
    flip(path, place)
    try:
        loaded, manifest = load(folder)
        assert all(loaded.chunk(row).text in TEXTS for row in range(len(loaded)))
        assert len(loaded) >= 4 and (manifest.problems or name == "manifest.json")
    finally:
        path.write_bytes(before)
