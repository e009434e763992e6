"""As personas de Luna: estilos de resposta, como dados.

Cada persona diz o que o modelo lê antes da conversa (``system_prompt``), como ela soa (``style``),
como sorteia as palavras (``sampling``), quando oferece ajuda sem ser chamada (``proactivity``) e
onde fica em oito eixos de personalidade (``traits``), que formam o vetor da HyperNetwork.

Quem lê cada campo, hoje:

- ``system_prompt``: o chat e o treino. ``sampling`` e ``description``: o chat.
- ``style``: ``scripts/check_data.py``, que confere nele as conversas de exemplo.
- ``proactivity``: as sugestões do chat. ``traits``: o vetor que a HyperNetwork lê, no treino e no
  chat, e o tom das sugestões de uma persona sua.

Três vêm prontas. Outras entram por um arquivo JSON (``paths.personas_file``, ``personas.json`` se
nada for dito), um objeto por persona, em que tudo é opcional menos o ``system_prompt``:

    {"professora": {"extends": "casual", "system_prompt": "Você é a Luna. Explique com exemplos.",
                    "style": {"typical": ["por exemplo"]}, "traits": {"detail": 0.8}}}
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from src.config.errors import ConfigError, UsageError
from src.config.options import check_fields, option, quoted, sampling_option, shortened
from src.config.text import without_accents

#: Os eixos de personalidade, na ordem do vetor; cada um vai de -1 (o primeiro polo) a 1 (o outro).
TRAITS: dict[str, str] = {
    "formality": "coloquial - formal",
    "warmth": "distante - calorosa",
    "technicality": "leiga - técnica",
    "detail": "resumida - detalhada",
    "humor": "séria - brincalhona",
    "directness": "cheia de rodeios - direta",
    "initiative": "só responde - sugere",
    "energy": "calma - animada",
}
PERSONA_DIM = len(TRAITS)


@dataclass(frozen=True)
class Style:
    """Como a persona soa. As expressões são comparadas sem diferença de maiúsculas.

    Atributos:
        address: formas de tratamento. typical: expressões que a marcam.
        avoided: expressões que ela não usa.
    """

    address: tuple[str, ...] = ()
    typical: tuple[str, ...] = ()
    avoided: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """Como a persona sorteia os tokens; os nomes são os de ``generate`` de transformers."""

    temperature: float = sampling_option("temperature", 0.7)
    top_k: int = sampling_option("top_k", 40)
    top_p: float = sampling_option("top_p", 0.9)
    min_p: float = sampling_option("min_p", 0.0)
    repetition_penalty: float = sampling_option("repetition_penalty", 1.0)
    no_repeat_ngram_size: int = sampling_option("no_repeat_ngram_size", 4)  # docs/LOG.md


@dataclass(frozen=True)
class Proactivity:
    """Quando a persona oferece ajuda sem ser chamada."""

    enabled: bool = option(True, "oferece sugestões")
    min_turns_between: int = option(3, "turnos entre duas sugestões", minimum=1)
    min_confidence: float = option(0.5, "certeza mínima do padrão", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class Persona:
    """Um estilo de resposta, inteiro."""

    name: str
    description: str
    system_prompt: str
    style: Style = Style()
    sampling: Sampling = Sampling()
    proactivity: Proactivity = Proactivity()
    traits: Mapping[str, float] = field(default_factory=dict)

    @property
    def vector(self) -> tuple[float, ...]:
        """O lugar da persona nos eixos de ``TRAITS``: [PERSONA_DIM], de -1 a 1; 0 onde não diz."""
        return tuple(float(self.traits.get(name, 0.0)) for name in TRAITS)


_CASUAL = Persona(
    name="casual",
    description="conversa leve e amigável",
    system_prompt="Você é a Luna. Converse de um jeito leve e amigável, em frases curtas.",
    style=Style(
        address=("você",),
        typical=(
            "pra",
            "pro",
            "tá",
            "né",
            "a gente",
            "olha",
            "bora",
            "viu",
            "num",
            "aí",
            "que bom",
        ),
        avoided=("o senhor", "a senhora", "por gentileza", "convém", "queira", "permita-me"),
    ),
    traits={"formality": -0.8, "warmth": 0.8, "technicality": -0.6, "detail": -0.4}
    | {"humor": 0.6, "directness": 0.2, "initiative": 0.4, "energy": 0.6},
)
_TECNICO = Persona(
    name="tecnico",
    description="técnica, objetiva, detalhada",
    system_prompt="Você é a Luna. Seja técnica e objetiva, com termos exatos e detalhes úteis.",
    style=Style(
        address=(),
        typical=("cerca de", "em geral", "recomenda-se", "deve-se", "depende", "indica", "conforme")
        + ("reduz", "permanece", "total", "apenas"),
        avoided=("pra", "pro", "tá", "né", "a gente", "bora", "o senhor", "a senhora"),
    ),
    sampling=Sampling(temperature=0.4, top_k=20),
    proactivity=Proactivity(min_turns_between=4, min_confidence=0.6),
    traits={"formality": 0.2, "warmth": -0.2, "technicality": 1.0, "detail": 0.8}
    | {"humor": -0.8, "directness": 0.8, "initiative": 0.2, "energy": -0.4},
)
_FORMAL = Persona(
    name="formal",
    description="profissional e educada",
    system_prompt=(
        "Você é a Luna. Seja cortês e profissional e trate a pessoa por senhor ou senhora."
    ),
    style=Style(
        address=("o senhor", "a senhora", "ao senhor", "à senhora", "do senhor", "da senhora"),
        typical=("recomendo", "convém", "queira", "permita-me", "caso", "sugiro", "por gentileza")
        + ("lhe", "agradeço", "compreendo", "lamento", "poderá"),
        avoided=("pra", "pro", "tá", "né", "a gente", "bora", "legal"),
    ),
    sampling=Sampling(temperature=0.5, top_k=30),
    proactivity=Proactivity(min_turns_between=4, min_confidence=0.6),
    traits={"formality": 1.0, "warmth": 0.2, "technicality": 0.2, "detail": 0.4}
    | {"humor": -0.6, "directness": -0.2, "initiative": 0.0, "energy": -0.4},
)

PERSONAS: dict[str, Persona] = {p.name: p for p in (_CASUAL, _TECNICO, _FORMAL)}
DEFAULT_PERSONA = "casual"
Personas = Mapping[str, Persona]


def plain_name(name: str) -> str:
    """O nome de uma persona sem acentos, maiúsculas nem espaços em volta ("Técnico": "tecnico")."""
    return without_accents(name.strip())


def get_persona(name: str, personas: Personas = PERSONAS) -> Persona:
    """A persona ``name``; acentos e maiúsculas não importam ("técnico" é "tecnico").

    Args:
        personas: onde procurar: as que vêm prontas, ou o que ``load_personas`` devolveu.

    Erros:
        UsageError: não existe; a mensagem lista as que existem e diz em que arquivo se procurou.
    """
    persona = personas.get(plain_name(name))
    if persona is None:
        searched = f" {personas.searched}" if isinstance(personas, LoadedPersonas) else ""
        raise UsageError(
            f"--persona {quoted(name)}: não existe. As que existem: "
            f"{', '.join(sorted(personas))}.{searched}"
        )
    return persona


# --- As suas personas --------------------------------------------------------------------------


class LoadedPersonas(dict[str, Persona]):
    """As personas por nome, e o arquivo onde se procuraram as da pessoa (``path``, ``found``)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(PERSONAS)
        self.path, self.found = os.fspath(path), False

    @property
    def searched(self) -> str:
        """Onde se procurou, como frase de uma mensagem."""
        missing = "" if self.found else ", que não existe"
        return f"As suas se procuram em '{self.path}'{missing}."


