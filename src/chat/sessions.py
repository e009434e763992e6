"""As sessões de chat guardadas: uma pasta, um arquivo por conversa.

O formato do arquivo está em ``src.chat.sessions_format``; a leitura, a escrita (com a trava) e a
exportação, em ``sessions_reading``, ``sessions_writer`` e ``sessions_export``. Aqui ficam os nomes:
quem é quem na pasta.
"""

import difflib
import os
import re
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from src.chat.sessions_export import export_session
from src.chat.sessions_format import (
    Message,
    Session,
    SessionInfo,
    header_fields,
)
from src.chat.sessions_reading import read_session
from src.chat.sessions_writer import (
    SUFFIX,
    NullWriter,
    SessionInUseError,
    SessionWriter,
    acquire,
    lock_path,
)
from src.config.config import Config
from src.config.options import quoted
from src.utils.atomic_io import storage_error
from src.utils.errors import DataError, StorageError, UsageError

__all__ = [
    "Message",
    "NullWriter",
    "Session",
    "SessionInUseError",
    "SessionInfo",
    "SessionStore",
    "SessionWriter",
    "export_session",
    "history_enabled",
    "open_store",
]

DAMAGED_TITLE = "(danificada)"
_ID = re.compile(r"[\w-][\w.-]*")  # sem ponto no começo: nem '..', nem arquivos ocultos
_LISTED = 5  # sugestões numa mensagem de erro


def history_enabled(config: Config, no_history: bool = False) -> bool:
    """Se as conversas se guardam: nem ``--no_history``, nem a configuração, nem LUNA_NOHISTORY."""
    forbidden = os.environ.get("LUNA_NOHISTORY", "") not in ("", "0")
    return not no_history and not forbidden and bool(getattr(config.chat, "history", True))


def open_store(config: Config) -> "SessionStore":
    """As sessões de ``logs/chat``."""
    return SessionStore(Path(config.paths.logs_dir) / "chat")


# --- A pasta -------------------------------------------------------------------------------------

Infos = list[SessionInfo]  # dentro da classe, ``list`` é o método
Names = list[str]


