"""Os comandos que avaliam a última resposta: nota, aspectos, NPS, correção, e desfazer.

Nenhum é preciso para conversar. O que se diz de uma resposta vai para o arquivo das avaliações
(``config.feedback.path``), de onde ``refine`` aprende.
"""

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from src.chat.line_reader import BLOCK, whole_message
from src.chat.ratings import RATED_FIELDS, Record, find_exchange
from src.chat.terminal_text import clean_text, one_line
from src.config.options import quoted
from src.config.text import without_accents
from src.utils.errors import UsageError
from src.utils.logging_utils import is_interactive

if TYPE_CHECKING:
    from src.chat.terminal import TerminalChat

#: O campo gravado e como se escreve.
ASPECTS = {"precisao": "precisão", "relevancia": "relevância", "tom": "tom"}
RATINGS, NPS = range(1, 6), range(0, 11)
GOOD_RATING = 4  # desta em diante, não se pergunta pela resposta boa
SHOWN_COLUMNS = 40  # de uma pergunta, ao dizer a que resposta a avaliação desfeita pertencia
ASPECTS_EXAMPLE = "/avaliar precisão=4 relevância=5 tom=2"
UNDO_HINT = "/desfazer desfaz."


# --- Os comandos ---------------------------------------------------------------------------------


def rate(session: "TerminalChat", argument: str) -> None:
    """Dá uma nota à última resposta."""
    if not argument:
        raise UsageError("Diga a nota: /nota 4 (de 1, ruim, a 5, ótima).")
    exchange = rated_exchange(session)
    rating = parsed_number("/nota", argument, RATINGS)
    before = session.ratings.give(session.session_id, exchange, rating=rating)
    earlier = (before or {}).get("rating")
    change = f" no lugar da {earlier}" if earlier not in (None, rating) else ""
    hint = f"{'Que bom! ' if rating >= GOOD_RATING else ''}{UNDO_HINT}"
    if rating < GOOD_RATING and "correction" not in (before or {}):
        hint = "/corrigir diz qual seria a resposta boa; " + UNDO_HINT
    confirm(session, f"nota {rating}{change}. {hint}")


def rate_aspects(session: "TerminalChat", argument: str) -> None:
    """Dá notas à precisão, à relevância e ao tom da última resposta."""
    exchange = rated_exchange(session)
    aspects = parsed_aspects(argument) if argument else asked_aspects(session)
    if not aspects:
        session.tell("Nada anotado.")
        return
    session.ratings.give(session.session_id, exchange, aspects=aspects)
    confirm(session, f"{described({'aspects': aspects})}. Obrigada! {UNDO_HINT}")


def rate_experience(session: "TerminalChat", argument: str) -> None:
    """Diz quanto se recomendaria a Luna; não precisa haver resposta."""
    if not argument:
        raise UsageError(
            "De 0 a 10, quanto você recomendaria esta Luna a alguém? Diga assim: /nps 9."
        )
    nps = parsed_number("/nps", argument, NPS)
    exchange = last_exchange(session) or ("", "")
    session.ratings.give(session.session_id, exchange, nps=nps)
    confirm(session, f"NPS {nps}, de 0 a 10. Obrigada! {UNDO_HINT}")


def correct(session: "TerminalChat", argument: str) -> None:
    """Diz qual seria a resposta boa; sem argumento, pergunta."""
    exchange = rated_exchange(session)
    text = clean_text(typed_correction(session, argument)).strip()
    if not text:
        session.tell("Nada anotado.")
        return
    if text == exchange[1].strip():
        raise UsageError("A correção é igual à resposta. Se ela já está boa: /nota 5.")
    session.ratings.give(session.session_id, exchange, correction=text)
    confirm(session, f"esta é a resposta boa, e vale daqui em diante. {UNDO_HINT}")


def undo(session: "TerminalChat", argument: str) -> None:
    """Desfaz a última avaliação dada nesta conversa; de novo, a de antes dela."""
    removed, back = session.ratings.undo(session.session_id)
    current = last_exchange(session) or ("", "")
    place = ""
    if removed["prompt"] and (removed["prompt"], removed["response"]) != current:
        place = f", da resposta a '{one_line(removed['prompt'], SHOWN_COLUMNS)}'"
    stays = f" Continua valendo: {described(back)}." if back else ""
    session.tell(f"Desfeito: {described(said_only_in(removed, back or {}))}{place}.{stays}")


def confirm(session: "TerminalChat", text: str) -> None:
    """Diz o que se anotou e, uma vez por conversa, que já dá para refinar o modelo."""
    session.tell(f"Anotado: {text}")
    invitation = session.ratings.invitation()
    if invitation is not None:
        session.tell(invitation)


# --- O que se avalia -----------------------------------------------------------------------------


def last_exchange(session: "TerminalChat") -> tuple[str, str] | None:
    """A última pergunta respondida e a resposta; ``None`` se não há."""
    history = session.chat.history
    place = find_exchange(history)
    return None if place is None else (history[place]["content"], history[place + 1]["content"])


