"""A base da árvore de exceções, no andar mais baixo do projeto (o resto: src/utils/errors.py).

``exit_code`` é o código de saída do processo: 2 para uso incorreto, 1 para falha.
"""


class LunaError(Exception):
    """Base de todos os erros que o LunaGPT levanta de propósito."""

    exit_code = 1


class UsageError(LunaError):
    """O comando, a opção ou o argumento foi usado de forma incorreta."""

    exit_code = 2


class ConfigError(UsageError):
    """Um valor de configuração está fora do que se aceita."""