class SessionStore:
    """As sessões de uma pasta.

    Um id só vale se é o nome de um arquivo que está na pasta; nunca se monta um caminho com o que a
    pessoa escreveu, e por isso nenhum leva para fora dela. Atalhos (links) e arquivos ocultos não
    contam como sessões.

    Args:
        folder: a pasta; criada na primeira fala gravada.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)

    def ids(self) -> Names:
        """Os ids, do mais novo ao mais antigo, sem olhar dentro dos arquivos.

        Erros:
            StorageError: a pasta não pode ser lida.
        """
        try:
            with os.scandir(self.folder) as entries:
                found = [item.name for item in entries if item.is_file(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(
                f"Não foi possível ler '{self.folder}': {error.strerror}."
            ) from error
        names = [name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)]
        return sorted((name for name in names if _ID.fullmatch(name)), reverse=True)

    def list(self, model: str | None = None) -> Infos:
        """As sessões, a última usada primeiro; as que não se conseguem ler vêm ``damaged``.

        Args:
            model: só as conversas com este modelo.
        """
        found = filter(None, map(self._info, self.ids()))
        chosen = [info for info in found if model is None or info.model == model]
        return sorted(chosen, key=lambda info: (info.updated, info.id), reverse=True)

    def _info(self, name: str) -> SessionInfo | None:
        """O resumo de uma sessão; ``None`` se ela foi apagada neste instante."""
        path = self._path(name)
        try:
            session = read_session(path)
        except DataError:
            return _damaged_info(path)
        return SessionInfo(
            **{item.name: getattr(session, item.name) for item in fields(SessionInfo)}
        )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def latest(self, model: str | None = None) -> SessionInfo | None:
        """A última sessão usada que se consegue ler."""
        return next((info for info in self.list(model) if not info.damaged), None)

    def find(self, reference: str) -> Path:
        """O arquivo da sessão de id ``reference``, ou da única cujo id começa assim.

        Erros:
            UsageError: nenhuma, ou mais de uma; a mensagem lista as mais próximas.
        """
        ids, name = self.ids(), reference.strip().removesuffix(SUFFIX)
        matches = (
            [name] if name in ids else [item for item in ids if name and item.startswith(name)]
        )
        if len(matches) == 1:
            return self._path(matches[0])
        if matches:
            raise UsageError(
                f"{quoted(name)} é o começo de {len(matches)} conversas: {_listed(matches)}. "
                "Escreva mais do id."
            )
        close = difflib.get_close_matches(name, ids, n=_LISTED, cutoff=0.6)
        hint = f"As mais parecidas: {_listed(close)}." if close else "Nenhuma está guardada ainda."
        if ids and not close:
            hint = f"As últimas: {_listed(ids)}."
        raise UsageError(f"Não há conversa {quoted(reference)} em '{self.folder}'. {hint}")

    def load(self, reference: str, *, allow_path: bool = True) -> Session:
        """Lê uma conversa.

        Args:
            reference: um id, o começo dele ou, se ``allow_path``, o caminho de um arquivo.

        Erros:
            UsageError: não existe, ou o começo serve a mais de uma. DataError: o arquivo não é uma
            sessão, nem uma conversa no formato de treino.
        """
        reference = os.fspath(reference)
        if allow_path and _looks_like_path(reference):
            path = os.path.expanduser(reference)
            if not os.path.exists(path):
                raise UsageError(f"{quoted(reference)}: o arquivo não existe.")
            return read_session(path)
        try:
            return read_session(self.find(reference))
        except UsageError:
            if allow_path and os.path.isfile(reference):
                return read_session(reference)
            raise

    def remove(self, reference: str) -> str:
        """Apaga uma sessão, danificada ou não, e devolve o id dela.

        Erros:
            UsageError: como em ``find``. SessionInUseError: está aberta em outra janela.
            StorageError: o disco recusou.
        """
        path = self.find(reference)
        lock = acquire(self.folder, path.stem)
        try:
            path.unlink()
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            lock.release()
        with suppress(OSError):  # sobra um arquivo vazio, que não atrapalha
            lock_path(self.folder, path.stem).unlink()
        return path.stem

    def new(
        self, model: str, persona: str, mode: str | None = None, context: str = ""
    ) -> "SessionWriter":
        """Uma sessão nova; o arquivo só nasce na primeira fala."""
        return SessionWriter(self.folder, header_fields(model, persona, mode, context))

    def resume(self, session: Session) -> "SessionWriter":
        """Continua uma sessão: o que se disser entra no mesmo arquivo.

        Uma conversa de fora da pasta, do formato de treino ou de uma versão mais nova não é tocada:
        a continuação vai para uma sessão nova, que começa com as falas dela.

        Erros:
            SessionInUseError: está aberta em outra janela. UsageError: foi apagada, ou mudou desde
            que foi lida. StorageError: o disco recusou.
        """
        path = session.path
        ours = os.path.realpath(path.parent) == os.path.realpath(self.folder)
        if ours and session.native and path.suffix == SUFFIX and not path.is_symlink():
            return SessionWriter.reopen(self.folder, session)
        header = header_fields(session.model, session.persona, session.mode, session.context)
        spoken = [{"type": "message", **event} for event in session.events]
        return SessionWriter(self.folder, header, spoken)


def _damaged_info(path: Path) -> SessionInfo | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    when = datetime.fromtimestamp(status.st_mtime).astimezone()
    size = status.st_size
    return SessionInfo(path.stem, path, "", "", when, when, 0, DAMAGED_TITLE, size, damaged=True)


def _looks_like_path(reference: str) -> bool:
    separators = {os.sep, os.altsep or os.sep, "/"}
    return reference.startswith("~") or any(item in reference for item in separators)


def _listed(names: Names) -> str:
    shown = ", ".join(names[:_LISTED])
    return f"{shown} e mais {len(names) - _LISTED}" if len(names) > _LISTED else shown
