"""Quanto as respostas de uma persona soam diferentes das de outra, e o que disso passa do acaso.

Todas as personas respondem às mesmas perguntas, e a pergunta é a unidade: os intervalos sorteiam
perguntas, e nos testes de permutação são as respostas de cada pergunta que trocam de dono. Assim o
assunto, que é o mesmo dos dois lados, não conta como estilo.

Glossário (letra, significado, forma):
    k  personas     n  perguntas     V  palavras diferentes     R  permutações
    c  contagens de palavras de cada resposta [k, n, V]

- Marcas (tratamento, expressões): a parte das respostas em que há uma, como palavras inteiras e sem
  diferença de maiúsculas.
- Vocabulário: divergência de Jensen-Shannon, em bits (Lin, 1991): 0 quando as palavras têm as
  mesmas frequências, 1 quando não há palavra em comum. Com poucas palavras nunca é zero; por isso
  vem ao lado da média das permutações.
- Identificação: um Bayes ingênuo (Maron, 1961; suavização de Laplace) diz de quem é cada resposta,
  contadas só as das outras perguntas.
- Os p são corrigidos por Holm (1979): a chance de um só achado falso entre todos é de 5 %.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from src.config.personas import Persona
from src.evaluation import intervals
from src.evaluation.intervals import Estimate
from src.evaluation.text_metrics import words

PERMUTATIONS = 1999
SIGNIFICANCE = 0.05
LOOP_TIMES = 3
Answers = Mapping[str, Sequence[str]]  # persona -> as respostas, na ordem das perguntas
_SENTENCE_END = re.compile(r"[.!?…]+(?!\d)|\n+")

#: Nome da medida -> como se lê. As marcas são as de ``Style``, na mesma ordem.
MARKS = {
    "address": "tratamento",
    "typical": "expressões típicas",
    "avoided": "expressões evitadas",
}
SHAPES: dict[str, str] = {
    "sentence_words": "palavras por frase",
    "words": "palavras por resposta",
    "exclamations": "exclamações",
}
VOCABULARY = "vocabulário"


# ---------------------------------------------------------------------- uma resposta


def contains(text: str, expressions: Sequence[str]) -> bool:
    """Se aparece em ``text`` uma das expressões, como palavras inteiras."""
    if not expressions:
        return False
    either = "|".join(map(re.escape, expressions))
    return re.search(rf"(?<!\w)(?:{either})(?!\w)", text, re.IGNORECASE) is not None


def sentence_words(text: str) -> float:
    """Palavras por frase, em média; 0 se não há nenhuma."""
    found = [len(words(sentence)) for sentence in _SENTENCE_END.split(text)]
    spoken = [count for count in found if count]
    return float(np.mean(spoken)) if spoken else 0.0


def in_loop(text: str, times: int = LOOP_TIMES) -> bool:
    """Se uma sequência de uma ou mais palavras se repete ``times`` vezes seguidas."""
    found = words(text)
    for size in range(1, len(found) // times + 1):
        run = 0  # palavras seguidas iguais às de ``size`` antes
        for mine, earlier in zip(found[size:], found):
            run = run + 1 if mine == earlier else 0
            if run >= size * (times - 1):
                return True
    return False


_SHAPE_OF: dict[str, Callable[[str], float]] = {
    "sentence_words": sentence_words,
    "words": lambda text: float(len(words(text))),
    "exclamations": lambda text: float(text.count("!")),
}


# ---------------------------------------------------------------------- uma persona e as outras


@dataclass(frozen=True)
class Comparison:
    """Uma medida nas respostas de uma persona e nas das outras.

    Atributos:
        measure: o nome dela. own, others: os valores. difference: ``own - others``, pergunta a
            pergunta. p: de uma diferença deste tamanho, se as respostas fossem de qualquer uma.
    """

    measure: str
    persona: str
    own: Estimate
    others: Estimate
    difference: Estimate
    p: float


def compare(
    values: np.ndarray, own: int, permutations: int = PERMUTATIONS
) -> tuple[Estimate, float]:
    """A diferença entre a persona ``own`` e a média das outras, e o p bilateral dela.

    Args:
        values: a medida em cada resposta [k, n].
    """
    total, others = values.sum(axis=0), len(values) - 1

    def gap(mine: np.ndarray) -> np.ndarray:
        return mine - (total - mine) / others

    observed = gap(values[own])
    count = len(observed)
    owners = np.random.default_rng(0).integers(0, len(values), (permutations, count))
    permuted = gap(values[owners, np.arange(count)]).mean(axis=1)  # [R]
    return intervals.mean(observed), _p_value(np.abs(permuted), abs(observed.mean()))


def _p_value(permuted: np.ndarray, observed: float) -> float:
    """A parte dos sorteios, com o próprio valor entre eles, que chega a ``observed``."""
    return float((1 + np.sum(permuted >= observed - 1e-12)) / (1 + len(permuted)))


def compare_personas(
    answers: Answers, personas: Mapping[str, Persona], permutations: int = PERMUTATIONS
) -> list[Comparison]:
    """Todas as medidas, persona a persona; as marcas que uma persona não tem ficam de fora."""
    found = []
    for own, (name, mine) in enumerate(answers.items()):
        for measure in (*MARKS, *SHAPES):
            marks = getattr(personas[name].style, measure) if measure in MARKS else ()
            if measure in MARKS and not marks:
                continue
            values = np.array([[_measured(measure, a, marks) for a in g] for g in answers.values()])
            typical = intervals.proportion if measure in MARKS else intervals.mean
            rest = np.delete(values, own, axis=0).ravel()
            difference, p = compare(values, own, permutations)
            found.append(
                Comparison(measure, name, typical(values[own]), typical(rest), difference, p)
            )
    return found


def _measured(measure: str, answer: str, marks: Sequence[str]) -> float:
    if measure in MARKS:
        return float(contains(answer, marks))
    return _SHAPE_OF[measure](answer)


# ---------------------------------------------------------------------- vocabulário


@dataclass(frozen=True)
class Divergence:
    """Quanto diferem as palavras de duas personas: bits, a média do acaso e o p."""

    first: str
    second: str
    bits: float
    chance: float
    p: float


def word_counts(answers: Answers) -> np.ndarray:
    """Quantas vezes cada palavra está em cada resposta: [k, n, V]."""
    told = [[words(answer) for answer in group] for group in answers.values()]
    place = {word: i for i, word in enumerate(sorted({w for g in told for a in g for w in a}))}
    counts = np.zeros((len(told), len(told[0]), max(len(place), 1)), dtype=np.float32)
    for i, group in enumerate(told):
        for j, answer in enumerate(group):
            for word in answer:
                counts[i, j, place[word]] += 1
    return counts


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A divergência, em bits, entre as frequências de contagens [..., V]: [...], de 0 a 1.

    Sem palavra alguma de um dos lados não há o que comparar: 0.
    """
    from scipy.special import entr

    p, q = (c / np.maximum(c.sum(axis=-1, keepdims=True), 1) for c in (first, second))
    nats = entr((p + q) / 2).sum(axis=-1) - (entr(p).sum(axis=-1) + entr(q).sum(axis=-1)) / 2
    both = (p.sum(axis=-1) > 0) & (q.sum(axis=-1) > 0)
    return np.where(both, np.maximum(nats / np.log(2), 0.0), 0.0)