def load_personas(path: str | os.PathLike[str]) -> LoadedPersonas:
    """As personas que vêm prontas mais as do arquivo JSON ``path``, se ele existir.

    Uma persona do arquivo com o nome de uma pronta muda só o que disser. ``extends`` dá a persona
    (pronta, ou definida antes no arquivo) da qual vem o que faltar; sem ele, vem da casual.

    Erros:
        ConfigError: o arquivo não é JSON, ou um campo não é o que se espera; a mensagem diz o
            arquivo, a persona, o campo, o valor e o esperado.
    """
    personas = LoadedPersonas(path)
    try:
        values = _object(_read_json(path), "o arquivo")
        _check_names(values)
        for name, entry in values.items():
            persona = _persona(plain_name(name), entry, personas)
            personas[persona.name] = persona
    except FileNotFoundError:
        return personas
    except OSError as error:
        raise ConfigError(f"Não foi possível ler '{path}': {error.strerror}.") from error
    except ConfigError as error:
        raise ConfigError(f"No arquivo de personas '{path}': {error}") from error
    personas.found = True
    return personas


def _read_json(path: str | os.PathLike[str]) -> Any:
    """O conteúdo do arquivo."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            return json.load(stream, object_pairs_hook=_unique_keys, parse_int=_integer)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"não é JSON: {error}.") from error
    except RecursionError:
        raise ConfigError("há objetos ou listas, uns dentro dos outros, demais.") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Um objeto JSON, em que cada chave só pode aparecer uma vez."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ConfigError(f"{quoted(key)} aparece duas vezes no mesmo objeto: deixe uma só.")
        values[key] = value
    return values


def _integer(digits: str) -> int:
    """Um inteiro do JSON. O Python recusa, por segurança, os de milhares de algarismos."""
    try:
        return int(digits)
    except ValueError:
        raise ConfigError(
            f"{shortened(digits)}: esperado um número menor; este tem {len(digits)} algarismos."
        ) from None


def _check_names(names: Iterable[str]) -> None:
    """Dois nomes não podem diferir só por acentos, maiúsculas ou espaços em volta."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(plain_name(name), name)
        if other != name:
            raise ConfigError(
                f"{quoted(other)} e {quoted(name)} são o mesmo nome, {quoted(plain_name(name))}: "
                "deixe um só, ou mude um deles."
            )


