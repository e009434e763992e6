"""A árvore de exceções do LunaGPT.

Tudo o que a pessoa pode causar (arquivo que falta, nome inválido, disco cheio) vira um
``LunaError`` com uma mensagem em português que diz o que houve, o valor recebido, o que era
esperado e o que fazer. A linha de comando a imprime num só lugar, sem traceback (``main.py``);
quem usa a API em Python captura ``LunaError``.
"""

from src.config.errors import ConfigError, LunaError, UsageError

__all__ = [
    "ConfigError",
    "ContextLengthError",
    "DataError",
    "DependencyError",
    "LunaError",
    "ModelExistsError",
    "ModelFormatError",
    "ModelNotFoundError",
    "NoDataError",
    "StorageError",
    "UsageError",
]


class ModelNotFoundError(UsageError):
    """O modelo pedido não existe."""


class ModelExistsError(UsageError):
    """Já existe um modelo com esse nome."""


class ModelFormatError(LunaError):
    """A pasta do modelo está incompleta, danificada ou é de outro formato."""


class DataError(LunaError):
    """Um arquivo de dados não pôde ser lido ou não tem o conteúdo esperado."""


class NoDataError(DataError):
    """Nenhum texto aproveitável foi encontrado onde se procurou."""

    exit_code = 2


class DependencyError(LunaError):
    """Falta um pacote opcional; a mensagem traz o comando ``pip`` exato."""


class StorageError(LunaError):
    """O disco recusou a gravação (cheio, sem permissão, somente leitura)."""


class ContextLengthError(LunaError, ValueError):
    """A sequência não cabe no contexto do modelo."""
