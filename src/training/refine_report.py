"""O relatório de um refinamento: o que se decidiu, o que se aprendeu e a prova, numa página só.

Ao lado da página fica o mesmo resultado em JSON (schema 1), para programas. Quase tudo nele pode
faltar ou ser ``None``: com poucas avaliações não há prova, e a página só fica menor.

Uma medida com intervalo ("Estimate") é ``{"value": 0.6, "low": 0.5, "high": 0.7}``; as pontas podem
ser ``None``.
"""

from pathlib import Path
from typing import Any

from src.evaluation.display import date_text
from src.evaluation.pages import render
from src.training.refine_figures import gate_view, percent_interval, read_estimate
from src.training.report import TEMPLATES, duration
from src.training.run_log import number
from src.utils import atomic_io
from src.utils.numbers import counted, decimal, grouped

SHOWN_EXAMPLES, OPEN_USED, SHOWN_USED = 20, 6, 100
MAX_TEXT = 1200  # letras de uma pergunta ou de uma resposta
LIKED, DISLIKED, EVEN = "prefere", "evita", "tanto faz"
KINDS = {"paired": "corrigida", "desirable": "agradou", "undesirable": "não agradou"}
NOUNS = {
    "paired": ("correção", "correções"),
    "desirable": ("resposta que agradou", "respostas que agradaram"),
    "undesirable": ("resposta que não agradou", "respostas que não agradaram"),
}

Result = dict[str, Any]


def write_refine_report(folder: Path, result: Result) -> tuple[Path, Path]:
    """Grava a página e o JSON de um refinamento em ``folder``.

    Args:
        result: o resultado (schema 1); ``id`` dá nome aos dois arquivos.

    Returns:
        ``(folder/<id>.html, folder/<id>.json)``.

    Erros:
        StorageError: o disco recusou; o que já estava lá continua.
    """
    html, data = folder / f"{result['id']}.html", folder / f"{result['id']}.json"
    page = refine_page(result)
    atomic_io.write_json(data, result)
    atomic_io.write_text(html, page)
    return html, data


def refine_page(result: Result) -> str:
    """O HTML do refinamento ``result`` (schema 1); o que falta não aparece."""
    gate = gate_view(_section(result, "gate"))
    examples, used = _items(result, "examples"), _items(_section(result, "feedback"), "used")
    return render(
        "refine.html.j2",
        [TEMPLATES],
        title=f"Refinamento de {result.get('model') or 'um modelo'}",
        id=str(result.get("id") or ""),
        when=date_text(str(result.get("created") or "")),
        took=_seconds(result.get("seconds")),
        verdict=_verdict(result, gate is not None),
        reason=str(result.get("reason") or ""),
        advice=_texts(result, "advice"),
        cards=[*_feedback_cards(result), *(gate.cards if gate else [])],
        learned=_learned(_section(result, "learned")),
        gate=gate,
        examples=[_example(item) for item in examples[:SHOWN_EXAMPLES]],
        total_examples=len(examples),
        feedback=_feedback_sentence(_section(result, "feedback")),
        notes=_texts(_section(result, "feedback"), "notes"),
        used=[_used(item) for item in used[:SHOWN_USED]],
        total_used=len(used),
        open_used=OPEN_USED,
        details=_details(result),
    )


# ---------------------------------------------------------------------- ler o resultado


