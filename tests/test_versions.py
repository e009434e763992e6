"""Versões: lado a lado, inteiras, e voltar é exato."""

import json

import pytest
import torch

from src.models.luna_model import LunaModel
from src.models.model_files import new_save_id, read_save_id
from src.models.versions import VersionStore
from src.utils.errors import ModelFormatError, StorageError, UsageError
from src.utils.model_store import ModelStore


@pytest.fixture
def folder(config, saved_model):
    return config.paths.model_dir(saved_model)


def weights(folder):
    return {n: p.clone() for n, p in LunaModel.from_pretrained(folder).state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refined(folder, store):
    """Uma versão nova, de pesos diferentes, que ainda não responde."""
    parent = store.keep_current()
    model = LunaModel.from_pretrained(folder)
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    return store.add(model, new_save_id(), parent, {"preference": {"value": 0.9}})


def test_a_model_without_refinements_has_no_versions(folder):
    store = VersionStore(folder)
    assert store.all() == [] and store.current() is None
    with pytest.raises(UsageError, match="nenhuma"):
        store.find()


def test_a_new_version_does_not_change_what_answers(folder):
    before, store = weights(folder), VersionStore(folder)
    version = refined(folder, store)
    assert same(weights(folder), before)
    assert [v.name for v in store.all()] == ["v1", "v2"]
    assert store.current().name == "v1" and version.parent == 1
    assert not same(weights(version.folder), before)


def test_serving_and_going_back_are_exact(folder):
    before, store = weights(folder), VersionStore(folder)
    version = refined(folder, store)
    store.serve(version)
    assert same(weights(folder), weights(version.folder)) and store.current().name == "v2"
    store.serve(store.find())
    assert same(weights(folder), before) and store.current().name == "v1"


def test_a_retrained_model_is_kept_before_going_back(folder):
    store = VersionStore(folder)
    refined(folder, store)
    model = LunaModel.from_pretrained(folder)
    with torch.no_grad():
        next(model.parameters()).mul_(2.0)
    model.save(folder)
    retrained = weights(folder)
    assert store.current() is None
    store.serve(store.find("v1"))
    assert [v.name for v in store.all()] == ["v1", "v2", "v3"]
    assert same(weights(store.find("v3").folder), retrained)


def test_every_version_is_a_whole_model_folder(folder, tokenizer):
    version = refined(folder, VersionStore(folder))
    assert (version.folder / "tokenizer" / "tokenizer.json").is_file()
    assert read_save_id(version.folder) == version.save_id


@pytest.mark.parametrize("name", ["v9", "9", "abc", "v²", ""])
def test_an_unknown_version_is_refused_with_the_list(folder, name):
    store = VersionStore(folder)
    store.keep_current()
    with pytest.raises(UsageError, match="v1"):
        store.find(name)


def test_a_damaged_version_file_is_named(folder):
    store = VersionStore(folder)
    kept = store.keep_current()
    (kept.folder / "version.json").write_text(json.dumps({"created": "ontem"}), "utf-8")
    with pytest.raises(ModelFormatError, match="v1"):
        store.all()


def test_a_full_disk_leaves_no_half_version(folder, monkeypatch):
    store = VersionStore(folder)
    parent = store.keep_current()

    def refuse(*args, **kwargs):
        raise StorageError("o disco está cheio")

    model = LunaModel.from_pretrained(folder)
    monkeypatch.setattr(LunaModel, "save", refuse)
    with pytest.raises(StorageError):
        store.add(model, new_save_id(), parent, {})
    assert [path.name for path in store.folder.iterdir()] == ["v1"]


def test_versions_and_reports_do_not_travel_in_an_export(config, folder, tmp_path):
    import tarfile

    refined(folder, VersionStore(folder))
    (folder / "training" / "refinements").mkdir(parents=True)
    (folder / "training" / "refinements" / "x.json").write_text("{}", "utf-8")
    target = ModelStore(config.paths.models_dir).export("Teste", tmp_path / "t.tar.gz")
    with tarfile.open(target) as archive:
        names = archive.getnames()
    assert not [name for name in names if "versions" in name or "refinements" in name]