def rated_exchange(session: "TerminalChat") -> tuple[str, str]:
    """A pergunta e a resposta que se avaliam.

    Erros:
        UsageError: ainda não há resposta, ou a última mensagem ficou sem ela.
    """
    if session.unanswered is not None:
        raise UsageError("A última mensagem ficou sem resposta: /refazer responde.")
    exchange = last_exchange(session)
    if exchange is None:
        raise UsageError("Ainda não há resposta para avaliar nesta conversa.")
    return exchange


def described(record: Record) -> str:
    """O que uma avaliação diz, em palavras: ``nota 2, precisão 4, correção``."""
    parts = [f"nota {record['rating']}"] if record.get("rating") is not None else []
    aspects = record.get("aspects", {})
    parts += [f"{ASPECTS[name]} {aspects[name]}" for name in ASPECTS if name in aspects]
    parts += [f"NPS {record['nps']}"] if "nps" in record else []
    parts += ["correção"] if "correction" in record else []
    return ", ".join(parts)


def said_only_in(record: Record, other: Record) -> Record:
    """Da avaliação, o que ``other`` não diz igual."""
    changed = {name: record[name] for name in RATED_FIELDS if name in record}
    changed = {name: value for name, value in changed.items() if value != other.get(name)}
    if "aspects" in changed:
        former = other.get("aspects", {})
        changed["aspects"] = {
            name: value for name, value in record["aspects"].items() if value != former.get(name)
        }
    return changed


# --- O que se digita -----------------------------------------------------------------------------


def parsed_number(what: str, text: str, allowed: range) -> int:
    """O número de ``text``.

    Erros:
        UsageError: não é um inteiro, ou está fora de ``allowed``.
    """
    limits = f"um número inteiro de {allowed[0]} a {allowed[-1]}"
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) not in allowed:
        raise UsageError(f"{what} {quoted(text)}: esperado {limits}.")
    return int(text)


def parsed_aspects(text: str) -> dict[str, int]:
    """As notas de ``precisao=4 r=5 tom=2`` ou de ``4 5 2``, nesta ordem.

    Erros:
        UsageError: um nome que não existe ou se repete, ou uma nota que não serve.
    """
    words = re.sub(r"\s*[=:]\s*", "=", text.replace(",", " ").replace(";", " ")).split()
    if not any("=" in word for word in words):
        if len(words) != len(ASPECTS):
            raise UsageError(
                f"/avaliar {quoted(text)}: esperadas três notas, de precisão, relevância e tom "
                f"(/avaliar 4 5 2), ou cada uma com o nome ({ASPECTS_EXAMPLE}). A nota da resposta "
                "toda é /nota."
            )
        words = [f"{name}={word}" for name, word in zip(ASPECTS, words)]
    found: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        aspect = named_aspect(name)
        if aspect in found:
            raise UsageError(f"/avaliar: {ASPECTS[aspect]} aparece duas vezes.")
        found[aspect] = parsed_number(f"/avaliar {ASPECTS[aspect]}", value, RATINGS)
    return found


def named_aspect(name: str) -> str:
    """O aspecto que se chama, ou começa por, ``name``, com ou sem acentos.

    Erros:
        UsageError: não existe.
    """
    wanted = without_accents(name)
    for aspect in ASPECTS:
        if wanted and aspect.startswith(wanted):
            return aspect
    known = ", ".join(ASPECTS.values())
    raise UsageError(f"/avaliar {quoted(name)}: não existe. Há: {known}. Assim: {ASPECTS_EXAMPLE}.")


def asked_aspects(session: "TerminalChat") -> dict[str, int]:
    """Pergunta as três notas, uma de cada vez; Enter pula.

    Erros:
        UsageError: não há a quem perguntar.
    """
    if not is_interactive(sys.stdin):
        raise UsageError(f"Diga as notas, de 1 a 5: {ASPECTS_EXAMPLE}, ou /avaliar 4 5 2.")
    session.tell("De 1 a 5; Enter pula.")
    answers = {name: asked_rating(session, label) for name, label in ASPECTS.items()}
    return {name: value for name, value in answers.items() if value is not None}


def asked_rating(session: "TerminalChat", label: str) -> int | None:
    """A nota de um aspecto; pergunta de novo enquanto a resposta não serve."""
    while answer := session.ask(f"{label}: "):
        try:
            return parsed_number(label, answer, RATINGS)
        except UsageError as error:
            session.tell(f"{error} Enter pula.", session.style.error)
    return None


def typed_correction(session: "TerminalChat", argument: str) -> str:
    """O texto da correção: o argumento, ou o que se digitar quando se pergunta por ele.

    Erros:
        UsageError: em vez da correção veio um comando.
    """
    if argument.startswith(BLOCK):
        return whole_message(session.reader, argument).removeprefix("/")
    if argument:
        return argument
    session.tell("Como seria a resposta boa? Enter desiste.")
    text = session.ask("Resposta: ")
    if text.startswith("/") and not text.startswith("//"):
        raise UsageError(
            f"Nada anotado: {quoted(text)} é um comando. Uma resposta que começa por barra se "
            "escreve com duas: //texto."
        )
    return text.removeprefix("/")


def aspect_completions(typed: str) -> Iterable[str]:
    """O argumento de ``/avaliar`` já digitado, com cada aspecto que ainda falta."""
    head, space, _ = typed.rpartition(" ")
    known = [name for name in ASPECTS if f"{name}=" not in without_accents(head)]
    return [f"{head}{space}{name}=" for name in known]
