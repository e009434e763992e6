"""O resumo criptográfico de arquivos: diz se dois são iguais sem guardar o conteúdo."""

import hashlib
import os


def file_sha256(path: str | os.PathLike) -> str:
    """O sha256 do conteúdo, lido aos poucos."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
