"""Gravação que nunca deixa metade de um arquivo, nem metade de uma pasta."""

import errno
import json
import os
from pathlib import Path

import pytest

from src.utils import atomic_io
from src.utils.atomic_io import staged_directory, storage_error, write_bytes, write_json, write_text
from src.utils.errors import LunaError, StorageError


def fail_with(number: int):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_creates_folders_and_leaves_only_the_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "dados", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "dados").read_bytes() == b"\x00\xff"
    assert names(tmp_path / "a" / "b") == ["dados"]


def test_write_replaces_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "antigo, e mais longo")
    write_text(tmp_path / "x", "ação")
    assert (tmp_path / "x").read_bytes() == "ação".encode()


def test_json_keeps_accents_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"nome": "José"})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"nome": "José"} and "José" in text and text.endswith("}\n")


@pytest.mark.skipif(os.name == "nt", reason="permissões POSIX")
def test_written_files_are_readable_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "a")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "o disco está cheio"),
        (errno.EACCES, "permissão de escrita"),
        (errno.EROFS, "permissão de escrita"),
        (errno.EIO, "Verifique o disco"),
    ],
)
def test_a_refused_write_keeps_the_old_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, advice: str
) -> None:
    write_text(tmp_path / "x", "antigo")
    monkeypatch.setattr(os, step, fail_with(number))
    with pytest.raises(StorageError, match=advice) as caught:
        write_text(tmp_path / "x", "novo")
    assert isinstance(caught.value, LunaError) and str(tmp_path / "x") in str(caught.value)
    assert (tmp_path / "x").read_text(encoding="utf-8") == "antigo"
    assert names(tmp_path) == ["x"]


def test_an_interrupted_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args):
        raise KeyboardInterrupt

    write_text(tmp_path / "x", "antigo")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "x", "novo")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "antigo" and names(tmp_path) == ["x"]


def test_a_file_where_a_folder_should_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "arquivo").write_text("x", encoding="utf-8")
    with pytest.raises(StorageError):
        write_text(tmp_path / "arquivo" / "y", "z")
    with pytest.raises(StorageError):
        with staged_directory(tmp_path / "arquivo" / "y"):
            pass


def test_an_error_without_text_still_explains() -> None:
    assert "disco" in str(storage_error(OSError("estranho"), "x"))


def test_staged_directory_appears_only_when_complete(tmp_path: Path) -> None:
    final = tmp_path / "pais" / "modelo"
    with staged_directory(final) as staging:
        (staging / "dentro").mkdir()
        (staging / "dentro" / "a").write_text("1", encoding="utf-8")
        assert not final.exists() and staging.parent == final.parent
    assert (final / "dentro" / "a").read_text(encoding="utf-8") == "1"
    assert names(final.parent) == ["modelo"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_staged_directory_leaves_nothing_on_exception(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        with staged_directory(tmp_path / "modelo") as staging:
            (staging / "a").write_text("1", encoding="utf-8")
            raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_staged_directory_leaves_nothing_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(os, step, fail_with(errno.ENOSPC))
    with pytest.raises(StorageError, match="disco está cheio"):
        with staged_directory(tmp_path / "modelo") as staging:
            (staging / "a").write_text("1", encoding="utf-8")
    assert names(tmp_path) == []


def test_staged_directory_never_overwrites_a_folder_with_content(tmp_path: Path) -> None:
    (tmp_path / "modelo").mkdir()
    (tmp_path / "modelo" / "meu").write_text("fica", encoding="utf-8")
    with pytest.raises(FileExistsError):
        with staged_directory(tmp_path / "modelo") as staging:
            (staging / "a").write_text("1", encoding="utf-8")
    assert names(tmp_path) == ["modelo"] and names(tmp_path / "modelo") == ["meu"]


def test_staged_directory_takes_the_place_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "modelo").mkdir()
    with staged_directory(tmp_path / "modelo") as staging:
        (staging / "a").write_text("1", encoding="utf-8")
    assert names(tmp_path / "modelo") == ["a"]


def test_windows_folders_are_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    with monkeypatch.context() as patch:  # Path() não pode ser criado com os.name trocado
        patch.setattr(atomic_io.os, "name", "nt")
        patch.setattr(os, "open", lambda *args: opened.append(args))
        atomic_io.fsync_path(tmp_path)
    assert opened == []
