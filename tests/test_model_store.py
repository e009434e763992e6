"""A pasta de modelos: nomes, listagem, travas, e arquivos exportados, bons e hostis."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from src.utils import model_archive, model_store
from src.utils.errors import (
    LunaError,
    ModelExistsError,
    ModelFormatError,
    ModelNotFoundError,
    StorageError,
    UsageError,
)
from src.utils.model_store import ModelStore, model_problem, validate_model_name

INDEX = {
    "metadata": {"total_parameters": 1234, "total_size": 16},
    "weight_map": {"a": "components/base.safetensors"},
}
CONFIG = b'{"model_type": "luna"}'


def make_model(models: Path, name: str, weights: bytes = b"pesos" * 3) -> Path:
    folder = models / name
    (folder / "components").mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "model.safetensors.index.json").write_text(json.dumps(INDEX), encoding="utf-8")
    (folder / "components" / "base.safetensors").write_bytes(weights)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leftovers(models: Path) -> list[str]:
    return [path.name for path in models.iterdir() if path.name.startswith(".tmp-")]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def luna(store: ModelStore) -> Path:
    return make_model(store.models_dir, "Luna")


# --- Nomes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MeuLunaGPT", "luna-2_b.v1", "Língua", "a", "7", "a" * 64, "月"])
def test_good_names_are_kept(name: str) -> None:
    assert validate_model_name(name) == name


def test_decomposed_accents_are_composed() -> None:
    assert validate_model_name("Ame\u0301lia") == "Am\u00e9lia"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".oculto", "-rf", "a b", "a\nb", "fim.", "a" * 65, "𠀀" * 64, "CON", "nul.txt"]
    + ["com1", "LPT9.x", "a*b", "a\0b", "emoji🙂", "a\udcff"],
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        validate_model_name(name)


def test_a_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="esperado um texto"):
        validate_model_name(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["models/X", "../X", "/tmp/X/", "models\\X", "C:X", "C:\\m\\X"])
def test_a_path_is_refused_with_the_name_it_would_have(path: str) -> None:
    with pytest.raises(UsageError, match="é um caminho.*O nome seria 'X'"):
        validate_model_name(path)


def test_a_path_without_a_usable_name_suggests_none() -> None:
    with pytest.raises(UsageError) as caught:
        validate_model_name("../..")
    assert "O nome seria" not in str(caught.value)


# --- Listar e exigir -----------------------------------------------------------------------------


def test_a_store_that_does_not_exist_is_empty(store: ModelStore) -> None:
    assert store.list() == [] and store.names() == [] and not store.models_dir.exists()


def test_list_describes_each_model(store: ModelStore, luna: Path) -> None:
    (luna / "retriever").mkdir()
    (luna / "retriever" / "manifest.json").write_text("{}", encoding="utf-8")
    make_model(store.models_dir, "amora")
    first, second = store.list()
    assert (first.name, second.name) == ("amora", "Luna")
    assert second.size_bytes == sum(len(data) for data in contents(luna).values())
    assert second.parameters == 1234
    assert second.has_retriever and not first.has_retriever
    assert second.complete and second.path == luna
    assert second.modified.tzinfo is not None


def test_list_leaves_out_what_is_not_a_model(
    store: ModelStore, luna: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (store.models_dir / "SoDocumentos" / "retriever").mkdir(parents=True)
    make_model(store.models_dir, ".tmp-abc")
    make_model(store.models_dir, "nome ruim")
    (store.models_dir / "arquivo.txt").write_text("x", encoding="utf-8")
    assert [entry.name for entry in store.list()] == ["Luna"]
    assert "nome ruim" in caplog.text


def test_parameters_come_from_config_or_stay_unknown(store: ModelStore, luna: Path) -> None:
    index = luna / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": INDEX["weight_map"]}), encoding="utf-8")
    assert store.list()[0].parameters is None
    (luna / "config.json").write_text('{"total_parameters": 7}', encoding="utf-8")
    assert store.list()[0].parameters == 7


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("config.json", "{", "config.json não é um objeto JSON"),
        ("model.safetensors.index.json", "[]", "não é um objeto JSON"),
        ("model.safetensors.index.json", "{}", "weight_map"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "x.safetensors"}}', "falta o arq"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../x"}}', "falta o arq"),
    ],
)
def test_a_damaged_model_is_listed_as_incomplete(
    store: ModelStore, luna: Path, file: str, text: str, problem: str
) -> None:
    (store.models_dir / "x").write_text("fora da pasta", encoding="utf-8")
    (luna / file).write_text(text, encoding="utf-8")
    assert problem in str(model_problem(luna))
    assert [entry.complete for entry in store.list()] == [False]


def test_a_model_without_index_is_incomplete(store: ModelStore, luna: Path) -> None:
    (luna / "model.safetensors.index.json").unlink()
    assert model_problem(luna) == "falta model.safetensors.index.json"
    assert not store.list()[0].complete


def test_a_model_removed_while_listing_is_left_out(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(folder: Path) -> None:
        raise FileNotFoundError(folder)

    monkeypatch.setattr(model_store, "_entry", gone)
    assert store.list() == []


def test_a_file_that_vanishes_is_left_out_of_the_size(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.lstat

    def lstat(path, *args, **kwargs):
        if str(path).endswith("base.safetensors"):
            raise FileNotFoundError(path)
        return real(path, *args, **kwargs)

    whole = store.list()[0].size_bytes
    monkeypatch.setattr(os, "lstat", lstat)
    assert store.list()[0].size_bytes == whole - len(b"pesos" * 3)


def test_an_unreadable_store_says_so(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path):
        raise PermissionError(13, "permissão negada")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(StorageError, match="ler"):
        store.list()


def test_require_gives_the_folder(store: ModelStore, luna: Path) -> None:
    assert store.require("Luna") == luna == store.path("Luna")


def test_require_names_the_close_ones_and_how_to_create(store: ModelStore, luna: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        store.require("Luma")
    text = str(caught.value)
    assert "Você quis dizer 'Luna'?" in text and "Os que existem: Luna." in text
    assert "python main.py create --name Luma" in text
    assert caught.value.exit_code == 2


def test_a_folder_without_config_is_not_a_model(store: ModelStore) -> None:
    (store.models_dir / "X" / "tokenizer").mkdir(parents=True)
    with pytest.raises(ModelNotFoundError, match="sem config.json.*nenhum"):
        store.require("X")
    assert store.check_free("X") == store.models_dir / "X"


def test_a_folder_with_only_documents_is_told_apart_and_can_be_removed(store: ModelStore) -> None:
    (store.models_dir / "X" / "retriever").mkdir(parents=True)
    assert store.documents_only() == []  # vazia, não tem documento algum
    (store.models_dir / "X" / "retriever" / "manifest.json").write_text("{}")
    assert store.documents_only() == ["X"] and store.names() == []
    with pytest.raises(ModelNotFoundError, match="só tem documentos"):
        store.require("X")
    assert store.check_free("X") == store.models_dir / "X"
    store.remove("X")
    assert store.documents_only() == []


def test_check_free_refuses_an_existing_model_unless_forced(store: ModelStore, luna: Path) -> None:
    with pytest.raises(ModelExistsError, match="--force"):
        store.check_free("Luna")
    assert store.check_free("Luna", force=True) == luna


# --- Travar --------------------------------------------------------------------------------------


def test_a_locked_model_is_busy_until_released(store: ModelStore, luna: Path) -> None:
    with store.lock("Luna"):
        with pytest.raises(LunaError, match="o modelo 'Luna' está em uso por outro processo"):
            with store.lock("Luna"):
                pass
        with pytest.raises(LunaError, match="em uso"):
            store.remove("Luna")
    with store.lock("Luna"):
        assert luna.exists()


def test_the_lock_holds_across_processes(store: ModelStore, luna: Path) -> None:
    code = (
        "import sys; from src.utils.model_store import ModelStore\n"
        "try:\n    ModelStore(sys.argv[1]).remove('Luna')\n"
        "except Exception as error:\n    print(error); sys.exit(3)"
    )
    command = [sys.executable, "-c", code, str(store.models_dir)]
    root = Path(__file__).resolve().parents[1]
    env = os.environ | {"PYTHONIOENCODING": "utf-8"}
    with store.lock("Luna"):
        done = subprocess.run(command, cwd=root, capture_output=True, env=env, check=False)
    assert done.returncode == 3 and "em uso" in done.stdout.decode("utf-8"), done.stderr
    assert luna.exists()


def test_a_lock_that_cannot_be_created_says_so(store: ModelStore) -> None:
    store.models_dir.mkdir()
    (store.models_dir / ".locks").write_text("não é pasta", encoding="utf-8")
    with pytest.raises(StorageError):
        with store.lock("Luna"):
            pass


# --- Renomear e remover --------------------------------------------------------------------------


def test_rename_moves_everything(store: ModelStore, luna: Path) -> None:
    before = contents(luna)
    (store.models_dir / "Nova").mkdir()  # uma pasta vazia não impede
    assert store.rename("Luna", "Nova") == store.models_dir / "Nova"
    assert contents(store.models_dir / "Nova") == before and not luna.exists()


@pytest.mark.parametrize("only", ["retriever", "config.json"])
def test_rename_never_overwrites(store: ModelStore, luna: Path, only: str) -> None:
    (store.models_dir / "Outra" / only).mkdir(parents=True)
    with pytest.raises(ModelExistsError):
        store.rename("Luna", "Outra")
    assert luna.exists()


def test_rename_to_the_same_name_is_refused(store: ModelStore, luna: Path) -> None:
    with pytest.raises(UsageError, match="já se chama"):
        store.rename("Luna", "Luna")


def test_rename_refused_by_the_disk_changes_nothing(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "rename", failing(13))
    with pytest.raises(StorageError, match="permissão"):
        store.rename("Luna", "Nova")
    assert store.names() == ["Luna"]


def failing(number: int):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


def test_remove_leaves_nothing(store: ModelStore, luna: Path) -> None:
    store.remove("Luna")
    assert not luna.exists() and leftovers(store.models_dir) == []


def test_an_interrupted_removal_leaves_no_half_model_and_is_finished_when_the_name_is_used_again(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_model(store.models_dir, "Outra")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", failing(5))
        with pytest.raises(StorageError, match="Apague essa pasta"):
            store.remove("Luna")
    assert store.names() == ["Outra"] and len(leftovers(store.models_dir)) == 1
    store.remove("Outra")  # a única cópia de Luna fica, e o registro diz onde
    assert len(leftovers(store.models_dir)) == 1 and "Sobrou" in caplog.text
    make_model(store.models_dir, "Luna")
    store.remove("Luna")
    assert leftovers(store.models_dir) == []


def test_removal_refused_by_the_disk_changes_nothing(
    store: ModelStore, luna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(luna)
    monkeypatch.setattr(os, "rename", failing(13))
    with pytest.raises(StorageError):
        store.remove("Luna")
    assert contents(luna) == before


@pytest.mark.skipif(os.name == "nt", reason="atalhos pedem privilégio no Windows")
def test_removing_a_symlinked_model_keeps_the_folder_it_points_to(
    store: ModelStore, tmp_path: Path
) -> None:
    real = make_model(tmp_path / "outro", "real")
    store.models_dir.mkdir()
    (store.models_dir / "Luna").symlink_to(real, target_is_directory=True)
    store.remove("Luna")
    assert real.exists() and store.names() == [] and leftovers(store.models_dir) == []


# --- Exportar e importar -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".zip", ".ZIP"])
def test_what_is_exported_comes_back_byte_for_byte(
    store: ModelStore, luna: Path, tmp_path: Path, suffix: str
) -> None:
    (luna / "tokenizer").mkdir()
    (luna / "tokenizer" / "ação.json").write_text('"é"', encoding="utf-8")
    (luna / ".tmp-resto").write_text("x", encoding="utf-8")
    (luna / "vazio").write_bytes(b"")
    before = contents(luna)
    archive = store.export("Luna", tmp_path / "saida" / f"luna{suffix}")
    other = ModelStore(tmp_path / "outra máquina")
    assert other.import_archive(archive) == other.models_dir / "Luna"
    assert contents(other.path("Luna")) == {k: v for k, v in before.items() if k != ".tmp-resto"}
    assert other.list()[0].complete
    assert leftovers(other.models_dir) == [] and leftovers(archive.parent) == []


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_the_same_model_gives_the_same_archive(
    store: ModelStore, luna: Path, tmp_path: Path, suffix: str
) -> None:
    first = store.export("Luna", tmp_path / f"a{suffix}").read_bytes()
    assert store.export("Luna", tmp_path / f"b{suffix}").read_bytes() == first


def test_checkpoints_travel_only_when_asked(store: ModelStore, luna: Path, tmp_path: Path) -> None:
    (luna / "checkpoints" / "step-1").mkdir(parents=True)
    (luna / "checkpoints" / "step-1" / "state.json").write_text("{}", encoding="utf-8")
    without = store.export("Luna", tmp_path / "a.tar.gz")
    within = store.export("Luna", tmp_path / "b.tar.gz", include_checkpoints=True)
    with tarfile.open(without) as small, tarfile.open(within) as big:
        assert set(big.getnames()) - set(small.getnames()) == {"Luna/checkpoints/step-1/state.json"}
        assert big.getnames() == sorted(big.getnames())


def test_the_cached_corpus_never_travels(store: ModelStore, luna: Path, tmp_path: Path) -> None:
    for place in ("training/cache/corpus-1", "components/cache"):
        (luna / place).mkdir(parents=True)
        (luna / place / "valid.jsonl").write_text("segredo", encoding="utf-8")
    (luna / "training" / "report.html").write_text("<p>", encoding="utf-8")
    path = store.export("Luna", tmp_path / "a.tar.gz", include_checkpoints=True)
    with tarfile.open(path) as archive:
        names = [name.removeprefix("Luna/") for name in archive.getnames()]
    assert not any(name.startswith("training/cache") for name in names)
    assert {"training/report.html", "components/cache/valid.jsonl"} <= set(names)


def test_export_keeps_an_existing_archive_unless_forced(
    store: ModelStore, luna: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "luna.zip"
    archive.write_text("meu", encoding="utf-8")
    with pytest.raises(UsageError, match="--force"):
        store.export("Luna", archive)
    assert archive.read_text(encoding="utf-8") == "meu"
    store.export("Luna", archive, force=True)
    assert zipfile.is_zipfile(archive)


def test_export_refuses_a_folder_and_an_unknown_suffix(
    store: ModelStore, luna: Path, tmp_path: Path
) -> None:
    (tmp_path / "pasta.zip").mkdir()
    with pytest.raises(UsageError, match="já existe"):
        store.export("Luna", tmp_path / "pasta.zip", force=True)
    with pytest.raises(UsageError, match=".tar.gz"):
        store.export("Luna", tmp_path / "luna.rar")


def test_export_refuses_an_incomplete_model(store: ModelStore, luna: Path, tmp_path: Path) -> None:
    (luna / "components" / "base.safetensors").unlink()
    with pytest.raises(ModelFormatError, match="base.safetensors"):
        store.export("Luna", tmp_path / "luna.zip")
    assert not (tmp_path / "luna.zip").exists()


def test_export_refuses_what_import_would(store: ModelStore, luna: Path, tmp_path: Path) -> None:
    (luna / "training_args.bin").write_bytes(b"x")
    with pytest.raises(ModelFormatError, match="training_args.bin"):
        store.export("Luna", tmp_path / "luna.zip")


@pytest.mark.skipif(os.name == "nt", reason="atalhos pedem privilégio no Windows")
def test_export_follows_file_links_and_refuses_folder_links(
    store: ModelStore, luna: Path, tmp_path: Path
) -> None:
    weights = luna / "components" / "base.safetensors"
    weights.rename(tmp_path / "pesos")
    weights.symlink_to(tmp_path / "pesos")
    archive = store.export("Luna", tmp_path / "a.tar.gz")
    imported = ModelStore(tmp_path / "b").import_archive(archive)
    assert (imported / "components" / "base.safetensors").read_bytes() == b"pesos" * 3
    (luna / "retriever").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ModelFormatError, match="atalho"):
        store.export("Luna", tmp_path / "c.tar.gz")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_full_disk_during_export_keeps_the_old_archive(
    store: ModelStore, luna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    archive = store.export("Luna", tmp_path / "saida" / f"luna{suffix}")
    before = archive.read_bytes()
    monkeypatch.setattr(os, "fsync", failing(28))
    with pytest.raises(StorageError, match="disco está cheio"):
        store.export("Luna", archive, force=True)
    assert archive.read_bytes() == before and leftovers(archive.parent) == []


def test_an_unreadable_file_stops_the_export(
    store: ModelStore, luna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_archive, "open", failing(13), raising=False)
    with pytest.raises(ModelFormatError, match="ler"):
        store.export("Luna", tmp_path / "luna.zip")
    assert not (tmp_path / "luna.zip").exists()


def test_import_takes_another_name(store: ModelStore, luna: Path, tmp_path: Path) -> None:
    archive = store.export("Luna", tmp_path / "luna.zip")
    store.import_archive(archive, "Cópia")
    assert store.names() == ["Cópia", "Luna"]
    with pytest.raises(UsageError, match="caminho"):
        store.import_archive(archive, "../fora")


def test_import_replaces_only_when_forced(store: ModelStore, luna: Path, tmp_path: Path) -> None:
    archive = store.export("Luna", tmp_path / "luna.zip")
    (luna / "extra.txt").write_text("antigo", encoding="utf-8")
    with pytest.raises(ModelExistsError):
        store.import_archive(archive)
    assert (luna / "extra.txt").exists()
    store.import_archive(archive, force=True)
    assert not (luna / "extra.txt").exists() and leftovers(store.models_dir) == []


def test_import_never_buries_a_folder_that_is_not_a_model(
    store: ModelStore, luna: Path, tmp_path: Path
) -> None:
    archive = store.export("Luna", tmp_path / "luna.zip")
    (store.models_dir / "X" / "retriever").mkdir(parents=True)
    with pytest.raises(ModelExistsError, match="não está vazia"):
        store.import_archive(archive, "X")


@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_during_import_leaves_what_was_there(
    store: ModelStore, luna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    archive = store.export("Luna", tmp_path / "luna.tar.gz")
    before = contents(luna)
    monkeypatch.setattr(os, "fsync", failing(28))
    with pytest.raises(StorageError, match="disco está cheio"):
        store.import_archive(archive, None if force else "Nova", force)
    assert store.names() == ["Luna"] and contents(luna) == before
    assert leftovers(store.models_dir) == []


def test_an_import_that_fails_at_the_last_step_gives_the_old_model_back(
    store: ModelStore, luna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = store.export("Luna", tmp_path / "luna.tar.gz")
    (luna / "extra.txt").write_text("antigo", encoding="utf-8")
    real, calls = os.rename, []

    def rename(source, target):
        calls.append(target)
        if len(calls) == 2:  # 1: o antigo sai do lugar; 2: o novo entra; 3: o antigo volta
            raise OSError(5, "erro de entrada e saída")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(StorageError):
        store.import_archive(archive, force=True)
    assert len(calls) == 3 and (luna / "extra.txt").exists()
    assert leftovers(store.models_dir) == []


# --- Arquivos hostis ou danificados --------------------------------------------------------------

GOOD = {
    "M/config.json": CONFIG,
    "M/model.safetensors.index.json": json.dumps(INDEX).encode(),
    "M/components/base.safetensors": b"pesos",
}


def make_tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return path


def make_zip(path: Path, files: dict[str, bytes], mode: int = 0, method: int = 8) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in files.items():
            info = zipfile.ZipInfo("provisório")
            info.filename = info.orig_filename = name
            info.external_attr, info.compress_type = mode << 16, method
            bundle.writestr(info, data)
    return path


def refused(store: ModelStore, archive: Path, reason: str, **options) -> None:
    with pytest.raises(ModelFormatError, match=reason):
        store.import_archive(archive, **options)
    if store.models_dir.exists():
        assert store.names() == [] and leftovers(store.models_dir) == []


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_hand_made_archive_with_folders_is_accepted(
    store: ModelStore, tmp_path: Path, make
) -> None:
    files = {f"./{name}": data for name, data in GOOD.items()}
    if make is make_zip:
        files = {"M/": b"", "M/components/": b""} | files
        archive = make_zip(tmp_path / "m", files)
    else:
        folders = [tarfile.TarInfo("M"), tarfile.TarInfo("M/tokenizer")]
        for folder in folders:
            folder.type = tarfile.DIRTYPE
        archive = make_tar(tmp_path / "m", files, *folders)
    assert store.import_archive(archive).name == "M"


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "M/../../fora", "../fora", "M/a\\b", "C:/x", "M/C:x", "M/a\nb", "M/fim.", "M/ "]
    + ["M/nul", "M/con.json", "M/a:fluxo", "."],
)
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_paths_that_could_leave_the_folder_are_refused(
    store: ModelStore, tmp_path: Path, make, name: str
) -> None:
    refused(store, make(tmp_path / "m", GOOD | {name: b"x"}), "não é permitido|uma só pasta")
    assert not (tmp_path / "fora").exists() and not (tmp_path.parent / "fora").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(
    store: ModelStore, tmp_path: Path, kind: bytes
) -> None:
    info = tarfile.TarInfo("M/atalho")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(store, make_tar(tmp_path / "m", GOOD, info), "não é um arquivo comum")


def test_links_in_a_zip_are_refused(store: ModelStore, tmp_path: Path) -> None:
    refused(store, make_zip(tmp_path / "m", GOOD, mode=0o120777), "não é um arquivo comum")


def test_unusual_zip_compression_is_refused(store: ModelStore, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "m", GOOD, method=zipfile.ZIP_LZMA)
    refused(store, archive, "compactação desconhecida")


@pytest.mark.parametrize(
    "again", ["M/config.json", "M/CONFIG.JSON", "M/config.json/x", "M/./config.json"]
)
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_repeated_paths_are_refused(store: ModelStore, tmp_path: Path, make, again: str) -> None:
    if make is make_zip or again != "M/config.json":
        archive = make(tmp_path / "m", GOOD | ({again: b"x"} if again not in GOOD else {}))
        if again in GOOD:
            with zipfile.ZipFile(archive, "a") as bundle, pytest.warns(UserWarning):
                bundle.writestr(again, b"x")
    else:
        archive = make_tar(tmp_path / "m", GOOD, tarfile.TarInfo(again))
    refused(store, archive, "mais de uma vez")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "a.pt", "a.PKL", "a.ckpt", "a.pickle"])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_pickles_are_refused(store: ModelStore, tmp_path: Path, make, name: str) -> None:
    refused(store, make(tmp_path / "m", GOOD | {f"M/{name}": b"x"}), "pickle")


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_only_one_folder_at_the_top(store: ModelStore, tmp_path: Path, make) -> None:
    refused(store, make(tmp_path / "m", GOOD | {"N/a": b"x"}), "uma só pasta no topo")
    refused(store, make(tmp_path / "n", {"solto.json": b"x"}), "uma só pasta no topo")


@pytest.mark.parametrize("missing", list(GOOD))
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_an_archive_without_a_whole_model_is_refused(
    store: ModelStore, tmp_path: Path, make, missing: str
) -> None:
    files = {name: data for name, data in GOOD.items() if name != missing}
    refused(store, make(tmp_path / "m", files), missing.rpartition("/")[2])


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_expansion_is_limited(store: ModelStore, tmp_path: Path, make) -> None:
    archive = make(tmp_path / "m", GOOD | {"M/zeros": bytes(2_000_000)})
    refused(store, archive, "expande para mais de", max_bytes=1_000_000)


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_compression_bomb_is_refused(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make
) -> None:
    archive = make(tmp_path / "m", GOOD | {"M/zeros": bytes(4_000_000)})
    monkeypatch.setattr(model_archive, "RATIO_FREE_BYTES", 100_000)
    refused(store, archive, "bomba")


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_too_many_entries_are_refused(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make
) -> None:
    monkeypatch.setattr(model_archive, "MAX_ENTRIES", 10)
    archive = make(tmp_path / "m", GOOD | {f"M/{n}": b"" for n in range(10)})
    refused(store, archive, "mais de 10 entradas")


def test_padding_after_the_end_of_a_tar_is_fine(store: ModelStore, tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "m", GOOD)
    padded = gzip.decompress(archive.read_bytes()) + bytes(20_480)
    archive.write_bytes(gzip.compress(padded))
    assert store.import_archive(archive).name == "M"


def test_a_huge_tar_header_is_not_loaded(store: ModelStore, tmp_path: Path) -> None:
    info = tarfile.TarInfo("M/x")
    info.pax_headers = {"comment": "x" * 3_000_000}
    refused(store, make_tar(tmp_path / "m", GOOD, info), "cabeçalho de tar grande demais")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize("cut", [1, 4, 0.5, 30])
def test_a_truncated_archive_is_refused(
    store: ModelStore, tmp_path: Path, suffix: str, cut: float
) -> None:
    make_model(tmp_path / "origem", "M", weights=os.urandom(50_000))
    archive = ModelStore(tmp_path / "origem").export("M", tmp_path / f"m{suffix}")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * cut) if cut < 1 else -int(cut)])
    refused(store, archive, "danificado|incompleto")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_flipped_byte_in_the_weights_is_noticed(
    store: ModelStore, tmp_path: Path, suffix: str
) -> None:
    make_model(tmp_path / "origem", "M", weights=os.urandom(50_000))
    archive = ModelStore(tmp_path / "origem").export("M", tmp_path / f"m{suffix}")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(bytes(data))
    refused(store, archive, "danificado|incompleto")


@pytest.mark.parametrize("data", [b"", b"texto qualquer", b"PK\x03\x04lixo", b"\x1f\x8blixo"])
def test_what_is_not_an_archive_is_refused(store: ModelStore, tmp_path: Path, data: bytes) -> None:
    archive = tmp_path / "m.tar.gz"
    archive.write_bytes(data)
    refused(store, archive, "danificado|não é um .tar.gz")


def test_an_empty_archive_is_refused(store: ModelStore, tmp_path: Path) -> None:
    refused(store, make_zip(tmp_path / "m", {}), "está vazio")
    (tmp_path / "n").write_bytes(gzip.compress(bytes(10240)))
    refused(store, tmp_path / "n", "está vazio|danificado")


def test_an_encrypted_zip_is_refused(store: ModelStore, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "m", GOOD, method=zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # o bit de senha, no diretório central
    archive.write_bytes(bytes(data))
    refused(store, archive, "senha")


def test_a_size_that_does_not_match_is_refused(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_zip(tmp_path / "m", GOOD)
    monkeypatch.setattr(model_archive, "_chunks", lambda archive, opener: iter([b"x"]))
    refused(store, archive, "incompleto: faltam bytes")


def test_a_missing_archive_or_a_folder_is_a_usage_error(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="não existe"):
        store.import_archive(tmp_path / "nada.zip")
    with pytest.raises(UsageError, match="é uma pasta"):
        store.import_archive(tmp_path)


def test_an_unreadable_archive_says_so(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_zip(tmp_path / "m", GOOD)
    monkeypatch.setattr(model_archive, "open", failing(13), raising=False)
    with pytest.raises(StorageError, match="ler"):
        store.import_archive(archive)


def test_the_default_name_has_to_be_valid(store: ModelStore, tmp_path: Path) -> None:
    files = {name.replace("M/", "nome ruim/"): data for name, data in GOOD.items()}
    archive = make_zip(tmp_path / "m", files)
    with pytest.raises(UsageError, match="nome ruim"):
        store.import_archive(archive)
    assert store.import_archive(archive, "Bom").name == "Bom"


@pytest.mark.skipif(os.name == "nt", reason="o Windows não tem bit de execução")
def test_imported_files_are_never_executable(store: ModelStore, tmp_path: Path) -> None:
    info = tarfile.TarInfo("M/script.sh")
    info.mode = 0o6777
    folder = store.import_archive(make_tar(tmp_path / "m", GOOD, info))
    assert (folder / "script.sh").stat().st_mode & 0o7111 == 0
