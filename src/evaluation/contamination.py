"""Se o que se vai medir estava no treino: avaliado no que decorou, o modelo engana."""

from collections.abc import Sequence
from pathlib import Path

from src.models.model_files import read_json
from src.utils.errors import ModelFormatError
from src.utils.hashes import file_sha256

MANIFEST = Path("training") / "manifest.json"


def trained_files(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Os de ``files`` cujo conteúdo está entre os do último treino do modelo em ``folder``.

    Olha só arquivos iguais (sha256): um texto copiado para outro arquivo não é percebido.
    """
    try:
        listed = read_json(folder / MANIFEST).get("files")
    except ModelFormatError:  # nunca treinado, ou não é um modelo Luna
        return []
    items = listed if isinstance(listed, list) else []
    known = {item.get("sha256") for item in items if isinstance(item, dict)}
    return [path for path in files if known and file_sha256(path) in known]
