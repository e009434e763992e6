"""Trocar a pasta de um modelo por outra sem nunca apagar a única cópia.

A pasta nova é montada e descarregada para o disco sob um nome temporário. A troca são dois renomes:
a antiga sai para ``.tmp-replaced-NOME-id`` e a nova entra. Um processo que morra entre os dois
deixa a antiga inteira ali, e ``restore`` a devolve. Antes de ser apagada, uma cópia passa a
``.tmp-removed-NOME-id``: o que se chama ``replaced`` está sempre inteiro, e o que se chama
``removed`` pode estar pela metade e nunca é devolvido.

Nada aqui pega a trava do modelo: quem chama já a tem (ver ``src.utils.model_store``).
"""

import json
import logging
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from src.utils.atomic_io import TEMP_PREFIX, fsync_path, fsync_tree, staged_directory, storage_error

logger = logging.getLogger(__name__)

INDEX_STEM = "model.safetensors.index"
REMOVED_PREFIX = f"{TEMP_PREFIX}removed-"
REPLACED_PREFIX = f"{TEMP_PREFIX}replaced-"
_ASIDE = re.compile(
    rf"(?:{re.escape(REMOVED_PREFIX)}|{re.escape(REPLACED_PREFIX)})(.+)-[0-9a-f]{{8}}"
)


def aside_path(folder: Path, prefix: str) -> Path:
    """Um nome livre, ao lado de ``folder``, para tirá-la do caminho."""
    return folder.with_name(f"{prefix}{folder.name}-{uuid.uuid4().hex[:8]}")


def copies_aside(models_dir: Path) -> dict[str, list[Path]]:
    """As cópias fora do lugar (``replaced`` e ``removed``) de cada nome de modelo."""
    try:
        found = sorted(os.listdir(models_dir))
    except OSError as error:
        logger.debug("'%s' não pôde ser lida: %s", models_dir, error)
        return {}
    copies: dict[str, list[Path]] = {}
    for entry in found:
        if match := _ASIDE.fullmatch(entry):
            name = unicodedata.normalize("NFC", match[1])  # o macOS pode decompor os acentos
            copies.setdefault(name, []).append(models_dir / entry)
    return copies


def replaced_copies(folder: Path) -> list[Path]:
    """As cópias inteiras de ``folder`` que uma troca tirou do lugar e não chegou a apagar."""
    copies = copies_aside(folder.parent).get(folder.name, [])
    return [copy for copy in copies if copy.name.startswith(REPLACED_PREFIX)]


def restore(folder: Path) -> None:
    """Se ``folder`` não existe e há cópia substituída dela, devolve o nome à mais recente.

    Erros:
        StorageError: o disco recusou; a cópia fica onde estava.
    """
    if os.path.lexists(folder) or not (copies := replaced_copies(folder)):
        return
    try:
        newest = max(copies, key=lambda copy: copy.lstat().st_ctime_ns)  # ctime: a do renome
        os.rename(newest, folder)
    except OSError as error:
        raise storage_error(error, folder) from error
    logger.warning("'%s' foi devolvido de '%s', de uma troca que não acabou.", folder, newest.name)


def install_folder(final: Path, fill: Callable[[Path], None], keep: Iterable[str] = ()) -> None:
    """Monta uma pasta com ``fill(staging)`` e só então lhe dá o nome ``final``.

    Se ``final`` já existe, ela só perde o nome quando a nova está inteira no disco, volta se a
    troca falhar, e é apagada no fim.

    Args:
        keep: subpastas da antiga copiadas para a nova, se ``fill`` não as fez.

    Erros:
        StorageError: o disco recusou. O que ``fill`` levantar passa. Nos dois casos, nada muda.
    """
    aside = aside_path(final, REPLACED_PREFIX)
    try:
        with staged_directory(final) as staging:
            fill(staging)
            _copy_kept(final, staging, keep)
            fsync_tree(staging)  # antes da troca, para que ela seja só os dois renomes
            if os.path.lexists(final):
                os.rename(final, aside)
    except BaseException:
        _give_back(aside, final)
        raise
    if os.path.lexists(aside):
        retire(aside)


def _copy_kept(old: Path, staging: Path, keep: Iterable[str]) -> None:
    for name in keep:
        if (old / name).is_dir() and not os.path.lexists(staging / name):
            _copy_tree(old / name, staging / name)


def _copy_tree(source: Path, target: Path) -> None:
    """Como ``shutil.copytree``, mas o primeiro erro chega inteiro a quem chamou (disco cheio)."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_dir():
            _copy_tree(path, target / path.name)
        elif not path.name.startswith(TEMP_PREFIX):
            shutil.copy2(path, target / path.name)


def _give_back(aside: Path, final: Path) -> None:
    """Desfaz o primeiro renome. Se a nova já entrou, a antiga espera a próxima limpeza."""
    if os.path.lexists(final) or not os.path.lexists(aside):
        return
    try:
        os.rename(aside, final)
    except OSError as error:  # o erro que importa é o da troca
        logger.error("'%s' ficou em '%s' (%s) e volta no próximo comando.", final, aside, error)


def retire(copy: Path) -> None:
    """Apaga uma cópia cujo modelo existe; se o disco recusar, avisa e segue."""
    try:
        if copy.name.startswith(REPLACED_PREFIX):
            trash = copy.with_name(REMOVED_PREFIX + copy.name.removeprefix(REPLACED_PREFIX))
            os.rename(copy, trash)
            copy = trash
        discard(copy)
    except OSError as error:
        logger.warning("'%s' não pôde ser apagada (%s); fica para depois.", copy, error)


def pending_saves(folder: Path) -> list[tuple[Path, str]]:
    """Gravações por cima de ``folder`` que morreram entre os renomes: (índice temporário, id).

    O índice é o último a ser escrito sob nome temporário: se está inteiro, os outros também estão.
    """
    found = []
    for path in folder.glob(f"{TEMP_PREFIX}{INDEX_STEM}-*"):
        try:
            save_id = json.loads(path.read_text(encoding="utf-8"))["metadata"]["save_id"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.debug("'%s' ficou pela metade: %s", path, error)
            continue
        if path.name == f"{TEMP_PREFIX}{INDEX_STEM}-{save_id}":
            found.append((path, save_id))
    return found


def finish_saves(folder: Path) -> None:
    """Dá os nomes que faltam às gravações interrompidas de ``folder``, o índice por último.

    Erros:
        StorageError: o disco recusou; o que falta espera a próxima vez.
    """
    for index, save_id in pending_saves(folder):
        try:
            for place, suffix in ((folder / "components", ".safetensors"), (folder, ".json")):
                for path in place.glob(f"{TEMP_PREFIX}*-{save_id}"):
                    stem = path.name.removeprefix(TEMP_PREFIX).removesuffix(f"-{save_id}")
                    if path != index:
                        os.replace(path, place / f"{stem}{suffix}")
                fsync_path(place)
            os.replace(index, folder / f"{INDEX_STEM}.json")
            fsync_path(folder)
        except OSError as error:
            raise storage_error(error, folder) from error
        logger.warning("Uma gravação interrompida de '%s' foi terminada.", folder)


def discard(folder: Path) -> None:
    """Apaga o que já não tem nome de modelo; um atalho é desfeito, não seguido."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