def _persona(name: str, entry: Any, known: Personas) -> Persona:
    """Constrói a persona ``name`` de um objeto JSON, sobre a que ela estende."""
    if not name:
        raise ConfigError('persona sem nome: esperado um nome, como "professora".')
    where = shortened(name)
    values = dict(_object(entry, where))
    _known_keys(values, {"extends", *(f.name for f in fields(Persona) if f.name != "name")}, where)
    base = _base(name, values.pop("extends", None), known)
    if "system_prompt" not in values and name not in known:
        raise ConfigError(
            f"{where}: falta o campo system_prompt, o texto que o modelo lê antes da conversa."
        )
    changes: dict[str, Any] = {"name": name}
    for key in ("description", "system_prompt"):
        if key in values:
            changes[key] = _text(values[key], f"{where}.{key}")
        elif key == "description" and name not in known:
            changes[key] = name
    for key in ("sampling", "proactivity"):
        if key in values:
            changes[key] = _section(getattr(base, key), values[key], f"{where}.{key}")
    if "style" in values:
        changes["style"] = _style(base.style, values["style"], f"{where}.style")
    if "traits" in values:
        changes["traits"] = {**base.traits, **_traits(values["traits"], f"{where}.traits")}
    return replace(base, **changes)


def _base(name: str, extends: Any, known: Personas) -> Persona:
    if extends is None:
        return known.get(name, PERSONAS[DEFAULT_PERSONA])
    base = known.get(plain_name(extends)) if isinstance(extends, str) else None
    if base is None:
        raise ConfigError(
            f"{shortened(name)}.extends={quoted(extends)}: esperada uma persona já definida: "
            f"{', '.join(sorted(known))}."
        )
    return base


def _section(base: Any, values: Any, where: str) -> Any:
    """``base`` (uma dataclass) com os campos que ``values`` muda, conferidos."""
    values = _object(values, where)
    _known_keys(values, {f.name for f in fields(base)}, where)
    section = replace(base, **values)
    check_fields(section, where)
    return section


def _style(base: Style, values: Any, where: str) -> Style:
    values = _object(values, where)
    _known_keys(values, {f.name for f in fields(Style)}, where)
    for key, words in values.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ConfigError(f"{where}.{key}={quoted(words)}: esperada uma lista de textos.")
    return replace(base, **{key: tuple(words) for key, words in values.items()})


def _traits(values: Any, where: str) -> dict[str, float]:
    values = _object(values, where)
    _known_keys(values, set(TRAITS), where)
    for key, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not -1 <= value <= 1:
            raise ConfigError(f"{where}.{key}={quoted(value)}: esperado um número de -1 a 1.")
    return {key: float(value) for key, value in values.items()}


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}={quoted(value)}: esperado um objeto JSON.")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}={quoted(value)}: esperado um texto.")
    return value.strip()


def _known_keys(values: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"{where}.{shortened(unknown[0])}: campo desconhecido. "
            f"Os que existem: {', '.join(sorted(known))}."
        )
