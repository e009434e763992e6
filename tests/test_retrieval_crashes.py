"""O índice depois de quedas, de disco cheio, e com vários processos ao mesmo tempo."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from src.retrieval import index_files, storage
from src.retrieval.local_backend import LocalBackend
from src.retrieval.storage import index_lock, save_index
from src.utils.errors import LunaError, StorageError
from tests.retrieval_support import (
    EXTRA,
    FILES,
    TEXTS,
    built,
    contents,
    data_folder,
    load,
    names_in,
)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    """Um índice gravado."""
    save_index(tmp_path / "retriever", built(FILES), EXTRA)
    return tmp_path / "retriever"


# ---------------------------------------------------------------------- disco cheio e quedas


@pytest.mark.parametrize("broken", ["fsync", "write", "rename", "replace"])
def test_a_full_disk_leaves_the_old_index_whole_and_nothing_behind(folder, monkeypatch, broken):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            *((index_files.FileWriter, "write") if broken == "write" else (os, broken)), full
        )
        with pytest.raises(StorageError, match="o disco está cheio"):
            save_index(folder, built({"b.txt": TEXTS}), EXTRA)
    assert contents(load(folder)[0]) == contents(built(FILES))
    assert not list(folder.glob(".tmp-*"))
    save_index(folder, built({"b.txt": TEXTS}), EXTRA)
    assert contents(load(folder)[0]) == contents(built({"b.txt": TEXTS}))
    assert len(list(folder.glob("data-*"))) == 1


def test_leftovers_of_dead_saves_are_cleaned_by_the_next(folder):
    (folder / ".tmp-morta").mkdir()
    (folder / ".tmp-morta" / "chunks.jsonl").write_bytes(b"x")
    (folder / ".tmp-manifesto").write_bytes(b"x")
    (folder / "data-20000101000000-dead").mkdir()
    save_index(folder, built(FILES), EXTRA)
    assert names_in(folder) == sorted([data_folder(folder).name, "manifest.json"])


KILLED = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from src.retrieval import index_files
from src.retrieval.storage import load_index, save_index

folder, copy = Path(sys.argv[1]), Path(sys.argv[2])
backend, _ = load_index(folder, use_faiss=False)
backend.remove("a.txt")
backend.search_lexical("gato", 1)
calls, limit = 0, None

def counted(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

for owner, name in ((os, "fsync"), (os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir"),
                    (index_files.FileWriter, "write")):
    setattr(owner, name, counted(getattr(owner, name)))

def state():
    loaded, manifest = load_index(folder, use_faiss=False)
    assert not manifest.problems, manifest.problems
    return sorted(loaded.documents)

def in_child(work, wait=None):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

def fresh():
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    return state()

old = fresh()
save_index(folder, backend)
new, total, seen = state(), calls, []
for point in range(1, total + 1):
    assert fresh() == old
    def work():
        global calls, limit
        calls, limit = 0, point
        save_index(folder, backend)
    in_child(work)
    seen.append(state() == new)
    assert seen[-1] or state() == old, (point, state())
    if point % 5 == 0:  # a gravação seguinte não deixa sobras
        save_index(folder, backend)
        assert state() == new and len(list(folder.iterdir())) == 2, list(folder.iterdir())
assert seen == sorted(seen) and not seen[0] and seen[-1], seen  # antiga até um ponto, depois nova

def forever():
    while True:
        save_index(folder, backend)

for _ in range(8):
    in_child(forever, random.random() * 0.03)
    assert state() == new
print(total, sum(seen))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="precisa de fork e SIGKILL")
def test_a_save_killed_at_any_point_leaves_the_old_index_whole(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copia")
    done = run(KILLED, folder, tmp_path / "copia")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 15  # pontos em que morreu


def run(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, **options
    )


def test_readers_beside_saves_always_see_a_whole_index(folder):
    stop, wrong = threading.Event(), []
    other = built({"b.txt": TEXTS})
    expected = {tuple(FILES), ("b.txt",)}

    def read():
        while not stop.is_set():
            try:
                loaded, manifest = load(folder)
                if tuple(loaded.documents) not in expected or manifest.problems:
                    wrong.append((tuple(loaded.documents), manifest.problems))
            except Exception as error:  # qualquer uma é o defeito que se procura
                wrong.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for turn in range(15):
        save_index(folder, built(FILES) if turn % 2 else other, EXTRA)
    stop.set()
    thread.join()
    assert wrong == []


def test_a_loaded_index_does_not_need_its_files_any_more(folder):
    loaded, _ = load(folder)
    shutil.rmtree(folder)
    assert contents(loaded) == contents(built(FILES))


# ---------------------------------------------------------------------- travas

HOLDER = """
import sys
from src.retrieval.storage import index_lock
with index_lock(sys.argv[1]):
    print("tenho", flush=True)
    sys.stdin.readline()
"""

ADDER = """
import sys
from src.retrieval.local_backend import LocalBackend
from src.retrieval.storage import index_lock, load_index, save_index
from src.retrieval.types import Chunk, DocumentRecord
folder, name = sys.argv[1:]
with index_lock(folder):
    backend, _ = load_index(folder, use_faiss=False)
    for turn in range(5):
        file = f"{name}{turn}"
        backend.add(DocumentRecord(file, "", 1), [Chunk(file, "gato", file, file)], None)
        save_index(folder, backend)
"""


@pytest.fixture
def holder(folder):
    """Outro processo com a trava do índice."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=REPOSITORY, **pipes)
    assert process.stdout.readline() == "tenho\n"
    yield process
    process.kill()
    process.communicate()


def test_two_processes_serialise_on_the_lock(tmp_path):
    save_index(tmp_path / "r", LocalBackend())
    command = [sys.executable, "-c", ADDER, str(tmp_path / "r")]
    running = [subprocess.Popen([*command, name], cwd=REPOSITORY) for name in "xy"]
    assert [process.wait(60) for process in running] == [0, 0]
    found = sorted(load(tmp_path / "r")[0].documents)
    assert found == [f"{name}{turn}" for name in "xy" for turn in range(5)]


def test_who_waits_says_so_once_and_then_gets_the_lock(folder, holder):
    said = []

    def on_wait():
        said.append("esperando")
        holder.stdin.write("pode ir\n")
        holder.stdin.flush()

    with index_lock(folder, on_wait=on_wait):
        assert said == ["esperando"]


def test_a_wait_that_ends_is_an_error_and_a_dead_holder_frees_the_lock(folder, holder, caplog):
    with pytest.raises(LunaError, match="em uso por outro processo há mais de 0.1 s"):
        with index_lock(folder, timeout=0.1):
            pass
    assert "esperando que termine" in caplog.text
    assert len(load(folder)[0]) == 5  # quem só lê não espera
    holder.kill()
    holder.wait()
    with index_lock(folder, timeout=10):
        pass


def test_the_lock_can_be_taken_again_by_who_has_it_and_not_by_another_thread(folder):
    outcome = []

    def other():
        try:
            with index_lock(folder, timeout=0.05, on_wait=lambda: None):
                outcome.append("entrou")
        except LunaError:
            outcome.append("esperou")

    with index_lock(folder), index_lock(folder):
        save_index(folder, built(FILES))
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    other()
    assert outcome == ["esperou", "entrou"] and storage._held == set()
