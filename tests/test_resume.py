"""Retomar: continuar é igual a nunca ter parado, também depois de SIGKILL a qualquer momento."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from src.models.luna_model import LunaModel
from src.training.callbacks import CheckpointCallback, EarlyStoppingCallback
from src.training.checkpoints import checkpoint_steps, find_checkpoint, read_state
from src.training.run import unwrapped
from src.training.run_file import RunFile, read_run_file, restore_stages, unfinished_run
from src.training.stream import StreamStage
from src.training.trainer import LunaTrainer
from src.utils.errors import LunaError, ModelFormatError, UsageError
from src.utils.model_store import ModelStore
from tests.conftest import DIALOGUES, SENTENCES, make_model, tiny_config

QUICK = {"num_train_epochs": 4, "per_device_train_batch_size": 2, "learning_rate": 2e-3}
QUICK |= {"max_position_embeddings": 32}
DATA = SENTENCES * 3 + DIALOGUES


class Stop(TrainerCallback):
    """Faz o papel de uma queda no passo dado: uma exceção que ninguém trata."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise RuntimeError("queda de mentira")


class CtrlC(TrainerCallback):
    """Aperta Ctrl-C no meio do passo dado: na conta da perda, ou na do otimizador."""

    def __init__(self, step, where="perda", times=1):
        self.step, self.where, self.times = step, where, times

    def on_step_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        if state.global_step + 1 == self.step:
            hooks = {
                "perda": model.register_forward_hook,
                "otimizador": unwrapped(optimizer).register_step_post_hook,
            }
            hooks[self.where](self.press)

    def press(self, *ignored):
        times, self.times = self.times, 0
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def python_ctrl_c():
    """O Ctrl-C vale, mesmo que o pytest rode em segundo plano."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def new_model(config, tokenizer, name, **switches):
    folder = config.paths.model_dir(name)
    switches = switches or {"use_state_space": True, "use_moe": True}
    make_model(tiny_config(tokenizer, **switches)).save(folder)
    tokenizer.save(folder / "tokenizer")
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for path in sorted((folder / "components").glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def train(config, name, callbacks=(), **options):
    trainer = LunaTrainer(name, config, "cpu", show_progress=False)
    method = trainer.train_curriculum if "stages" in options else trainer.train_supervised
    return method(DATA, SENTENCES, callbacks=list(callbacks), **(QUICK | options))


CASES = {
    "híbrido": ({}, {}),
    "dropout e acumulação": ({}, {"gradient_accumulation_steps": 2, "num_train_epochs": 9}),
    "currículo": ({}, {"stages": [{"context_length": 16, "epochs": 2}, {"epochs": 2}]}),
    "cresce": ({"use_growing": True, "growth_threshold": 9.0}, {"num_train_epochs": 8}),
    "lora": ({}, {"lora": {"rank": 2, "dropout": 0.1}}),
    "emoção e persona": (
        {"use_moe": True, "emotional_routing": True, "use_hypernet": True},
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(case, config, tokenizer):
    switches, options = CASES[case]
    folders = [new_model(config, tokenizer, name, **switches) for name in ("Inteiro", "Partido")]
    whole = train(config, "Inteiro", **options)
    stop = max(2, whole.steps * 2 // 3)
    saver = CheckpointCallback(steps=max(1, stop - 1))
    with pytest.raises(RuntimeError, match="queda"):
        train(config, "Partido", [Stop(stop), saver], **options)
    assert unfinished_run(folders[1]) is not None
    rest = train(config, "Partido", [CheckpointCallback(steps=10_000)], resume="auto")
    assert 0 < rest.steps < whole.steps and 0 < rest.tokens < whole.tokens
    assert [stage.tokens for stage in rest.stages] == [stage.tokens for stage in whole.stages]
    assert same(weights(folders[0]), weights(folders[1]))
    assert unfinished_run(folders[1]) is None
    if case == "cresce":
        assert LunaModel.from_pretrained(folders[1]).config.extra_layers > 0


def test_without_a_checkpoint_the_run_starts_over_and_ends_the_same(config, tokenizer):
    folders = [new_model(config, tokenizer, name) for name in ("Inteiro", "Partido")]
    train(config, "Inteiro")
    with pytest.raises(RuntimeError):
        train(config, "Partido", [Stop(1)])
    train(config, "Partido", resume="auto")
    assert same(weights(folders[0]), weights(folders[1]))


@pytest.mark.parametrize("step,where", [(3, "perda"), (3, "otimizador"), (5, "perda")])
def test_ctrl_c_ends_the_step_and_saves_the_model_and_a_checkpoint(config, tokenizer, step, where):
    folders = [new_model(config, tokenizer, name) for name in ("Inteiro", "Partido")]
    whole = train(config, "Inteiro", max_steps=5)
    with pytest.raises(KeyboardInterrupt):
        train(config, "Partido", [CtrlC(step, where)], max_steps=5)
    assert checkpoint_steps(folders[1] / "checkpoints")[-1] == step
    assert same(weights(folders[1]), weights(folders[1] / "checkpoints" / f"step-{step}"))
    rest = train(config, "Partido", resume="auto")
    assert rest.steps == whole.steps - step
    assert same(weights(folders[0]), weights(folders[1]))


def test_a_second_ctrl_c_stops_at_once_and_saves_nothing(config, tokenizer):
    folder = new_model(config, tokenizer, "Morto")
    before = weights(folder)
    with pytest.raises(KeyboardInterrupt):
        train(config, "Morto", [CtrlC(3, times=2), CheckpointCallback(steps=2)])
    assert same(weights(folder), before)
    assert checkpoint_steps(folder / "checkpoints") == [2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_later_run_of_the_same_trainer_keeps_its_numbers_when_resumed(config, tokenizer):
    folder = new_model(config, tokenizer, "Segundo")
    trainer = LunaTrainer("Segundo", config, "cpu", show_progress=False)
    trainer.train_supervised(DATA, **(QUICK | {"max_steps": 5}))
    options = QUICK | {"max_steps": 9, "callbacks": [Stop(3), CheckpointCallback(steps=2)]}
    with pytest.raises(RuntimeError):
        trainer.train_supervised(DATA, **options)
    assert checkpoint_steps(folder / "checkpoints") == [6]  # o passo 1 do segundo treino
    again = LunaTrainer("Segundo", config, "cpu", show_progress=False)
    with pytest.raises(KeyboardInterrupt):
        again.train_supervised(
            DATA, resume="auto", callbacks=[CtrlC(4), CheckpointCallback(steps=2)]
        )
    newest = find_checkpoint(folder / "checkpoints", "auto", read_run_file(folder).run)
    assert newest.name == "step-9" and read_state(newest)["step"] == 4
    assert again.steps_done == 9


def test_a_checkpoint_of_another_run_is_refused(config, tokenizer):
    folder = new_model(config, tokenizer, "Dois")
    for every in (1, 2):  # o step-1 é do primeiro; o step-2, do segundo
        with pytest.raises(RuntimeError):
            train(config, "Dois", [Stop(3), CheckpointCallback(steps=every)])
    with pytest.raises(LunaError, match=r"outro treino.* há: step-2\."):
        train(config, "Dois", resume=str(folder / "checkpoints" / "step-1"))


def test_weights_someone_saved_where_a_checkpoint_goes_are_not_lost(config, tokenizer):
    folder = new_model(config, tokenizer, "Meus")
    mine = folder / "checkpoints" / "step-1"
    leftover = folder / "checkpoints" / ".tmp-de-um-sigkill"
    for path in (mine, leftover):
        path.mkdir(parents=True)
        (path / "pesos").write_text("meus", encoding="utf-8")
    train(config, "Meus", [CheckpointCallback(steps=1, keep_last=99)], max_steps=1)
    assert (mine.with_name("step-1-guardado-1") / "pesos").is_file()
    assert checkpoint_steps(folder / "checkpoints") == [1] and not leftover.exists()


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_a_run_killed_after_its_final_save_is_finished(config, tokenizer, monkeypatch, lora):
    folder = new_model(config, tokenizer, "Salvo")
    real = RunFile.write

    def die(self, folder):
        if self.finished:
            raise RuntimeError("morreu")
        real(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(RunFile, "write", die)
        with pytest.raises(RuntimeError, match="morreu"):
            train(config, "Salvo", lora=lora, max_steps=2)
    saved = weights(folder)
    assert unfinished_run(folder) is not None
    summary = train(config, "Salvo", resume="auto")
    assert summary.steps == 0 and summary.after is not None
    assert same(weights(folder), saved) and unfinished_run(folder) is None


def test_resuming_what_had_stopped_early_only_saves_the_model(config, tokenizer, monkeypatch):
    folder = new_model(config, tokenizer, "Parado")

    def callbacks():
        return [EarlyStoppingCallback(patience=1, threshold=99.0), CheckpointCallback(steps=2)]

    def die(*args):
        raise RuntimeError("morreu")

    with monkeypatch.context() as patch:
        patch.setattr(LunaTrainer, "_save", die)
        with pytest.raises(RuntimeError, match="morreu"):
            train(config, "Parado", callbacks(), eval_steps=2)
    newest = folder / "checkpoints" / f"step-{checkpoint_steps(folder / 'checkpoints')[-1]}"
    summary = train(config, "Parado", callbacks(), resume="auto")
    assert (summary.steps, summary.tokens) == (0, 0)
    assert same(weights(folder), weights(newest)) and unfinished_run(folder) is None


def test_the_batch_of_all_processes_comes_back_or_is_refused(monkeypatch):
    saved = [{"steps": 7, "rows_per_step": 6, "name": ""}]
    record = RunFile({}, {}, saved, data="", base_save_id=None)
    stage = StreamStage(None, steps=1, rows_per_step=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    restore_stages(record, [stage])
    assert (stage.steps, stage.rows_per_step) == (7, 6)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="6 linhas.*4 processos"):
        restore_stages(record, [stage])


def test_a_run_begun_on_the_cpu_goes_on_there_if_no_device_is_asked(config, tokenizer):
    new_model(config, tokenizer, "Cá")
    with pytest.raises(RuntimeError):
        train(config, "Cá", [Stop(2), CheckpointCallback(steps=1)])
    trainer = LunaTrainer("Cá", config, "auto", show_progress=False)
    trainer.device = "cuda"  # como numa máquina com GPU
    assert trainer.train_supervised(DATA, SENTENCES, resume="auto").steps > 0
    assert trainer.device == "cpu"


def test_the_steps_of_a_run_in_minutes_are_fixed_before_it_starts(config, tokenizer):
    folder = new_model(config, tokenizer, "Minutos")
    with pytest.raises(RuntimeError):
        train(config, "Minutos", [Stop(2), CheckpointCallback(steps=1)], max_minutes=0.05)
    planned = read_run_file(folder).stages[0]["steps"]
    rest = train(config, "Minutos", resume="auto")
    assert rest.steps == planned - 1  # a queda do passo 2 veio antes de ele ser gravado


def test_resume_refuses_other_data_and_says_what_to_do(config, tokenizer):
    new_model(config, tokenizer, "Outro")
    with pytest.raises(RuntimeError):
        train(config, "Outro", [Stop(2), CheckpointCallback(steps=1)])
    trainer = LunaTrainer("Outro", config, "cpu", show_progress=False)
    with pytest.raises(LunaError, match="os dados de treino não são mais"):
        trainer.train_supervised([*DATA, "Mais um texto."], SENTENCES, resume="auto")


def test_resume_with_nothing_to_resume_is_told(config, saved_model):
    trainer = LunaTrainer(saved_model, config, "cpu", show_progress=False)
    with pytest.raises(LunaError, match="não tem treino interrompido"):
        trainer.train_supervised(SENTENCES, resume="auto")
    trainer.train_supervised(SENTENCES, **QUICK)
    with pytest.raises(LunaError, match="não tem treino interrompido"):
        trainer.train_supervised(SENTENCES, resume="auto")


def test_a_path_that_is_no_checkpoint_is_told_with_the_ones_that_exist(config, tokenizer):
    folder = new_model(config, tokenizer, "Caminho")
    with pytest.raises(RuntimeError):
        train(config, "Caminho", [Stop(3), CheckpointCallback(steps=1)])
    with pytest.raises(LunaError, match=r"step-1.*step-2|step-2"):
        train(config, "Caminho", resume=str(folder / "checkpoints" / "step-9"))
    rest = train(config, "Caminho", resume=str(folder / "checkpoints" / "step-1"))
    assert rest.steps > 0


def test_a_damaged_checkpoint_is_left_aside_for_the_one_before(config, tokenizer):
    folders = [new_model(config, tokenizer, name) for name in ("Inteiro", "Partido")]
    train(config, "Inteiro")
    with pytest.raises(RuntimeError):
        train(config, "Partido", [Stop(4), CheckpointCallback(steps=1)])
    places = folders[1] / "checkpoints"
    newest = places / f"step-{checkpoint_steps(places)[-1]}" / "trainer" / "state.json"
    newest.write_text('{"version": 1, "ru', encoding="utf-8")
    train(config, "Partido", [CheckpointCallback(steps=1)], resume="auto")  # regrava o mesmo passo
    assert same(weights(folders[0]), weights(folders[1]))


def test_truncated_optimizer_state_is_a_clear_error(config, tokenizer):
    folder = new_model(config, tokenizer, "Torto")
    with pytest.raises(RuntimeError):
        train(config, "Torto", [Stop(3), CheckpointCallback(steps=1)])
    path = find_checkpoint(folder / "checkpoints", "auto", read_run_file(folder).run)
    state = path / "trainer" / "optimizer.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ModelFormatError, match="está danificado"):
        train(config, "Torto", resume="auto")


def test_a_checkpoint_is_also_an_ordinary_model(config, tokenizer):
    folder = new_model(config, tokenizer, "Comum")
    train(config, "Comum", [CheckpointCallback(steps=1)])
    newest = checkpoint_steps(folder / "checkpoints")[-1]
    path = folder / "checkpoints" / f"step-{newest}"
    assert same(weights(path), weights(folder))
    LunaModel.from_pretrained(path)
    assert not list(folder.rglob("*.bin")) and not list(folder.rglob("*.pt"))


def test_a_new_run_replaces_the_checkpoints_of_an_abandoned_one(config, tokenizer):
    folder = new_model(config, tokenizer, "Novo")
    with pytest.raises(RuntimeError):
        train(config, "Novo", [Stop(3), CheckpointCallback(steps=1)])
    old = read_run_file(folder).run
    train(config, "Novo", [CheckpointCallback(steps=2)])
    runs = {
        json.loads(path.read_text("utf-8"))["run"]
        for path in (folder / "checkpoints").glob("step-*/trainer/state.json")
    }
    assert read_run_file(folder).run in runs and read_run_file(folder).run != old


# ---------------------------------------------------------------------- SIGKILL

#: Importa tudo uma vez e, a cada linha da entrada, treina num processo filho.
SERVER = """
import os, sys
from src.config.config import Config
from src.training.callbacks import CheckpointCallback
from src.training.trainer import LunaTrainer
import torch
models, data, valid = sys.argv[1], *map(eval, sys.argv[2:4])
print("pronto", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child:
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)
        continue
    torch.set_num_threads(1)
    options, kill_at = eval(line)
    if kill_at is not None:  # morre no n-ésimo renome depois do último passo: no meio da gravação
        real, seen = os.replace, []
        def replace(source, target):
            if "components" in str(target) or str(target).endswith("index.json"):
                if "checkpoints" not in str(target):
                    seen.append(target)
                    if len(seen) == kill_at:
                        os.kill(os.getpid(), 9)
            real(source, target)
        os.replace = replace
    config = Config()
    config.paths.models_dir, config.training.precision = models, "fp32"
    trainer = LunaTrainer("Morto", config, "cpu", show_progress=False)
    trainer.settings.threads = 1
    trainer.train_supervised(data, valid, callbacks=[CheckpointCallback(steps=2)], **options)
    os._exit(0)
