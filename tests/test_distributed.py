"""torchrun com dois processos em CPU: a mesma curva de perda que um só, no mesmo lote global."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from src.models.luna_model import LunaModel
from src.training.trainer import LunaTrainer
from tests.conftest import DIALOGUES, SENTENCES, make_model, tiny_config

DATA = SENTENCES * 3 + DIALOGUES
STEPS, TOLERANCE = 10, 1e-4  # relativa; docs/escala.md a cita
OPTIONS = {"max_steps": STEPS, "learning_rate": 2e-3, "logging_steps": 1}
OPTIONS |= {"max_position_embeddings": 32}
SCRIPT = """
import torch
torch.set_num_threads(1)
from src.config.config import Config
from src.training.callbacks import CheckpointCallback
from src.training.trainer import LunaTrainer
config = Config()
config.paths.models_dir, config.training.precision = {models!r}, "fp32"
trainer = LunaTrainer("Par", config, "cpu", show_progress=False)
trainer.train_supervised(
    {data!r}, {valid!r}, per_device_train_batch_size=2, gradient_accumulation_steps=2,
    callbacks=[CheckpointCallback(steps=4)], **{options!r})
"""


#: Cada processo mede o seu tempo: o segundo acharia que cabem mais passos.
OWN_CLOCK = """
import os
from src.training import run
run.steps_in = lambda minutes, seconds: 4 + 3 * int(os.environ["RANK"])
"""


def losses(folder):
    lines = (folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [record["loss"] for record in records if "loss" in record]


def run_two(script, config, options, before=""):
    """Treina 'Par' com dois processos; ``before`` roda antes em cada um."""
    values = {"models": config.paths.models_dir, "data": DATA, "valid": SENTENCES}
    text = before + textwrap.dedent(SCRIPT.format(**values, options=options))
    script.write_text(text, "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--master_addr=127.0.0.1", "--master_port=29519", str(script)]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_follow_the_loss_curve_of_one(config, tokenizer, tmp_path):
    """Sem MoE, cujo balanço é calculado em cada processo."""
    for name in ("Par", "Um"):
        make_model(tiny_config(tokenizer, use_state_space=True)).save(config.paths.model_dir(name))
        tokenizer.save(config.paths.model_dir(name) / "tokenizer")
    run_two(tmp_path / "par.py", config, OPTIONS)
    trainer = LunaTrainer("Um", config, "cpu", show_progress=False)
    trainer.train_supervised(
        DATA,
        SENTENCES,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        **OPTIONS,
    )
    one, two = (losses(config.paths.model_dir(name)) for name in ("Um", "Par"))
    assert len(one) == len(two) == STEPS
    assert one[-1] < one[0]
    assert two == pytest.approx(one, rel=TOLERANCE)
    folder = config.paths.model_dir("Par")
    assert (folder / "checkpoints" / "step-8" / "trainer" / "state.json").is_file()
    LunaModel.from_pretrained(folder / "checkpoints" / "step-8")


@pytest.mark.slow
def test_minutes_give_two_processes_the_same_steps(config, tokenizer, tmp_path):
    make_model(tiny_config(tokenizer)).save(config.paths.model_dir("Par"))
    tokenizer.save(config.paths.model_dir("Par") / "tokenizer")
    run_two(tmp_path / "par.py", config, OPTIONS | {"max_minutes": 1}, OWN_CLOCK)
    assert len(losses(config.paths.model_dir("Par"))) == 4
