"""A pasta de modelos: listar, conferir, travar, gravar, renomear, apagar, exportar e importar.

O formato dos arquivos exportados está em ``src.utils.model_archive``; a troca de uma pasta por
outra, em ``src.utils.model_swap``. Aqui ficam os nomes, as travas e as regras de quem substitui
quem.
"""

import difflib
import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from src.utils.atomic_io import fsync_path, storage_error
from src.utils.errors import (
    LunaError,
    ModelExistsError,
    ModelFormatError,
    ModelNotFoundError,
    StorageError,
    UsageError,
)
from src.utils.model_archive import (
    MAX_EXPANDED_BYTES,
    archive_kind,
    extract,
    files_to_export,
    reserved_on_windows,
    top_folder,
    write_archive,
)
from src.utils.model_swap import (
    REMOVED_PREFIX,
    aside_path,
    copies_aside,
    discard,
    finish_saves,
    install_folder,
    pending_saves,
    replaced_copies,
    restore,
    retire,
)

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
CHECKPOINTS_DIR = "checkpoints"
VERSIONS_DIR = "versions"
REFINEMENTS_DIR = "training/refinements"  # relatórios que citam as avaliações de quem o usa
CORPUS_DIR = "training/cache"  # os textos do treino, tokenizados: refazem-se, e podem ser privados
RETRIEVER_DIR = "retriever"
LOCKS_DIR = ".locks"

MAX_NAME_LENGTH = 64  # caracteres
MAX_NAME_BYTES = 200  # os sistemas de arquivos param em 255, e há prefixos temporários
SWAP_SECONDS = 1.0  # espera por uma troca em curso noutro processo; ela são dois renomes


# --- Nomes ---------------------------------------------------------------------------------------


def _name_problem(name: str) -> str | None:
    """O que há de errado com um nome de modelo, ou ``None``."""
    if not name:
        return "está vazio"
    if not re.fullmatch(r"[\w.\-]+", name):
        return "só pode ter letras, números, '.', '_' e '-'"
    if name[0] in ".-" or name[-1] == ".":
        return "não pode começar com '.' ou '-', nem terminar com '.'"
    if len(name) > MAX_NAME_LENGTH or len(name.encode("utf-8")) > MAX_NAME_BYTES:
        return f"é longo demais ({len(name)} caracteres; o máximo é {MAX_NAME_LENGTH})"
    return "é reservado pelo Windows" if reserved_on_windows(name) else None


def validate_model_name(name: str) -> str:
    """Confere o nome de um modelo e o devolve com os acentos compostos (Unicode NFC).

    Um nome é um só componente de caminho: letras (acentuadas também), números, ``.``, ``_`` e
    ``-``, até 64 caracteres, sem começar com ``.`` ou ``-``.

    Erros:
        UsageError: o nome não serve, ou é um caminho; nesse caso a mensagem diz qual seria o nome.
    """
    if not isinstance(name, str):
        raise UsageError(f"nome de modelo {name!r}: esperado um texto.")
    name = unicodedata.normalize("NFC", name)
    if re.search(r"[/\\]|^[A-Za-z]:", name):
        last = re.split(r"[/\\:]", name.rstrip("/\\"))[-1]
        hint = "" if _name_problem(last) else f" O nome seria '{last}'."
        raise UsageError(
            f"'{name}' é um caminho; aqui se espera o nome de um modelo da pasta de modelos.{hint}"
        )
    problem = _name_problem(name)
    if problem:
        raise UsageError(f"O nome de modelo '{name}' {problem}. Um exemplo que serve: MeuLunaGPT.")
    return name


# --- O que há numa pasta de modelo ---------------------------------------------------------------


@dataclass(frozen=True)
class ModelEntry:
    """Um modelo na pasta de modelos."""

    name: str
    path: Path
    size_bytes: int  # soma dos arquivos, com checkpoints
    parameters: int | None  # None se a pasta não diz
    modified: datetime  # da última gravação dos pesos ou da configuração, com fuso local
    has_retriever: bool
    complete: bool  # configuração, índice e todos os pesos estão lá