def divergence(
    first: np.ndarray, second: np.ndarray, permutations: int = PERMUTATIONS
) -> tuple[float, float, float]:
    """(bits, média das permutações, p) entre duas personas de contagens [n, V].

    Numa permutação, as duas respostas de cada pergunta trocam ou não de lado.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    swapped = np.random.default_rng(0).integers(0, 2, (permutations, len(first)))  # [R, n]
    left = first.sum(axis=0) + swapped @ (second - first)  # [R, V]
    right = (first + second).sum(axis=0) - left
    observed = float(jensen_shannon(first.sum(axis=0), second.sum(axis=0)))
    permuted = jensen_shannon(left, right)
    return observed, float(permuted.mean()), _p_value(permuted, observed)


def divergences(answers: Answers, permutations: int = PERMUTATIONS) -> list[Divergence]:
    """O vocabulário de cada par de personas."""
    names, counts = list(answers), word_counts(answers)
    return [
        Divergence(names[i], names[j], *divergence(counts[i], counts[j], permutations))
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]


def identification(answers: Answers) -> dict[str, Any]:
    """Quanto um Bayes ingênuo acerta de quem é cada resposta, sem ver as da mesma pergunta.

    Returns:
        ``accuracy`` (``Estimate``), ``chance`` e ``confusion`` [k, k]: de quem é, a quem se
        atribui. Um empate entre m personas vale 1/m para cada.
    """
    counts = word_counts(answers).astype(np.float64)
    kinds, questions, size = counts.shape
    given = np.zeros((kinds, questions, kinds))
    for i in range(questions):
        rest = counts.sum(axis=1) - counts[:, i] + 1.0  # [k, V]
        scores = counts[:, i] @ np.log(rest / rest.sum(axis=1, keepdims=True)).T  # [k, k]
        best = scores >= scores.max(axis=1, keepdims=True) - 1e-9
        given[:, i] = best / best.sum(axis=1, keepdims=True)
    right = np.einsum("kik->i", given) / kinds  # [n]
    return {
        "accuracy": intervals.mean(right),
        "chance": 1 / kinds,
        "confusion": given.sum(axis=1).tolist(),
    }


# ---------------------------------------------------------------------- o veredito


def holm(p_values: Sequence[float]) -> list[float]:
    """Os p corrigidos por Holm, na mesma ordem."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


