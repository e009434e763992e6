"""As versões de um modelo, lado a lado em ``versions/``: guardar, listar e voltar.

    versions/v1/    config.json, components/..., tokenizer/, version.json
    versions/v2/    ...

Cada uma é uma pasta de modelo inteira, que ``evaluate`` e o transformers abrem como qualquer outra.
A que responde é a da raiz; qual delas é se sabe pelo ``save_id`` das duas, e por isso não há um
ponteiro que possa ficar errado. Uma versão nunca muda depois de gravada: as pastas nascem sob um
nome temporário, e o número só cresce.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from src.models.luna_model import LunaModel
from src.models.model_files import COMPONENTS_DIR, read_json, read_save_id
from src.utils import atomic_io
from src.utils.errors import ModelFormatError, UsageError
from src.utils.model_store import CONFIG_FILE, INDEX_FILE, VERSIONS_DIR

VERSION_FILE = "version.json"
MODEL_FILES = (CONFIG_FILE, "generation_config.json", INDEX_FILE)
MODEL_DIRS = (COMPONENTS_DIR, "tokenizer")
_NAME = re.compile(r"v([1-9][0-9]*)")

#: De onde veio uma versão.
ORIGINS = {
    "treino": "como estava depois do treino",
    "refinamento": "refinada com as avaliações",
}


@dataclass(frozen=True)
class Version:
    """Uma versão guardada.

    Atributos:
        number: 1, 2, 3... folder: a pasta. save_id: o da gravação dos pesos. origin: ``treino`` ou
        ``refinamento``. parent: o número da versão de que partiu. created: quando. details: o que
        mais se anotou (figuras, avaliações usadas, relatório).
    """

    number: int
    folder: Path
    save_id: str
    origin: str
    created: datetime
    parent: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``v3``."""
        return f"v{self.number}"

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        return {
            "version": self.name,
            "origin": self.origin,
            "created": self.created.isoformat(timespec="seconds"),
            "parent": None if self.parent is None else f"v{self.parent}",
            "save_id": self.save_id,
        } | {"details": dict(self.details)}


class VersionStore:
    """As versões do modelo de ``folder``. Quem grava já tem a trava do modelo.

    Args:
        folder: a pasta do modelo.
    """

    def __init__(self, folder: Path) -> None:
        self.model_folder = folder
        self.folder = folder / VERSIONS_DIR

    # ------------------------------------------------------------------ o que há

    def all(self) -> list[Version]:
        """Todas, da mais antiga à mais nova.

        Erros:
            ModelFormatError: o ``version.json`` de uma delas falta ou está danificado.
        """
        if not self.folder.is_dir():
            return []
        found = [(int(m[1]), p) for p in self.folder.iterdir() if (m := _NAME.fullmatch(p.name))]
        return [_read(number, path) for number, path in sorted(found)]

    def current(self) -> Version | None:
        """A que responde agora; ``None`` se o modelo mudou depois de a última ser guardada."""
        save_id = read_save_id(self.model_folder)
        matching = [version for version in self.all() if version.save_id == save_id]
        return matching[-1] if save_id and matching else None

    def find(self, name: str | None = None) -> Version:
        """A versão ``name`` (``v2`` ou ``2``); sem nome, aquela de que a atual partiu.

        Erros:
            UsageError: não existe; a mensagem lista as que existem.
        """
        versions = {version.number: version for version in self.all()}
        known = ", ".join(version.name for version in versions.values()) or "nenhuma"
        if name is not None:
            digits = name.casefold().removeprefix("v")
            number = int(digits) if digits.isdecimal() and digits.isascii() else None
            if number not in versions:
                raise UsageError(
                    f"--rollback {name!r}: não há essa versão. As que existem: {known}."
                )
            return versions[number]
        current = self.current()
        if current is None and versions:
            return versions[max(versions)]
        if current is None or current.parent not in versions:
            raise UsageError(
                f"--rollback: não há versão anterior à atual. As que existem: {known}. "
                "Para escolher uma: --rollback v1."
            )
        return versions[current.parent]

    # ------------------------------------------------------------------ guardar e voltar

    def keep_current(self) -> Version:
        """A versão que responde; se ainda não está guardada, guarda-a (os pesos, sem copiar).

        Erros:
            StorageError: o disco recusou; nada fica pela metade.
        """
        current = self.current()
        if current is not None:
            return current
        save_id = read_save_id(self.model_folder) or ""

        def fill(staging: Path) -> None:
            for name in MODEL_FILES:
                if (self.model_folder / name).is_file():
                    shutil.copy2(self.model_folder / name, staging / name)
            for name in MODEL_DIRS:
                _link_tree(self.model_folder / name, staging / name)

        return self._add(fill, save_id, "treino", None, {})

    def add(self, model: LunaModel, save_id: str, parent: Version, details: Any) -> Version:
        """Guarda ``model``, refinado a partir de ``parent``; a que responde não muda.

        Erros:
            StorageError: o disco recusou; nada fica pela metade.
        """

        def fill(staging: Path) -> None:
            model.save(staging, save_id=save_id)
            _link_tree(parent.folder / "tokenizer", staging / "tokenizer")

        return self._add(fill, save_id, "refinamento", parent.number, details)

    def serve(self, version: Version) -> None:
        """Faz de ``version`` a que responde, num passo só; a atual, se falta, é guardada antes.

        Erros:
            ModelFormatError: a versão está danificada. StorageError: o disco recusou. Nos dois
            casos a que responde continua a mesma.
        """
        model = LunaModel.from_pretrained(version.folder)
        self.keep_current()
        model.save(self.model_folder, save_id=version.save_id)

    def _add(
        self, fill: Any, save_id: str, origin: str, parent: int | None, details: Mapping[str, Any]
    ) -> Version:
        number = max((version.number for version in self.all()), default=0) + 1
        final = self.folder / f"v{number}"
        made = Version(number, final, save_id, origin, datetime.now().astimezone(), parent, details)
        if self.folder.is_dir():
            atomic_io.remove_leftovers(self.folder)
        with atomic_io.staged_directory(final) as staging:
            fill(staging)
            atomic_io.write_json(staging / VERSION_FILE, made.to_dict())
        return made


def _read(number: int, folder: Path) -> Version:
    values = read_json(folder / VERSION_FILE)
    parent = str(values.get("parent") or "").removeprefix("v")
    try:
        created = datetime.fromisoformat(str(values["created"]))
        details = values.get("details")
        return Version(
            number,
            folder,
            str(values["save_id"]),
            str(values["origin"]),
            created,
            int(parent) if parent else None,
            details if isinstance(details, dict) else {},
        )
    except (KeyError, ValueError) as error:
        raise ModelFormatError(
            f"'{folder / VERSION_FILE}' está danificado ({error}). Recupere uma cópia ou apague a "
            "pasta dessa versão."
        ) from error


def _link_tree(source: Path, target: Path) -> None:
    """Os arquivos de ``source`` em ``target``, sem ocupar espaço outra vez onde o disco permite.

    Serve porque os arquivos de um modelo nunca mudam no lugar: são trocados por outros (renomeio).
    """
    target.mkdir()
    for path in source.iterdir():
        if path.name.startswith(atomic_io.TEMP_PREFIX):
            continue
        if path.is_dir():
            _link_tree(path, target / path.name)
            continue
        try:
            os.link(path, target / path.name)
        except OSError:  # outro sistema de arquivos, ou um que não faz atalhos
            shutil.copy2(path, target / path.name)