def _read_json(path: Path) -> dict[str, Any] | None:
    """O objeto JSON de ``path``; ``None`` se o arquivo falta ou está danificado."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        logger.debug("'%s' não pôde ser lido: %s", path, error)
        return None
    return value if isinstance(value, dict) else None


def model_problem(folder: str | os.PathLike) -> str | None:
    """O que falta para ``folder`` ser um modelo completo, em uma frase; ``None`` se nada falta.

    Confere a configuração, o índice dos pesos e a presença de cada arquivo que ele cita; não lê
    os pesos.
    """
    folder = Path(folder)
    for name in (CONFIG_FILE, INDEX_FILE):
        if not (folder / name).is_file():
            return f"falta {name}"
        if _read_json(folder / name) is None:
            return f"{name} não é um objeto JSON"
    shards = (_read_json(folder / INDEX_FILE) or {}).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        return f"{INDEX_FILE} não tem a lista de pesos (weight_map)"
    for shard in sorted({str(value) for value in shards.values()}):
        inside = not Path(shard).is_absolute() and ".." not in re.split(r"[/\\]", shard)
        if not inside or not (folder / shard).is_file():
            return f"falta o arquivo de pesos {shard}"
    return None


def _require_complete(folder: Path) -> None:
    """Exige um modelo completo.

    Erros:
        ModelFormatError: com o que falta.
    """
    problem = model_problem(folder)
    if problem:
        raise ModelFormatError(
            f"O modelo está incompleto: {problem}. Treine-o ou exporte-o de novo na origem."
        )


def _folder_bytes(folder: Path) -> int:
    """A soma dos tamanhos; o que sumir durante a conta (há um treino em curso) fica de fora."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                logger.debug("'%s' sumiu enquanto o tamanho era somado.", name)
    return total