def _section(values: Result, name: str) -> Result:
    """``values[name]``, se é um objeto; senão um vazio."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _items(values: Result, name: str) -> list[Result]:
    return [item for item in values.get(name) or [] if isinstance(item, dict)]


def _texts(values: Result, name: str) -> list[str]:
    return [str(item) for item in values.get(name) or []]


def _shown(value: Any, empty: str = "(vazia)") -> str:
    """O texto, abreviado se for longo demais para a página."""
    text = str(value or "").strip() or empty
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _seconds(value: Any) -> str:
    """``0,4 s``, ``45 s``, ``6 min 12 s``; vazio, se não se sabe."""
    found = number(value)
    if found is None:
        return ""
    return duration(found) if found >= 10 else f"{decimal(found, 1)} s"


# ---------------------------------------------------------------------- o que se decidiu


def _verdict(result: Result, tried: bool) -> tuple[str, str]:
    """(classe da caixa, o que se decidiu). tried: chegou-se a mudar o modelo."""
    version, parent = result.get("version"), result.get("parent")
    if result.get("dry_run"):
        return "info", "Foi um ensaio: nada foi gravado."
    if result.get("kept"):
        now = f": quem responde agora é a versão {version}" if version else ""
        before = f", e a {parent} continua guardada" if version and parent else ""
        return "good", f"O que as avaliações ensinaram ficou{now}{before}."
    if tried:
        return "warning", "A mudança não passou na prova e foi desfeita."
    return "info", "Desta vez não houve o que aprender."


def _feedback_cards(result: Result) -> list[tuple[str, str]]:
    """(valor, o que é) do que se leu."""
    ratings = number(_section(result, "feedback").get("ratings"))
    if ratings is None:
        return []
    return [(grouped(ratings), "avaliação lida" if ratings == 1 else "avaliações lidas")]


# ---------------------------------------------------------------------- o que se aprendeu


def _learned(learned: Result) -> Result:
    """As características do gosto, da mais forte à mais fraca, e o quanto se acertou."""
    found = [
        (str(line.get("text") or ""), number(line.get("weight")))
        for line in _items(learned, "lines")
    ]
    lines = sorted(
        ((t, w) for t, w in found if t and w is not None), key=lambda line: -abs(line[1])
    )
    largest = max((abs(weight) for _, weight in lines), default=0.0) or 1.0
    return {
        "lines": [_line(text, weight, largest) for text, weight in lines],
        "accuracy": _accuracy_sentence(learned),
    }


def _line(text: str, weight: float, largest: float) -> Result:
    """Uma barra: ``left`` e ``width`` em % do trilho, cujo meio é o zero."""
    width = 50 * abs(weight) / largest
    side = LIKED if weight > 0 else DISLIKED if weight < 0 else EVEN
    return {
        "text": text,
        "side": side,
        "kind": "up" if weight > 0 else "down",
        "left": round(50 if weight > 0 else 50 - width, 1),
        "width": round(width, 1),
        "weight": f"{'+' if weight > 0 else ''}{decimal(weight, 2)}",
    }


def _accuracy_sentence(learned: Result) -> str:
    found = read_estimate(learned.get("accuracy"))
    if found is None:
        return ""
    text = (
        "Conferido em avaliações que ele ainda não tinha visto, este retrato acertou qual resposta "
        f"a pessoa preferia em {percent_interval(found)} das vezes; no cara ou coroa seriam "
        "50\u00a0%."
    )
    if found.low is not None and found.low <= 0.5:
        text += " A faixa inclui os 50\u00a0%: ainda pode ser sorte; mais avaliações dirão."
    return text


# ---------------------------------------------------------------------- exemplos e avaliações


def _example(item: Result) -> Result:
    before, after = _shown(item.get("before")), _shown(item.get("after"))
    return {
        "prompt": _shown(item.get("prompt")),
        "persona": str(item.get("persona") or ""),
        "before": before,
        "after": after,
        "same": before == after,
    }


def _used(item: Result) -> Result:
    """Uma avaliação usada; ``response`` e ``correction`` ficam vazias se não houve."""
    weight = number(item.get("weight"))
    kind = str(item.get("kind") or "")
    return {
        "prompt": _shown(item.get("prompt")),
        "persona": str(item.get("persona") or ""),
        "kind": kind if kind in KINDS else "",
        "label": KINDS.get(kind, ""),
        "response": _shown(item.get("response"), ""),
        "correction": _shown(item.get("correction"), ""),
        "weight": "" if weight is None else decimal(weight, 2),
    }


def _feedback_sentence(feedback: Result) -> str:
    """``De 40 avaliações, o que se usou: 12 correções e 20 respostas que agradaram.``"""
    counts = [number(feedback.get(name)) for name in ("ratings", *KINDS)]
    ratings, *found = (0 if count is None else int(count) for count in counts)
    if counts[0] is None:
        return ""
    if not ratings:
        return "Não havia avaliações novas."
    parts = [counted(count, *NOUNS[kind]) for kind, count in zip(KINDS, found) if count]
    start = counted(ratings, "avaliação", "avaliações")
    if not parts:
        return f"De {start} não saiu nada que se pudesse usar."
    listed = " e ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return f"De {start}, o que se usou: {listed}."


# ---------------------------------------------------------------------- ajustes e tempos


def _details(result: Result) -> list[tuple[str, list[tuple[str, str]]]]:
    """(título, linhas) das tabelas do fim da página; só as que têm linhas."""
    settings = [(str(k), _setting(v)) for k, v in _section(result, "settings").items()]
    timings = [(str(k), _seconds(v) or "-") for k, v in _section(result, "timings").items()]
    return [pair for pair in (("Ajustes", settings), ("Tempos", timings)) if pair[1]]


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "sim" if value else "não"
    if isinstance(value, int):
        return grouped(value) if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}".replace(".", ",")
    return "-" if value is None else _shown(value, "-")
