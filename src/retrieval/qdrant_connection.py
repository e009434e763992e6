"""A conexão com um Qdrant, e os erros dele em português."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from src.utils.dependency_utils import require
from src.utils.errors import DataError, LunaError, StorageError, UsageError

logger = logging.getLogger(__name__)

API_KEY_VARIABLE = "LUNA_QDRANT_API_KEY"
MEMORY = ":memory:"
PORT = 6333  # a do Qdrant, em http e em https
_Method = TypeVar("_Method", bound=Callable[..., Any])
#: Os objetos que o motor local grava nos pontos do LunaGPT.
_STORED = {
    ("qdrant_client.http.models.models", "PointStruct"),
    ("qdrant_client.http.models.models", "SparseVector"),
}
_SAME_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_remote(location: str) -> bool:
    """Se é o endereço de um servidor; senão, é uma pasta ou ":memory:"."""
    return location.lower().startswith(("http://", "https://"))


def connect(location: str, api_key: str | None, timeout_s: int) -> Any:
    """O ``QdrantClient`` de uma pasta, de ":memory:" ou de um endereço http(s).

    Num endereço, nada é pedido ainda. A chave fica só na memória.

    Erros:
        UsageError: o endereço é inválido ou traz usuário ou senha.
        LunaError: a pasta está em uso por outro processo. DataError: ela está danificada.
        DependencyError: falta o ``qdrant-client``.
    """
    qdrant = require("qdrant_client", "qdrant")
    if not is_remote(location):
        return _open_folder(qdrant, location)
    _check_address(location)
    key = api_key or os.environ.get(API_KEY_VARIABLE) or None
    url = urlsplit(location)
    if key and url.scheme == "http" and url.hostname not in _SAME_MACHINE:
        logger.warning("A chave do Qdrant vai sem cifra até %s; prefira https.", url.hostname)
    with warnings.catch_warnings():  # o mesmo aviso, em inglês
        warnings.simplefilter("ignore", UserWarning)
        return qdrant.QdrantClient(
            url=location, port=PORT, api_key=key, timeout=timeout_s, check_compatibility=False
        )


def _check_address(location: str) -> None:
    try:
        url = urlsplit(location)
        valid = bool(url.hostname) and url.port != 0 and not url.query
    except ValueError:
        valid = False
    if valid and not (url.username or url.password):
        return
    raise UsageError(
        "O endereço do Qdrant não serve: esperado algo como http://localhost:6333, sem usuário, "
        f"senha nem '?'. A chave vai na variável de ambiente {API_KEY_VARIABLE}."
    )


def _open_folder(qdrant: Any, location: str) -> Any:
    if location == MEMORY:
        return qdrant.QdrantClient(MEMORY)
    _refuse_code(location)
    try:  # o armazém faz uma chamada por vez: o SQLite pode ser usado de outra thread
        return qdrant.QdrantClient(path=location, force_disable_check_same_thread=True)
    except RuntimeError as error:
        raise LunaError(
            f"A pasta '{location}' está em uso por outro processo. Feche-o, ou use um servidor "
            "Qdrant, que atende a vários."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"A pasta '{location}' não é de um Qdrant ou está danificada ({type(error).__name__}). "
            "Escolha outra pasta, ou apague-a e indexe de novo."
        ) from error


class _PointReader(pickle.Unpickler):
    """Só os objetos que o motor local grava; qualquer outro é recusado antes de existir."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STORED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def _refuse_code(location: str) -> None:
    """Confere uma pasta antes de abri-la.

    O motor local guarda cada ponto em pickle, que ao ser lido pode executar código; o LunaGPT só
    abre pastas em que os pontos são dados.

    Erros:
        DataError: um ponto traz outra coisa, ou não pode ser lido.
    """
    try:
        meta = json.loads((Path(location) / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # pasta nova, ou danificada: quem abre diz o quê
    names = meta.get("collections") if isinstance(meta, dict) else None
    for name in names if isinstance(names, dict) else ():
        storage = Path(location) / "collection" / name / "storage.sqlite"
        if storage.is_file():
            _check_points(storage)


def _check_points(storage: Path) -> None:
    try:
        with closing(sqlite3.connect(storage)) as database:
            for (point,) in database.execute("SELECT point FROM points"):
                _PointReader(io.BytesIO(point)).load()
    except Exception as error:  # um pickle quebrado levanta de tudo
        raise DataError(
            f"'{storage}' está danificado, ou traz mais do que pontos, e não foi aberto "
            f"({type(error).__name__}: {error}). Use só pastas criadas por você; para refazer "
            "esta, apague-a e indexe de novo."
        ) from error


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Troca as exceções do Qdrant por ``LunaError``; nenhuma mensagem traz a chave.

    Args:
        place: o endereço ou a pasta, para a mensagem.
    """
    errors = require("qdrant_client.http.exceptions", "qdrant")
    limits = require("qdrant_client.common.client_exceptions", "qdrant")
    try:
        yield
    except errors.ResponseHandlingException as error:
        raise LunaError(
            f"O Qdrant em {place} não respondeu como esperado ({type(error.source).__name__}). "
            "Confira se ele está no ar, o endereço, a rede e a versão."
        ) from error
    except json.JSONDecodeError as error:
        raise LunaError(
            f"O que responde em {place} não é um Qdrant: a resposta não é JSON. Confira o endereço."
        ) from error
    except errors.UnexpectedResponse as error:
        raise LunaError(_refusal(place, error)) from error
    except limits.QdrantException as error:
        raise LunaError(
            f"O Qdrant em {place} recebe pedidos demais. Espere e tente de novo."
        ) from error
    except (OSError, sqlite3.DatabaseError) as error:
        raise StorageError(f"Não foi possível ler ou gravar em {place}: {error}.") from error


def _refusal(place: str, error: Any) -> str:
    if error.status_code in (401, 403):
        return (
            f"O Qdrant em {place} recusou o acesso (HTTP {error.status_code}). Ponha a chave na "
            f"variável de ambiente {API_KEY_VARIABLE}."
        )
    try:
        reason = str(error.structured()["status"]["error"])
    except (ValueError, TypeError, KeyError):  # não veio de um Qdrant, ou veio sem explicação
        reason = str(error.reason_phrase)
    return (
        f"O Qdrant em {place} respondeu HTTP {error.status_code}: {reason[:300]}. Confira o "
        "endereço e a versão do servidor."
    )


def served(method: _Method) -> _Method:
    """Uma chamada por vez, com os erros em português; o objeto tem ``lock`` e ``place``."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock, explained(self.place):
            return method(self, *args, **kwargs)

    return guarded  # type: ignore[return-value]