"""


@pytest.fixture
def server(tmp_path, config, tokenizer):
    """Um processo que treina 'Morto' em filhos que se podem matar."""
    command = [sys.executable, "-c", SERVER, config.paths.models_dir, repr(DATA), repr(SENTENCES)]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=open(tmp_path / "stderr.txt", "w"),
        text=True,
        env=environment,
    )
    while process.stdout.readline() not in ("pronto\n", ""):  # há bibliotecas que se anunciam
        pass
    yield process
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


def run_child(server, options, seconds=None, kill_at=None) -> int:
    """Treina num filho; com ``seconds``, mata-o depois desse tempo. Devolve o estado da saída."""
    server.stdin.write(f"({options!r}, {kill_at!r})\n")
    server.stdin.flush()
    child = int(server.stdout.readline())
    if seconds is not None:
        time.sleep(seconds)
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass  # já tinha terminado
    return int(server.stdout.readline())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="o teste usa fork")
def test_ten_sigkills_at_random_moments_lose_nothing(server, config, tokenizer, tmp_path):
    folder = new_model(config, tokenizer, "Morto")
    shutil.copytree(folder, tmp_path / "começo")
    options = QUICK | {"num_train_epochs": 12}
    began = time.perf_counter()
    assert run_child(server, options) == 0, (tmp_path / "stderr.txt").read_text()[-2000:]
    whole, expected = time.perf_counter() - began, weights(folder)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "começo", folder)
    moments, killed = random.Random(7), 0
    while killed < 10:
        resuming = (folder / "training" / "run.json").is_file()
        seconds = moments.uniform(0.05, 0.5) * whole
        status = run_child(server, {"resume": "auto"} if resuming else options, seconds)
        if status not in (0, signal.SIGKILL):
            pytest.fail((tmp_path / "stderr.txt").read_text()[-3000:])
        killed += status == signal.SIGKILL
        began_any = (folder / "training" / "run.json").is_file()
        if began_any and unfinished_run(folder) is None:  # os pesos já eram os finais: outra série
            assert same(weights(folder), expected)
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "começo", folder)
    if unfinished_run(folder) is not None:
        resuming = {"resume": "auto"}
        assert run_child(server, resuming) == 0, (tmp_path / "stderr.txt").read_text()[-3000:]
    elif not (folder / "training" / "run.json").is_file():
        assert run_child(server, options) == 0
    assert same(weights(folder), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="o teste usa fork")
def test_a_kill_in_the_middle_of_the_final_save_loses_nothing(server, config, tokenizer, tmp_path):
    """Morto entre um renome e outro da gravação final, em cada um deles."""
    folder = new_model(config, tokenizer, "Morto")
    shutil.copytree(folder, tmp_path / "começo")
    assert run_child(server, QUICK) == 0, (tmp_path / "stderr.txt").read_text()[-2000:]
    expected = weights(folder)
    for kill_at in (1, 2, 3, 4):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "começo", folder)
        assert run_child(server, QUICK, kill_at=kill_at) == signal.SIGKILL
        ModelStore(config.paths.models_dir).require("Morto")  # termina a gravação
        LunaModel.from_pretrained(folder)
        status = run_child(server, {"resume": "auto"})
        assert status == 0, (tmp_path / "stderr.txt").read_text()[-2000:]
        assert same(weights(folder), expected), kill_at
