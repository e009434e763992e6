"""Gravar um modelo por cima de outro: em todo instante há uma cópia inteira, e ela volta."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.utils import model_swap
from src.utils.errors import LunaError, ModelExistsError, ModelNotFoundError, StorageError
from src.utils.model_store import ModelStore

KILLED = "-0123abcd"  # o fim do nome de uma cópia fora do lugar
INDEX = '{"weight_map": {"a": "pesos.safetensors"}}'


def whole(text: str) -> Callable[[Path], None]:
    """Quem escreve um modelo inteiro, cujos pesos são ``text``."""

    def fill(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "model.safetensors.index.json").write_text(INDEX, encoding="utf-8")
        (folder / "pesos.safetensors").write_text(text, encoding="utf-8")

    return fill


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leftovers(store: ModelStore) -> list[str]:
    return [path.name for path in store.models_dir.iterdir() if path.name.startswith(".tmp-")]


def weights(store: ModelStore, name: str = "Luna") -> str:
    return (store.path(name) / "pesos.safetensors").read_text(encoding="utf-8")


def killed(store: ModelStore, name: str, kind: str = "replaced", text: str = "antigo") -> Path:
    """A cópia que um processo morto deixou fora do lugar."""
    store.models_dir.mkdir(exist_ok=True)
    copy = store.models_dir / f".tmp-{kind}-{name}{KILLED}"
    whole(text)(copy)
    return copy


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def luna(store: ModelStore) -> Path:
    """Um modelo com documentos indexados."""
    folder = store.install("Luna", whole("antigo"))
    (folder / "retriever" / "partes").mkdir(parents=True)
    (folder / "retriever" / "manifest.json").write_text("meus documentos", encoding="utf-8")
    (folder / "retriever" / "partes" / "0.npy").write_bytes(b"\x00\x01")
    return folder


# --- Instalar ------------------------------------------------------------------------------------


def test_a_new_model_has_its_name_only_when_complete(store: ModelStore) -> None:
    def fill(staging: Path) -> None:
        whole("novo")(staging)
        assert not store.path("Luna").exists() and staging.parent == store.models_dir

    assert store.install("Luna", fill) == store.models_dir / "Luna"
    assert weights(store) == "novo" and leftovers(store) == []


def test_a_replaced_model_leaves_only_its_documents(store: ModelStore, luna: Path) -> None:
    (luna / "extra.txt").write_text("antigo", encoding="utf-8")
    documents = contents(luna / "retriever")
    store.install("Luna", whole("novo"))
    assert weights(store) == "novo" and not (luna / "extra.txt").exists()
    assert contents(luna / "retriever") == documents and leftovers(store) == []


def test_a_folder_with_only_documents_becomes_a_model(store: ModelStore) -> None:
    documents = store.models_dir / "Luna" / "retriever"
    documents.mkdir(parents=True)
    (documents / "manifest.json").write_text("meus", encoding="utf-8")
    store.install("Luna", whole("novo"))
    assert (documents / "manifest.json").read_text(encoding="utf-8") == "meus"
    assert store.names() == ["Luna"] and leftovers(store) == []


def test_documents_made_by_fill_win_over_the_old_ones(store: ModelStore, luna: Path) -> None:
    def fill(staging: Path) -> None:
        whole("novo")(staging)
        (staging / "retriever").mkdir()

    store.install("Luna", fill)
    assert contents(luna / "retriever") == {}


def test_what_is_kept_can_be_chosen(store: ModelStore, luna: Path) -> None:
    (luna / "checkpoints").mkdir()
    store.install("Luna", whole("novo"), keep=("checkpoints", "não existe"))
    assert (luna / "checkpoints").is_dir() and not (luna / "retriever").exists()


@pytest.mark.skipif(os.name == "nt", reason="atalhos pedem privilégio no Windows")
def test_a_linked_model_is_replaced_without_touching_what_it_points_to(
    store: ModelStore, tmp_path: Path
) -> None:
    whole("de outro disco")(tmp_path / "real")
    store.models_dir.mkdir()
    store.path("Luna").symlink_to(tmp_path / "real", target_is_directory=True)
    store.install("Luna", whole("novo"))
    assert weights(store) == "novo" and not store.path("Luna").is_symlink()
    assert contents(tmp_path / "real")["pesos.safetensors"] == b"de outro disco"
    assert leftovers(store) == []


# --- Falhar no meio ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_fill_changes_nothing(
    store: ModelStore, luna: Path, error: type[BaseException]
) -> None:
    def fill(staging: Path) -> None:
        whole("novo")(staging)
        raise error

    before = contents(luna)
    for name in ("Luna", "Nova"):
        with pytest.raises(error):
            store.install(name, fill)
    assert contents(luna) == before and store.names() == ["Luna"] and leftovers(store) == []


@pytest.mark.parametrize("error", [OSError(28, "cheio"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["_copy_tree", "fsync_tree"])
def test_a_failure_before_the_swap_changes_nothing(
    store: ModelStore,
    luna: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: BaseException,
) -> None:
    def fail(*args: Path) -> None:
        raise error

    before = contents(luna)
    monkeypatch.setattr(model_swap, step, fail)
    with pytest.raises((StorageError, KeyboardInterrupt)) as caught:
        store.install("Luna", whole("novo"))
    assert isinstance(error, KeyboardInterrupt) or "disco está cheio" in str(caught.value)
    assert contents(luna) == before and leftovers(store) == []


def test_a_full_disk_while_keeping_the_documents_is_named(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Path) -> None:
        raise OSError(28, "cheio")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(StorageError, match="disco está cheio"):
        store.install("Luna", whole("novo"))
    assert weights(store) == "antigo" and leftovers(store) == []


def fail_at(
    monkeypatch: pytest.MonkeyPatch, nth: int, error: BaseException, after: bool = False
) -> list[Path]:
    """Faz o ``nth`` renome falhar, antes ou depois de feito; devolve os destinos pedidos."""
    real, calls = os.rename, []

    def rename(source: Path, target: Path) -> None:
        calls.append(Path(target))
        if len(calls) == nth and not after:
            raise error
        real(source, target)
        if len(calls) == nth:
            raise error

    monkeypatch.setattr(os, "rename", rename)
    return calls


@pytest.mark.parametrize("error", [OSError(5, "erro"), KeyboardInterrupt()])
@pytest.mark.parametrize(("nth", "after"), [(1, False), (1, True), (2, False)])
def test_a_swap_that_fails_half_way_gives_the_old_model_back(
    store: ModelStore,
    luna: Path,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
    after: bool,
    error: BaseException,
) -> None:
    before = contents(luna)
    fail_at(monkeypatch, nth, error, after)
    with pytest.raises((StorageError, KeyboardInterrupt)):
        store.install("Luna", whole("novo"))
    assert contents(luna) == before and leftovers(store) == []


def test_an_interruption_after_the_swap_keeps_the_new_model(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, 2, KeyboardInterrupt(), after=True)
        with pytest.raises(KeyboardInterrupt):
            store.install("Luna", whole("novo"))
    assert weights(store) == "novo" and len(leftovers(store)) == 1
    assert (luna / "retriever" / "manifest.json").exists()
    store.install("Outra", whole("outro"))  # a próxima gravação acaba a limpeza
    assert leftovers(store) == [] and weights(store) == "novo"


def test_a_swap_that_cannot_be_undone_is_undone_by_the_next_command(
    store: ModelStore,
    luna: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, real = contents(luna), os.rename

    def rename(source: Path, target: Path) -> None:
        if target == luna:  # nem a nova entra, nem a antiga volta
            raise OSError(5, "erro de entrada e saída")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        with pytest.raises(StorageError):
            store.install("Luna", whole("novo"))
        assert "volta no próximo comando" in caplog.text
        with pytest.raises(ModelNotFoundError):
            store.require("Luna")
        assert "não pôde ser devolvido" in caplog.text
    assert store.require("Luna") == luna and contents(luna) == before


def test_an_old_copy_that_cannot_be_erased_is_a_warning_and_not_a_failure(
    store: ModelStore,
    luna: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "permissão negada")

    with monkeypatch.context() as patch:
        patch.setattr(model_swap, "discard", refuse)
        assert store.install("Luna", whole("novo")) == luna
    assert weights(store) == "novo" and "não pôde ser apagada" in caplog.text
    assert [name[:13] for name in leftovers(store)] == [".tmp-removed-"]
    store.install("Luna", whole("mais novo"))
    assert leftovers(store) == []


@pytest.mark.skipif(os.name == "nt", reason="o Windows não tem SIGKILL")
@pytest.mark.parametrize(("nth", "expected"), [(1, "antigo"), (2, "antigo"), (3, "novo")])
def test_a_process_killed_at_any_rename_never_loses_the_model(
    store: ModelStore, luna: Path, nth: int, expected: str
) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.test_model_swap import ModelStore, whole\n"
        "real, calls = os.rename, []\n"
        "def rename(source, target):\n"
        "    calls.append(target)\n"
        f"    if len(calls) == {nth}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(source, target)\n"
        "os.rename = rename\n"
        "store = ModelStore(sys.argv[1])\n"
        "with store.lock('Luna'): store.install('Luna', whole('novo'))\n"
    )
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code, str(store.models_dir)]
    assert subprocess.run(command, cwd=root, check=False).returncode == -signal.SIGKILL
    assert [entry.complete for entry in store.list()] == [True] and weights(store) == expected
    assert (luna / "retriever" / "manifest.json").exists()
    store.install("Luna", whole("depois"))
    assert not [name for name in leftovers(store) if "Luna" in name]


# --- Recuperar o que um processo morto deixou -----------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.exists("Luna"),
        lambda store: store.require("Luna"),
        lambda store: store.names() == ["Luna"],
        lambda store: [entry.name for entry in store.list()] == ["Luna"],
    ],
)
def test_the_only_copy_is_given_its_name_back_by_whoever_asks(
    store: ModelStore, caplog: pytest.LogCaptureFixture, ask: Callable[[ModelStore], object]
) -> None:
    killed(store, "Luna")
    assert ask(store)
    assert weights(store) == "antigo" and leftovers(store) == []
    assert caplog.text.count("foi devolvido") == 1 and len(caplog.records) == 1


def test_the_lock_gives_the_name_back_too(store: ModelStore) -> None:
    killed(store, "Luna")
    with store.lock("Luna"):
        assert store.exists("Luna")
        with pytest.raises(ModelExistsError):
            store.check_free("Luna")


def test_install_gives_the_name_back_before_replacing(store: ModelStore) -> None:
    (killed(store, "Luna") / "retriever").mkdir()
    store.install("Luna", whole("novo"))
    assert weights(store) == "novo" and (store.path("Luna") / "retriever").is_dir()
    assert leftovers(store) == []


def test_the_most_recent_of_two_copies_is_given_back(store: ModelStore) -> None:
    killed(store, "Luna", text="velho")
    os.rename(killed(store, "X", text="recente"), store.models_dir / ".tmp-replaced-Luna-00000000")
    assert store.exists("Luna") and weights(store) == "recente"


def test_a_copy_of_a_longer_name_is_not_taken_for_the_shorter(store: ModelStore) -> None:
    killed(store, "Luna-abcdef01")
    assert not store.exists("Luna") and store.names() == ["Luna-abcdef01"]


def test_a_decomposed_accent_in_the_folder_name_is_recognised(store: ModelStore) -> None:
    killed(store, "Ame\u0301lia")
    assert store.exists("Am\u00e9lia")


def test_a_removed_copy_is_never_given_back_and_never_erased_alone(
    store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    copy = killed(store, "Luna", "removed")
    assert not store.exists("Luna") and store.names() == []
    store.install("Outra", whole("outro"))
    store.remove("Outra")
    assert copy.exists() and copy.name in caplog.text


@pytest.mark.parametrize("kind", ["replaced", "removed"])
@pytest.mark.parametrize("name", ["Luna", "Outra"])
def test_leftovers_of_a_model_that_exists_are_erased_by_the_next_install_or_removal(
    store: ModelStore, luna: Path, kind: str, name: str
) -> None:
    killed(store, "Luna", kind)
    store.install(name, whole("novo"))
    assert leftovers(store) == [] and store.exists("Luna")
    killed(store, "Luna", kind)
    store.remove(name)
    assert leftovers(store) == []
    assert store.exists("Luna") is (name == "Outra")  # o removido não volta


def test_a_folder_that_is_not_a_model_does_not_count_as_the_model(store: ModelStore) -> None:
    copy = killed(store, "Luna")
    (store.models_dir / "Luna" / "retriever").mkdir(parents=True)
    store.install("Outra", whole("outro"))
    assert copy.exists() and not store.exists("Luna")


def test_a_renamed_model_does_not_come_back_under_the_old_name(
    store: ModelStore, luna: Path
) -> None:
    killed(store, "Luna")
    store.rename("Luna", "Nova")
    assert store.names() == ["Nova"] and leftovers(store) == []


def test_rename_sees_the_model_that_lost_the_target_name(store: ModelStore, luna: Path) -> None:
    killed(store, "Nova")
    with pytest.raises(ModelExistsError):
        store.rename("Luna", "Nova")
    assert store.names() == ["Luna", "Nova"]


def test_a_swap_under_way_in_another_process_is_left_alone(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("src.utils.model_store.SWAP_SECONDS", 0)
    with store.lock("Outra"), store.lock("Luna"):
        first, second = killed(store, "Outra"), killed(store, "Luna")
        other = ModelStore(store.models_dir)
        assert not other.exists("Outra") and first.exists()
        other.install("Terceira", whole("x"))
        assert first.exists() and second.exists()
    assert other.exists("Outra")


def test_a_lock_released_after_a_failed_restoration(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = killed(store, "Luna")
    with monkeypatch.context() as patch:
        fail_at(patch, 1, OSError(13, "permissão"))
        with pytest.raises(StorageError, match="permissão"):
            with store.lock("Luna"):
                pass
    assert copy.exists()
    with store.lock("Luna"):
        assert not copy.exists()


def test_install_inside_the_lock_does_not_wait_for_itself(store: ModelStore, luna: Path) -> None:
    with store.lock("Luna"):
        store.install("Luna", whole("novo"))
        with pytest.raises(LunaError, match="em uso"):
            store.remove("Luna")
    assert weights(store) == "novo"
