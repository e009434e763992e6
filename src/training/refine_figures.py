"""A prova de um refinamento, contada a quem não é da estatística: frases, tabela e gráficos."""

from dataclasses import dataclass, field
from typing import Any

from src.evaluation import plots
from src.evaluation.intervals import Estimate
from src.training.run_log import number
from src.utils.numbers import counted, decimal, grouped

PREFERENCE, CORRECTIONS, TEXT = "a preferida", "a correção", "texto comum"
CHART_WIDTH = 4.6  # polegadas: dois cabem lado a lado, e um no celular
SAME = 0.0005  # uma mudança menor que esta, no texto comum, não se distingue de nenhuma


@dataclass
class GateView:
    """O que a página mostra da prova.

    cards: (valor, o que é). sentences: o que se mediu, em frases. rows: medida, antes, depois e
    mudança. charts: ``shares`` e ``text``, SVG, os que houver.
    """

    cards: list[tuple[str, str]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    charts: dict[str, str] = field(default_factory=dict)


def gate_view(gate: dict[str, Any]) -> GateView | None:
    """A prova ``gate`` de um resultado; ``None`` se não se chegou a mudar o modelo.

    Uma mudança é sempre medida no texto comum: sem ele, não houve mudança que provar.
    """
    if not gate.get("text"):
        return None
    view = GateView()
    shares: dict[str, tuple[Estimate, Estimate]] = {}
    _add_preference(view, gate.get("preference") or {}, shares)
    _add_corrections(view, gate.get("corrections") or {}, shares)
    if shares:
        view.charts["shares"] = _shares_chart(shares)
    _add_text(view, gate.get("text") or {})
    if sentence := _scale_sentence(number(gate.get("scale"))):
        view.sentences.append(sentence)
    return view


# ---------------------------------------------------------------------- números


def read_estimate(value: Any, scale: float = 1) -> Estimate | None:
    """Um ``Estimate`` gravado, vezes ``scale``; ``None`` se não há um número nele."""
    if not isinstance(value, dict) or (middle := number(value.get("value"))) is None:
        return None
    low, high = number(value.get("low")), number(value.get("high"))
    if low is None or high is None:
        return Estimate(middle * scale)
    return Estimate(middle * scale, low * scale, high * scale)


def percent_interval(found: Estimate) -> str:
    """``62 % (de 55 % a 70 %)``, de uma fração; só o valor, se não há o que variar."""
    if found.low is None or found.high is None or found.low == found.high:
        return _percent(found.value)
    return f"{_percent(found.value)} (de {_percent(found.low)} a {_percent(found.high)})"


def _percent(fraction: float, places: int = 0) -> str:
    return f"{_rounded(100 * fraction, places)}\u00a0%"


def _rounded(value: float, places: int) -> str:
    """Com vírgula, e sem ``-0``."""
    return decimal(round(value, places) + 0.0, places)


def _signed(value: float, places: int = 0) -> str:
    text = _rounded(value, places)
    return text if text.startswith("-") or not round(value, places) else f"+{text}"


def _signed_interval(found: Estimate, places: int = 0, unit: str = "") -> str:
    """``+16 pontos (de +7 a +25)``."""
    text = _signed(found.value, places) + unit
    if found.low is None or found.high is None:
        return text
    return f"{text} (de {_signed(found.low, places)} a {_signed(found.high, places)})"


# ---------------------------------------------------------------------- as avaliações


def _add_preference(
    view: GateView, values: dict[str, Any], shares: dict[str, tuple[Estimate, Estimate]]
) -> None:
    before, after = read_estimate(values.get("before")), read_estimate(values.get("after"))
    if before is None or after is None:
        return
    shares[PREFERENCE] = (before, after)
    chance = _percent(before.value)
    view.cards.append(
        (_percent(after.value), f"de acerto no que a pessoa prefere (acaso: {chance})")
    )
    view.sentences += [_preference_sentence(before, after, values), _reading(before, after)]
    gain = read_estimate(values.get("difference"), 100)
    row = ("acerto no que a pessoa prefere\u00a0↑", percent_interval(before))
    change = "-" if gain is None else _signed_interval(gain, unit=" pontos")
    view.rows.append((*row, percent_interval(after), change))
    if margin := read_estimate(values.get("margin")):
        label = "vantagem ganha pela preferida, em nats\u00a0↑ (0,7 dobra a chance dela)"
        view.rows.append((label, "", "", _signed_interval(margin, 1)))


def _preference_sentence(before: Estimate, after: Estimate, values: dict[str, Any]) -> str:
    items, folds = number(values.get("items")), number(values.get("folds"))
    where = f"Em {counted(int(items), 'avaliação', 'avaliações')}" if items else "Em avaliações"
    text = (
        f"{where} que o modelo não viu ao aprender, a resposta de que a pessoa mais gostou ganhou "
        f"mais chance que a de que menos gostou em {_percent(after.value)} das vezes; ao acaso, "
        f"como num cara ou coroa, seriam {_percent(before.value)}."
    )
    if folds and folds > 1:
        text += (
            f" Para isso elas foram divididas em {grouped(folds)} partes, e o aprendizado foi "
            "repetido sem cada uma, que serviu de prova."
        )
    return text


def _reading(before: Estimate, after: Estimate) -> str:
    """O que o intervalo do acerto permite dizer, diante do que se pedia."""
    chance = _percent(before.value)
    if after.low is None or after.high is None:
        return "Não havia com que calcular uma faixa, e por isso não se sabe se foi sorte."
    text = f"A faixa vai de {_percent(after.low)} a {_percent(after.high)}"
    if after.low > before.value:
        return f"{text}, toda acima de {chance}, como se pedia: dificilmente é sorte."
    if after.high < before.value:
        return f"{text}, toda abaixo de {chance}: piorou."
    return f"{text}. Pedia-se que ficasse toda acima de {chance}; assim, pode ter sido sorte."


def _add_corrections(
    view: GateView, values: dict[str, Any], shares: dict[str, tuple[Estimate, Estimate]]
) -> None:
    before, after = read_estimate(values.get("before")), read_estimate(values.get("after"))
    if before is None or after is None:
        return
    shares[CORRECTIONS] = (before, after)
    items = number(values.get("items"))
    where = f"Em {counted(int(items), 'correção', 'correções')}" if items else "Em correções"
    view.sentences.append(
        f"{where} que ele também não viu, o modelo achava a correção mais provável que a resposta "
        f"original em {_percent(before.value)} das vezes; depois, em {_percent(after.value)}."
    )
    change = f"{_signed(100 * (after.value - before.value))} pontos"
    row = ("acha a correção mais provável que a resposta original\u00a0↑", percent_interval(before))
    view.rows.append((*row, percent_interval(after), change))


def _shares_chart(shares: dict[str, tuple[Estimate, Estimate]]) -> str:
    groups = {
        moment: {name: _times(pair[place], 100) for name, pair in shares.items()}
        for place, moment in enumerate(("antes", "depois"))
    }
    return plots.bars(groups, "% das vezes (mais é melhor)", width=CHART_WIDTH)


def _times(found: Estimate, scale: float) -> Estimate:
    """Vezes ``scale``; um intervalo de largura zero não se desenha."""
    if found.low is None or found.high is None or found.low == found.high:
        return Estimate(found.value * scale)
    return Estimate(found.value * scale, found.low * scale, found.high * scale)


# ---------------------------------------------------------------------- o texto comum


def _add_text(view: GateView, values: dict[str, Any]) -> None:
    change, limit = read_estimate(values.get("change")), number(values.get("limit"))
    if change is None:
        return
    until = "" if limit is None else f" (o limite: {_percent(limit, 1)} pior)"
    view.cards.append((_worse(change.value), f"no texto comum{until}"))
    view.sentences.append(_text_sentence(change, limit, values))
    ends = [number(values.get(name)) for name in ("before", "after")]
    before, after = ("-" if end is None else decimal(end) for end in ends)
    percents = _signed_interval(_times(change, 100), 1, "\u00a0%")
    view.rows.append(
        (
            "o que falta para adivinhar o texto comum, em bits por byte\u00a0↓",
            before,
            after,
            percents,
        )
    )
    view.charts["text"] = plots.bars(
        {"": {TEXT: _times(change, 100)}},
        "% de mudança (acima do zero, pior)",
        None if limit is None else 100 * limit,
        CHART_WIDTH,
    )


def _worse(change: float) -> str:
    if abs(change) < SAME:
        return "igual"
    return f"{_percent(abs(change), 1)} {'pior' if change > 0 else 'melhor'}"


def _text_sentence(change: Estimate, limit: float | None, values: dict[str, Any]) -> str:
    size, source = number(values.get("bytes")), values.get("source")
    read = f"{grouped(size)} bytes de " if size else ""
    band = ""
    if change.low is not None and change.high is not None:
        ends = (_signed(100 * end, 1) for end in (change.low, change.high))
        band = f" (faixa de {' a '.join(ends)}\u00a0%)"
    text = (
        f"Para ver se não desaprendeu o português, mediu-se também como o modelo prevê {read}texto "
        f"comum: ficou {_worse(change.value)}{band}."
    )
    if source:
        text += f" O texto veio de {source}."
    if limit is None:
        return text
    text += f" O limite era piorar {_percent(limit, 1)}; "
    if change.value > limit:
        return f"{text}passou dele."
    if change.high is not None and change.high > limit:
        return f"{text}ficou dentro dele, embora a faixa o ultrapasse."
    return f"{text}ficou dentro dele."


def _scale_sentence(scale: float | None) -> str:
    if scale is None:
        return ""
    if scale >= 1:
        return "A mudança aprendida foi aplicada inteira."
    if scale <= 0:
        return "Nada da mudança aprendida foi aplicado."
    return (
        f"Da mudança aprendida aplicou-se {_percent(scale)}, a maior parte que o texto comum "
        "aguentava."
    )
