"""``training/run.json``: o que é preciso saber para retomar um treino interrompido.

É gravado antes do primeiro passo, com o número de passos já fixado, e marcado como terminado depois
que os pesos finais estão salvos. Enquanto não está terminado, há um treino a retomar.
"""

import hashlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from src.models.model_files import read_json
from src.training.stream import Rows, StreamStage
from src.utils import atomic_io
from src.utils.errors import LunaError, ModelFormatError, UsageError
from src.utils.processes import world_size

VERSION = 1
SAMPLED_ROWS = 64  # linhas que entram na impressão digital dos dados


def new_run_id() -> str:
    """Um identificador novo de treino."""
    return uuid.uuid4().hex[:12]


@dataclass
class RunFile:
    """Um treino, como está em disco.

    base_save_id: a gravação do modelo de que ele partiu. options: o que decide o resultado (passos,
    lote, taxa, semente, precisão, threads). request: o que se pediu (``Request``). stages: passos e
    linhas de cada trecho. data: impressão digital das linhas. command: padrões de arquivos e opções
    da linha de comando. first_step: passos que o ``LunaTrainer`` já tinha dado, que contam no nome
    dos checkpoints. final_save_id: a gravação final do modelo, anotada antes de ser feita: se o
    modelo já é o dela, o treino acabou.
    """

    options: dict[str, Any]
    request: dict[str, Any]
    stages: list[dict[str, Any]]
    data: str
    base_save_id: str | None
    command: dict[str, Any] = field(default_factory=dict)
    run: str = field(default_factory=new_run_id)
    started: float = field(default_factory=time.time)
    finished: bool = False
    version: int = VERSION
    first_step: int = 0
    final_save_id: str | None = None

    def write(self, folder: Path) -> None:
        """Grava em ``folder``/training/run.json.

        Erros:
            StorageError: o disco recusou.
        """
        atomic_io.write_json(run_path(folder), asdict(self))


def run_path(folder: Path) -> Path:
    """Onde fica o arquivo, na pasta do modelo."""
    return folder / "training" / "run.json"


def read_run_file(folder: Path) -> RunFile | None:
    """O último treino de ``folder``; ``None`` se nunca houve um.

    Erros:
        ModelFormatError: o arquivo está danificado ou é de outra versão.
    """
    path = run_path(folder)
    if not path.is_file():
        return None
    values = read_json(path)
    try:
        found = RunFile(**values)
    except TypeError as error:
        raise ModelFormatError(f"'{path}' não é um registro de treino: {error}.") from error
    if found.version != VERSION:
        raise ModelFormatError(f"'{path}' é da versão {found.version}; esta lê a {VERSION}.")
    return found


def unfinished_run(folder: Path) -> RunFile | None:
    """O treino por retomar, se há um."""
    found = read_run_file(folder)
    return found if found is not None and not found.finished else None


def require_unfinished(folder: Path) -> RunFile:
    """O treino por retomar.

    Erros:
        LunaError: não há nenhum.
    """
    found = unfinished_run(folder)
    if found is None:
        raise LunaError(
            f"--resume: o modelo '{folder.name}' não tem treino interrompido. Treine sem "
            "--resume; cada treino parte do que o modelo já sabe."
        )
    return found


def restore_stages(found: RunFile, stages: Sequence[StreamStage]) -> None:
    """Devolve a cada trecho os passos e o lote, que é o de todos os processos juntos.

    Erros:
        UsageError: o lote não se reparte entre estes processos.
    """
    for stage, saved in zip(stages, found.stages):
        stage.steps, stage.rows_per_step = saved["steps"], saved["rows_per_step"]
        if stage.rows_per_step % world_size():
            raise UsageError(
                f"--resume: o lote deste treino é de {stage.rows_per_step} linhas, que não se "
                f"repartem por igual entre {world_size()} processos. Retome com tantos processos "
                "quantos havia, ou com um só."
            )


def data_fingerprint(stages: Sequence[Rows]) -> str:
    """Um resumo das linhas de cada trecho: contagens e uma amostra espalhada delas."""
    digest = hashlib.sha256()
    for rows in stages:
        digest.update(f"{len(rows)} {rows.length} {rows.tokens} {rows.learned};".encode())
        stride = max(1, len(rows) // SAMPLED_ROWS)
        for index in range(0, len(rows), stride):
            row = rows[index]
            digest.update(row["input_ids"].numpy().tobytes())
            digest.update(row["labels"].numpy().tobytes())
    return digest.hexdigest()


def check_same_data(found: RunFile, fingerprint: str) -> None:
    """Confere que os dados são os do treino por retomar.

    Erros:
        LunaError: mudaram.
    """
    if found.data != fingerprint:
        raise LunaError(
            "--resume: os dados de treino não são mais os do treino interrompido (arquivos "
            "mudados, ou outros padrões em --train_data). Recupere os arquivos de então, ou treine "
            "sem --resume para começar de novo."
        )
