"""Números como se escrevem em português: ponto nos milhares, vírgula nos decimais."""


def grouped(value: float) -> str:
    """Um inteiro com os milhares separados (``1234567`` -> ``1.234.567``); frações arredondam."""
    return f"{value:,.0f}".replace(",", ".")


def counted(count: int, singular: str, plural: str) -> str:
    """``1 pergunta``, ``1.234 perguntas``."""
    return f"{grouped(count)} {singular if count == 1 else plural}"


def decimal(value: float, places: int = 3) -> str:
    """Um número com vírgula decimal (``0.5`` -> ``0,500``)."""
    return f"{value:.{places}f}".replace(".", ",")