def _parameters(folder: Path) -> int | None:
    metadata = (_read_json(folder / INDEX_FILE) or {}).get("metadata")
    for source in (metadata, _read_json(folder / CONFIG_FILE)):
        value = source.get("total_parameters") if isinstance(source, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _entry(folder: Path) -> ModelEntry:
    retriever = folder / RETRIEVER_DIR
    written = [folder / name for name in (CONFIG_FILE, INDEX_FILE) if (folder / name).is_file()]
    stamp = max((path.stat().st_mtime for path in written), default=folder.stat().st_mtime)
    return ModelEntry(
        name=folder.name,
        path=folder,
        size_bytes=_folder_bytes(folder),
        parameters=_parameters(folder),
        modified=datetime.fromtimestamp(stamp).astimezone(),
        has_retriever=retriever.is_dir() and any(retriever.iterdir()),
        complete=model_problem(folder) is None,
    )


# --- A pasta de modelos --------------------------------------------------------------------------

Names = list[str]  # dentro da classe, ``list`` é o método
Entries = list[ModelEntry]


class ModelStore:
    """Os modelos de uma pasta.

    Uma subpasta é um modelo quando tem ``config.json``; outra (por exemplo, só com ``retriever/``)
    não conta como existente. Um modelo que ficou sem nome porque um processo morreu no meio de uma
    troca recebe o nome de volta na primeira vez em que se pergunta por ele.

    Args:
        models_dir: a pasta; criada na primeira gravação.
    """

    def __init__(self, models_dir: str | os.PathLike) -> None:
        self.models_dir = Path(models_dir)

    def path(self, name: str) -> Path:
        """A pasta do modelo ``name``, exista ou não.

        Erros:
            UsageError: o nome não serve.
        """
        return self.models_dir / validate_model_name(name)

    def exists(self, name: str) -> bool:
        """Se há um modelo com esse nome.

        Erros:
            UsageError: o nome não serve.
        """
        self._recover(name)
        return (self.path(name) / CONFIG_FILE).is_file()

    def _recover(self, name: str) -> None:
        """Termina trocas e gravações interrompidas; ``lock`` o faz, e aqui se pega a trava."""
        folder = self.path(name)
        lost = not os.path.lexists(folder) and replaced_copies(folder)
        if not lost and not pending_saves(folder):
            return
        try:
            with self.lock(name, timeout=SWAP_SECONDS):
                pass
        except LunaError as error:
            if not os.path.lexists(folder):
                logger.warning("'%s' não pôde ser devolvido ao lugar: %s", folder.name, error)

    def names(self) -> Names:
        """Os nomes dos modelos, em ordem alfabética, sem olhar dentro deles.

        Erros:
            StorageError: a pasta de modelos não pode ser lida.
        """
        for name in copies_aside(self.models_dir):
            if not _name_problem(name):
                self._recover(name)
        try:
            folders = [path for path in self.models_dir.iterdir() if path.name[0] != "."]
            found = [path.name for path in folders if (path / CONFIG_FILE).is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(
                f"Não foi possível ler '{self.models_dir}': {error.strerror}."
            ) from error
        for name in [name for name in found if _name_problem(name)]:
            logger.warning("A pasta '%s' foi ignorada: o nome %s.", name, _name_problem(name))
        valid = [name for name in found if not _name_problem(name)]
        return sorted(valid, key=lambda name: (name.casefold(), name))

    def documents_only(self) -> Names:
        """Os nomes das pastas que têm documentos indexados e ainda não têm modelo."""
        try:
            folders = [path for path in self.models_dir.iterdir() if path.name[0] != "."]
        except OSError as error:
            logger.debug("'%s' não pôde ser lida: %s", self.models_dir, error)
            return []
        return sorted(path.name for path in folders if self.has_only_documents(path.name))

    def has_only_documents(self, name: str) -> bool:
        """Se a pasta tem documentos indexados e ainda não tem modelo.

        Erros:
            UsageError: o nome não serve.
        """
        folder = self.path(name)
        retriever = folder / RETRIEVER_DIR
        indexed = retriever.is_dir() and any(retriever.iterdir())
        return indexed and not (folder / CONFIG_FILE).is_file()

    def list(self) -> Entries:
        """Os modelos, em ordem alfabética, com tamanho, parâmetros e estado.

        Erros:
            StorageError: a pasta de modelos não pode ser lida.
        """
        entries = []
        for name in self.names():
            try:
                entries.append(_entry(self.models_dir / name))
            except FileNotFoundError:
                logger.debug("O modelo '%s' foi apagado durante a listagem.", name)
        return entries

    def require(self, name: str) -> Path:
        """A pasta de um modelo que existe.

        Erros:
            UsageError: o nome não serve.
            ModelNotFoundError: não existe; a mensagem lista os que existem e como criar.
        """
        folder = self.path(name)
        if self.exists(name):
            return folder
        names = self.names()
        plain = {known.casefold(): known for known in names}
        found = difflib.get_close_matches(folder.name.casefold(), plain, n=3, cutoff=0.6)
        close = [plain[item] for item in found]
        lines = [f"O modelo '{folder.name}' não existe em '{self.models_dir}'."]
        if self.has_only_documents(name):
            lines.append("A pasta só tem documentos indexados, que 'create' aproveita.")
        elif folder.is_dir():
            lines.append(f"A pasta está lá, mas sem {CONFIG_FILE}.")
        if close:
            lines.append(f"Você quis dizer {' ou '.join(repr(item) for item in close)}?")
        lines.append(f"Os que existem: {', '.join(names) or 'nenhum'}.")
        lines.append(f"Para criá-lo: python main.py create --name {folder.name}")
        raise ModelNotFoundError(" ".join(lines))

    def check_free(self, name: str, force: bool = False) -> Path:
        """A pasta em que um modelo novo pode ser gravado.

        Erros:
            UsageError: o nome não serve.
            ModelExistsError: já existe um modelo com esse nome e ``force`` é falso.
        """
        folder = self.path(name)
        if self.exists(name) and not force:
            raise ModelExistsError(
                f"Já existe um modelo '{folder.name}' em '{self.models_dir}'. Use --force para "
                "substituí-lo, ou escolha outro nome."
            )
        return folder

    @contextmanager
    def lock(self, name: str, timeout: float = 0) -> Iterator[None]:
        """Reserva o modelo para este processo enquanto o bloco durar.

        Quem ganha a trava encontra o modelo no lugar, mesmo que uma troca anterior tenha morrido
        no meio.

        Args:
            timeout: segundos de espera; 0 tenta uma vez só, negativo espera o quanto for preciso.

        Erros:
            LunaError: o modelo está em uso. StorageError: o disco recusou a trava, ou a volta de um
            modelo que perdeu o nome.
        """
        from filelock import FileLock, Timeout

        folder = self.path(name)
        target = self.models_dir / LOCKS_DIR / f"{folder.name}.lock"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(target), timeout=timeout, thread_local=False)
            lock.acquire()
        except Timeout as error:
            raise LunaError(
                f"o modelo '{folder.name}' está em uso por outro processo (treino ou refinamento). "
                "Espere que termine, ou interrompa-o, e repita o comando."
            ) from error
        except OSError as error:
            raise storage_error(error, target) from error
        try:
            restore(folder)
            finish_saves(folder)
            yield
        finally:
            lock.release()

    def install(
        self,
        name: str,
        fill: Callable[[Path], None],
        keep: Collection[str] = (RETRIEVER_DIR,),
    ) -> Path:
        """Monta uma pasta de modelo e só lhe dá o nome quando está inteira; devolve a pasta.

        Substitui o que houver com esse nome, seja um modelo ou só um ``retriever/``: confira antes
        com ``check_free``. Não pega a trava: quem chama já está dentro de ``lock(name)``.

        Args:
            fill: escreve o modelo na pasta temporária que recebe.
            keep: subpastas da pasta antiga que passam para a nova, se ``fill`` não as fez.

        Erros:
            UsageError: o nome não serve. StorageError: o disco recusou. O que ``fill`` levantar
            passa. Em todos os casos a pasta antiga continua inteira e nada é deixado para trás.
        """
        final = self.path(name)
        self._recover(name)
        install_folder(final, fill, keep)
        self._sweep(final.name)
        return final

    def _sweep(self, held: str) -> None:
        """Apaga as cópias que processos mortos deixaram, só de modelos que existem e sem uso.

        Args:
            held: o modelo cuja trava já é de quem chama.
        """
        for name in copies_aside(self.models_dir):
            try:
                with nullcontext() if name == held else self.lock(name):
                    copies = copies_aside(self.models_dir).get(name, [])
                    if self.exists(name):
                        for copy in copies:
                            retire(copy)
                    elif copies:
                        logger.warning("Sobrou '%s'; apague-a se não a quiser.", copies[0])
            except LunaError as error:
                logger.debug("As sobras de '%s' ficam para depois: %s", name, error)

    def rename(self, old: str, new: str) -> Path:
        """Dá outro nome a um modelo e devolve a nova pasta.

        Erros:
            UsageError: um nome não serve, ou os dois são iguais. ModelNotFoundError: ``old`` não
            existe. ModelExistsError: ``new`` já está ocupado. LunaError: um deles está em uso.
            StorageError: o disco recusou.
        """
        source, target = self.require(old), self.path(new)
        if source.name == target.name:
            raise UsageError(f"O modelo já se chama '{source.name}'.")
        same = target.exists() and target.samefile(source)  # só muda maiúscula, no macOS e Windows
        with self.lock(old), nullcontext() if same else self.lock(new):
            self._sweep(source.name)  # uma cópia antiga não pode voltar com o nome que fica livre
            try:
                self._refuse_occupied(target, allowed=same)
                os.rename(source, target)
                fsync_path(self.models_dir)
            except OSError as error:
                raise storage_error(error, target) from error
        return target

    def _refuse_occupied(self, folder: Path, allowed: bool) -> None:
        """Exige que ``folder`` não exista; uma pasta vazia sai do caminho.

        Erros:
            ModelExistsError: há algo lá e ``allowed`` é falso.
        """
        if allowed or not os.path.lexists(folder):
            return
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            return
        raise ModelExistsError(
            f"'{folder}' já existe e não está vazia. Escolha outro nome, ou remova-a antes."
        )

    def remove(self, name: str) -> None:
        """Apaga um modelo.

        A pasta primeiro perde o nome e só depois é apagada: interrompida no meio, a remoção não
        deixa meio modelo. O que sobrar sai quando houver de novo um modelo com esse nome.

        Erros:
            UsageError, ModelNotFoundError: como em ``require``. LunaError: está em uso.
            StorageError: o disco recusou.
        """
        folder = self.path(name) if self.has_only_documents(name) else self.require(name)
        trash = aside_path(folder, REMOVED_PREFIX)
        with self.lock(name):
            self._sweep(folder.name)  # uma cópia antiga não pode voltar no lugar da removida
            try:
                os.rename(folder, trash)
            except OSError as error:
                raise storage_error(error, folder) from error
            try:
                discard(trash)
            except OSError as error:
                raise StorageError(
                    f"'{folder.name}' já não está entre os modelos, mas sobraram arquivos em "
                    f"'{trash}' ({error.strerror}). Apague essa pasta quando puder."
                ) from error

    def export(
        self,
        name: str,
        archive_path: str | os.PathLike,
        *,
        include_checkpoints: bool = False,
        force: bool = False,
    ) -> Path:
        """Grava um modelo num só arquivo, ``.tar.gz`` ou ``.zip`` conforme o sufixo.

        O corpus em cache, as versões guardadas e os relatórios de refinamento (que citam as
        avaliações) nunca vão.

        Args:
            include_checkpoints: leva também ``checkpoints/``, que só serve para retomar o treino.
            force: substitui um arquivo que já exista.

        Returns:
            O caminho do arquivo.

        Erros:
            UsageError: nome ou sufixo não servem, ou o arquivo já existe. ModelNotFoundError: o
            modelo não existe. ModelFormatError: está incompleto, ou tem algo que a importação
            recusaria. LunaError: está em uso. StorageError: o disco recusou.
        """
        source, target = self.require(name), Path(archive_path)
        archive_kind(target)  # antes de qualquer trabalho, o sufixo
        if target.is_dir() or (target.exists() and not force):
            raise UsageError(f"'{target}' já existe. Use --force para substituir, ou outro nome.")
        with self.lock(name):
            _require_complete(source)
            leave_out = [CORPUS_DIR, VERSIONS_DIR, REFINEMENTS_DIR]
            leave_out += [] if include_checkpoints else [CHECKPOINTS_DIR]
            write_archive(target, files_to_export(source, leave_out))
        return target

    def import_archive(
        self,
        archive_path: str | os.PathLike,
        name: str | None = None,
        force: bool = False,
        *,
        max_bytes: int = MAX_EXPANDED_BYTES,
    ) -> Path:
        """Traz um modelo de um arquivo feito por ``export`` e devolve a pasta dele.

        Args:
            name: o nome do modelo; ``None`` usa o da pasta que está no arquivo.
            force: substitui um modelo que já exista.
            max_bytes: o máximo que o arquivo pode ocupar depois de expandido.

        Erros:
            UsageError: o arquivo não existe ou o nome não serve. ModelExistsError: o nome está
            ocupado. ModelFormatError: o arquivo está danificado, incompleto ou tem algo que não
            se aceita (caminhos para fora, atalhos, pickles, expansão enorme). LunaError: o modelo
            está em uso. StorageError: o disco recusou. Em todos os casos nada é deixado para trás.
        """
        archive = Path(archive_path)
        top = top_folder(archive, max_bytes)
        final = self.check_free(top if name is None else name, force)

        def fill(staging: Path) -> None:
            extract(archive, staging, max_bytes)
            _require_complete(staging)

        with self.lock(final.name):
            self._refuse_occupied(final, allowed=force)
            return self.install(final.name, fill, keep=())
