"""Campos de configuração com explicação e limites, e a conferência deles."""

import math
import reprlib
from dataclasses import field, fields, replace
from typing import Any

from src.config.errors import ConfigError

#: Os campos do sorteio dos tokens, com os nomes que ``generate`` de transformers lhes dá.
SAMPLING: dict[str, tuple[type, str, dict[str, float]]] = {
    "temperature": (float, "0 escolhe sempre o mais provável", {"minimum": 0.0, "maximum": 5.0}),
    "top_k": (int, "candidatos por token; 0 desliga", {"minimum": 0}),
    "top_p": (float, "massa de probabilidade mantida", {"minimum": 0.0, "maximum": 1.0}),
    "min_p": (float, "probabilidade mínima, relativa à maior", {"minimum": 0.0, "maximum": 1.0}),
    "repetition_penalty": (float, "penalidade para repetir", {"minimum": 0.1, "maximum": 10.0}),
    "no_repeat_ngram_size": (int, "sequências que não se repetem; 0 desliga", {"minimum": 0}),
}

MESSAGE_CHARS = 60  # caracteres de um valor ou de um nome dentro de uma mensagem

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxlong = _repr.maxother = MESSAGE_CHARS
_repr.maxlist = _repr.maxdict = 4
_repr.maxlevel = 2


def quoted(value: Any) -> str:
    """``repr(value)`` para uma mensagem de erro: o que for grande demais vem abreviado."""
    try:
        return _repr.repr(value)
    except ValueError:  # o Python não escreve inteiros além de alguns milhares de algarismos
        return "um inteiro de milhares de algarismos"


def shortened(text: str, size: int = MESSAGE_CHARS) -> str:
    """``text``, sem o meio se passar de ``size`` caracteres."""
    half = (size - 3) // 2
    return text if len(text) <= size else f"{text[:half]}...{text[-half:]}"


def option(default: Any, help_text: str, **limits: Any) -> Any:
    """Um campo com a sua explicação e os limites que ``check_fields`` confere."""
    return field(default=default, metadata={"help": help_text, **limits})


def sampling_option(name: str, default: Any) -> Any:
    """O campo ``name`` do sorteio, com o padrão ``default``."""
    kind, help_text, limits = SAMPLING[name]
    return option(default, help_text, type=kind, **limits)


def with_floats(section: Any) -> Any:
    """``section`` com 2.0 onde um campo ``float`` diz 2, que ``check_fields`` aceita.

    O JSON não separa os dois, mas ``generate`` de transformers recusa o inteiro.
    """
    whole = {
        item.name: float(getattr(section, item.name))
        for item in fields(section)
        if item.type is float and isinstance(getattr(section, item.name), int)
    }
    return replace(section, **whole)


def check_fields(section: Any, name: str) -> None:
    """Confere tipo, limites e opções de cada campo de uma seção.

    Erros:
        ConfigError: com a seção, o campo, o valor e o esperado.
    """
    for item in fields(section):
        value, limits = getattr(section, item.name), item.metadata
        where = f"{name}.{item.name}={quoted(value)}"
        if value is None and (item.default is None or limits.get("optional")):
            continue
        expected = limits.get("type") or type(item.default)
        number_ok = expected is float and isinstance(value, int) and not isinstance(value, bool)
        wrong_bool = isinstance(value, bool) and expected is not bool
        if not (isinstance(value, expected) or number_ok) or wrong_bool:
            raise ConfigError(f"{where}: esperado um valor do tipo {_type_name(expected)}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{where}: esperado um número finito.")
        if "choices" in limits and value not in limits["choices"]:
            raise ConfigError(f"{where}: esperado um de {', '.join(map(str, limits['choices']))}.")
        if "minimum" in limits and value < limits["minimum"]:
            raise ConfigError(f"{where}: esperado no mínimo {limits['minimum']}.")
        if "maximum" in limits and value > limits["maximum"]:
            raise ConfigError(f"{where}: esperado no máximo {limits['maximum']}.")


def _type_name(kind: Any) -> str:
    names = {int: "inteiro", float: "número", str: "texto", bool: "true ou false"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " ou ".join(names.get(k, k.__name__) for k in kinds)
