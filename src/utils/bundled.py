"""Os dados que vêm junto com o LunaGPT."""

from pathlib import Path

from src.utils.errors import LunaError


def bundled_data() -> Path:
    """A pasta deles: ``data/`` no código-fonte, ``src/bundled`` no pacote instalado.

    Erros:
        LunaError: não estão em nenhum dos dois lugares.
    """
    root = Path(__file__).resolve().parents[2]
    for folder in (root / "src" / "bundled", root / "data"):
        if (folder / "train").is_dir():
            return folder
    raise LunaError("Os dados que vêm com o LunaGPT não foram encontrados: reinstale o pacote.")
