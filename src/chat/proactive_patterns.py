"""Os cinco padrões que a proatividade reconhece, e como se decide entre eles.

Cada padrão é uma estratégia (``CueStrategy``): sabe as pistas dele (``proactive_cues``), o quanto
pesam sozinhas e em que palavras da mensagem apareceram. Quem decide é um modelo linear
(``proactive_model``) que lê as pistas de todas, as contrárias e as próprias palavras da mensagem;
as estratégias dão a evidência, e sozinhas (``detect_by_rules``) são a referência simples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from src.chat.proactive_cues import AGAINST, CLASSES, CUES
from src.chat.proactive_matching import Match, PhraseIndex
from src.chat.proactive_model import features, load_model
from src.chat.proactive_text import Reading, read_message
from src.config.emotions import NEUTRAL

PATTERN_LABELS = {
    "indecisao": "Indecisão",
    "ajuda": "Solicitação de ajuda",
    "informacao": "Busca de informação",
    "frustracao": "Frustração",
    "clarificacao": "Clarificação",
}
AGAINST_PREFIX = "contra"
SECOND_SHARE = 0.25  # um segundo padrão aparece se tem esta parte da probabilidade do primeiro
RULE_MINIMUM = 1.0  # soma dos pesos das pistas que basta para o padrão, nas regras sozinhas
#: As expressões com que a referência do projeto descreve cada padrão.
REFERENCE_PHRASES = {
    "indecisao": ("estou em dúvida", "não sei", "talvez"),
    "ajuda": ("como funciona", "preciso de ajuda"),
    "informacao": ("onde encontrar", "como posso obter"),
    "frustracao": ("não consigo", "difícil", "complicado"),
    "clarificacao": ("não entendi", "pode explicar"),
}


class Pattern(str):
    """O nome de um padrão reconhecido numa mensagem.

    Atributos:
        confidence: a probabilidade dele, de 0 a 1. evidence: os trechos em que as pistas apareceram
            (vazio se só as palavras o indicam). label: o nome por extenso.
    """

    confidence: float
    evidence: tuple[str, ...]
    label: str

    def __new__(cls, name: str, confidence: float, evidence: Sequence[str] = ()) -> "Pattern":
        pattern = super().__new__(cls, name)
        pattern.confidence, pattern.evidence = confidence, tuple(evidence)
        pattern.label = PATTERN_LABELS[name]
        return pattern


@dataclass(frozen=True)
class CueStrategy:
    """Como reconhecer um padrão pelas pistas dele."""

    name: str

    def matches(self, found: Sequence[Match]) -> list[Match]:
        """Das pistas que casaram, as deste padrão."""
        return [match for match in found if match.name.split(".")[0] == self.name]

    def evidence(self, reading: Reading, found: Sequence[Match]) -> list[str]:
        """Os trechos da mensagem, na ordem, sem repetir."""
        spans = [reading.text_between(match.first, match.last) for match in self.matches(found)]
        return list(dict.fromkeys(spans))

    def weight(self, found: Sequence[Match]) -> float:
        """A soma dos pesos das pistas, cada uma contada uma vez."""
        weights = CUES[self.name]
        names = {match.name.split(".")[1] for match in self.matches(found)}
        return sum(weights[name][0] for name in names)


STRATEGIES = tuple(CueStrategy(name) for name in PATTERN_LABELS)


@cache
def phrase_index() -> PhraseIndex:
    """Todas as pistas, as contrárias também, prontas para se procurar."""
    cues = {
        f"{kind}.{name}": text for kind, group in CUES.items() for name, (_, text) in group.items()
    }
    cues |= {f"{AGAINST_PREFIX}.{name}": text for name, (_, text) in AGAINST.items()}
    return PhraseIndex(cues, CLASSES)


def detect(message: str) -> list[Pattern]:
    """Os padrões de ``message``, do mais ao menos provável; vazia se ela nada pede."""
    reading = read_message(message)
    found = phrase_index().find(reading)
    model = load_model()
    chances = model.probabilities(features(reading, found))
    if not reading.words or chances[NEUTRAL] >= model.neutral_below:
        return []
    ranked = sorted(STRATEGIES, key=lambda strategy: -chances[strategy.name])
    least = SECOND_SHARE * chances[ranked[0].name]
    return [
        Pattern(strategy.name, chances[strategy.name], strategy.evidence(reading, found))
        for strategy in ranked
        if chances[strategy.name] >= least
    ]


def detect_by_rules(message: str) -> list[str]:
    """O padrão pelas pistas sozinhas: o de maior peso, se nenhuma pista contrária apareceu.

    É a referência simples ao lado da qual se mede ``detect`` (``benchmarks/proactivity.py``).
    """
    reading = read_message(message)
    found = phrase_index().find(reading)
    if any(match.name.startswith(f"{AGAINST_PREFIX}.") for match in found):
        return []
    weights = {strategy.name: strategy.weight(found) for strategy in STRATEGIES}
    ranked = sorted(weights, key=lambda name: -weights[name])
    return [name for name in ranked if weights[name] >= RULE_MINIMUM]


def detect_by_reference(message: str) -> list[str]:
    """O padrão pelas expressões da referência, procuradas ao pé da letra; a mais "
    "simples de todas."""
    text = message.casefold()
    return [name for name, phrases in REFERENCE_PHRASES.items() if any(p in text for p in phrases)]