@dataclass(frozen=True)
class StyleReport:
    """Tudo o que se mediu das respostas; os p já são os corrigidos."""

    questions: int
    comparisons: list[Comparison]
    vocabulary: list[Divergence]
    identification: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Como dicionário, pronto para JSON."""
        told = {"accuracy": self.identification["accuracy"].to_dict()}
        return asdict(self) | {"identification": self.identification | told}

    def differing(self) -> dict[str, list[str]]:
        """Medida -> quem difere nela mais do que o acaso, e para que lado."""
        found: dict[str, list[str]] = {}
        for item in self.comparisons:
            if item.p < SIGNIFICANCE:
                side = "mais" if item.difference.value > 0 else "menos"
                found.setdefault(_title(item.measure), []).append(f"{item.persona} {side}")
        for pair in self.vocabulary:
            if pair.p < SIGNIFICANCE:
                found.setdefault(VOCABULARY, []).append(f"{pair.first}/{pair.second}")
        return found

    def against_style(self) -> list[str]:
        """As marcas que diferem para o lado errado: a persona usa o que evita, ou menos do seu."""
        return [
            f"{item.persona}: {_title(item.measure)}"
            for item in self.comparisons
            if item.measure in MARKS
            and item.p < SIGNIFICANCE
            and (item.difference.value > 0) == (item.measure == "avoided")
        ]


def _title(measure: str) -> str:
    return MARKS.get(measure) or SHAPES[measure]


def style_report(
    answers: Answers, personas: Mapping[str, Persona], permutations: int = PERMUTATIONS
) -> StyleReport:
    """Mede as respostas que as personas deram às mesmas perguntas, na mesma ordem.

    Erros:
        ValueError: menos de duas personas, ou números diferentes de respostas.
    """
    sizes = {name: len(group) for name, group in answers.items()}
    if len(sizes) < 2 or len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ValueError(f"respostas por persona: {sizes}; esperadas tantas em uma quanto em outra")
    compared = compare_personas(answers, personas, permutations)
    pairs = divergences(answers, permutations)
    corrected = holm([item.p for item in compared] + [item.p for item in pairs])
    return StyleReport(
        next(iter(sizes.values())),
        [Comparison(**vars(item) | {"p": p}) for item, p in zip(compared, corrected)],
        [Divergence(**vars(item) | {"p": p}) for item, p in zip(pairs, corrected[len(compared) :])],
        identification(answers),
    )


def verdict(report: StyleReport) -> str:
    """Em que as personas diferem, numa linha; só conta o que passa do acaso."""
    found = report.differing()
    every = [*MARKS.values(), *SHAPES.values(), VOCABULARY]
    same = [title for title in every if title not in found]
    if not found:
        return "as personas não diferem em nada que passe do acaso"
    told = "; ".join(f"{title} ({', '.join(found[title])})" for title in every if title in found)
    number = {2: "duas", 3: "três"}.get(len(report.identification["confusion"]), "")
    line = f"as {number} personas diferem em: {told}".replace("  ", " ")
    return line + (f"; não se distinguem em: {', '.join(same)}" if same else "")
