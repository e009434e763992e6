"""Os comandos da conversa: o que começa por ``/``, com nome em português e em inglês.

Um comando é uma função ``(sessão, argumento)``. Quem acrescenta recursos ao chat acrescenta o seu
comando a ``COMMANDS``.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from src.chat import rating_commands
from src.config.config import MODES
from src.config.options import SAMPLING, check_fields, quoted
from src.config.personas import Sampling
from src.utils.errors import ConfigError, UsageError
from src.utils.numbers import counted

if TYPE_CHECKING:
    from src.chat.terminal import TerminalChat

#: O que ``/config`` mostra e muda: os campos da seção ``chat`` que valem durante a conversa.
SETTINGS = (*SAMPLING, "max_new_tokens", "min_new_tokens", "seed", "stop", "mode")
DEFAULT_WORDS = ("padrão", "padrao", "default")
ON_WORDS, OFF_WORDS = ("ligado", "liga", "sim", "on"), ("desligado", "desliga", "não", "nao", "off")
SHOWN_SESSIONS = 10


@dataclass(frozen=True)
class Command:
    """Um comando: os nomes (o primeiro é o que se mostra), o argumento e o que faz."""

    names: tuple[str, ...]
    argument: str
    help: str
    run: Callable[["TerminalChat", str], None]


class Leave(Exception):
    """A pessoa pediu para sair."""


def show_help(session: "TerminalChat", argument: str) -> None:
    """Lista os comandos, ou explica um."""
    chosen = [find(argument)] if argument else COMMANDS
    forms = [f"{command.names[0]} {command.argument}".rstrip() for command in chosen]
    width = max(map(len, forms))
    for form, command in zip(forms, chosen):
        others = f" ({', '.join(command.names[1:])})" if command.names[1:] else ""
        session.tell(f"{form:<{width}}  {command.help}{others}", indent=width + 2)
    if not argument:
        session.tell(
            'Várias linhas: comece e termine com """. Uma mensagem que começa por barra: //texto. '
            "Ctrl-C para a resposta; duas vezes, ou Ctrl-D, sai."
        )


def leave(session: "TerminalChat", argument: str) -> None:
    """Termina a conversa."""
    raise Leave


def clear(session: "TerminalChat", argument: str) -> None:
    """Recomeça a conversa."""
    session.restart()
    session.tell("Conversa recomeçada.")


def save(session: "TerminalChat", argument: str) -> None:
    """Guarda a conversa, ou a exporta para um arquivo."""
    from src.chat.sessions import export_session

    if not session.chat.history:
        raise UsageError("Ainda não há conversa para guardar.")
    if not argument:
        path = session.keep()
        session.tell(f"Guardada em {path}. Para retomar:")
        session.tell(f"python main.py {session.resume_command(path.stem)}")
        return
    if len(argument) > 1 and argument[0] == argument[-1] and argument[0] in "'\"":
        argument = argument[1:-1]
    source = session.kept_session() or session.chat.history
    path = export_session(source, argument, session.chat.persona.name)
    session.tell(f"Conversa gravada em {path}.")


def load(session: "TerminalChat", argument: str) -> None:
    """Retoma uma conversa guardada; sem argumento, lista as últimas."""
    if argument:
        session.resume(argument)
        return
    found = session.store.list()[:SHOWN_SESSIONS]
    if not found:
        session.tell("Ainda não há conversas guardadas.")
    for info in found:
        mark = "*" if info.path == session.writer.path else " "
        when = info.updated.astimezone().strftime("%d/%m %H:%M")
        turns = counted(info.turns, "troca", "trocas")
        session.tell(f"{mark} {info.id}  {when}  {info.model}  {turns}  {info.title}", indent=4)
    if found:
        session.tell("Para retomar uma: /carregar ID (ou o começo dele, ou um arquivo).")


def retry(session: "TerminalChat", argument: str) -> None:
    """Responde de novo à última mensagem."""
    session.answer_again()


def persona(session: "TerminalChat", argument: str) -> None:
    """Troca a persona, ou diz qual é e quais há."""
    chat = session.chat
    if argument:
        session.change_persona(argument)
        session.tell(f"Agora falo como '{chat.persona.name}': {chat.persona.description}.")
        return
    for name, item in sorted(chat.personas.items()):
        mark = "*" if item == chat.persona else " "
        session.tell(f"{mark} {name}: {item.description}")


def context(session: "TerminalChat", argument: str) -> None:
    """Mostra o contexto e o espaço que sobra, ou muda o contexto dado."""
    chat = session.chat
    if argument:
        erased = argument.casefold() in ("limpar", "clear")
        session.change_context("" if erased else argument)
        session.tell("Contexto apagado." if erased else "Contexto anotado.")
    elif chat.context:
        session.tell(f"Contexto dado: {chat.context}")
    usage = chat.usage()
    dropped = f", sem {usage.dropped_turns} falas antigas" if usage.dropped_turns else ""
    session.tell(
        f"De {usage.total} tokens: persona e contexto {usage.system}, conversa {usage.history}"
        f"{dropped}; livres {usage.free}."
    )


def config(session: "TerminalChat", argument: str) -> None:
    """Mostra ou muda como as respostas são geradas."""
    name, _, value = argument.partition(" ")
    if not argument:
        for item in SETTINGS:
            session.tell(f"{item} = {_shown(session, item)}")
        session.tell("Mude com /config temperature 0.5; desfaça com /config temperature padrão.")
        return
    if name not in SETTINGS:
        close = difflib.get_close_matches(name, SETTINGS, 1)
        hint = f" Quis dizer {close[0]}?" if close else ""
        raise UsageError(f"/config {quoted(name)}: não existe.{hint} Há: {', '.join(SETTINGS)}.")
    if value:
        _change(session, name, value.strip())
    session.tell(f"{name} = {_shown(session, name)}")


def _shown(session: "TerminalChat", name: str) -> str:
    """O valor que vale agora e de onde ele vem."""
    chat = session.chat
    said = chat.mode if name == "mode" else getattr(chat.config.chat, name)
    if said is not None or name not in SAMPLING:
        return "nenhum" if said is None else str(said)
    value = getattr(chat.sampling(), name)
    own = getattr(chat.persona.sampling, name) == value
    return f"{value} ({'da persona' if own else 'do modo ' + chat.mode})"


def _change(session: "TerminalChat", name: str, text: str) -> None:
    chat = session.chat
    value = None if text.casefold() in DEFAULT_WORDS else _parsed(name, text)
    if value is None:  # o padrão da seção
        value = getattr(type(chat.config.chat)(), name)
    changed = replace(chat.config.chat, **{name: value})
    try:
        check_fields(changed, "chat")
    except ConfigError as error:
        raise UsageError(f"/config: {error}") from error
    chat.config.chat = changed
    chat.mode = changed.mode


def _parsed(name: str, text: str) -> Any:
    """``text`` no tipo do campo ``name``."""
    if name == "mode":
        return text
    if name == "stop":
        return text.split("|")
    kinds = {item.name: item.type for item in fields(Sampling)}
    kind = float if kinds.get(name) is float else int
    try:
        return kind(text.replace(",", "."))
    except ValueError:
        expected = "um número" if kind is float else "um número inteiro"
        raise UsageError(f"/config {name} {quoted(text)}: esperado {expected}.") from None


def sources(session: "TerminalChat", argument: str) -> None:
    """Mostra os trechos em que a última resposta se apoia."""
    last = session.chat.last
    if last is None or not last.sources:
        raise UsageError("A última resposta não veio de documentos.")
    chosen = list(last.sources)
    if argument:
        numbers = {str(source.number): source for source in chosen}
        if argument.strip("[]") not in numbers:
            shown = ", ".join(numbers)
            raise UsageError(f"/fontes {quoted(argument)}: não existe. Há: {shown}.")
        chosen = [numbers[argument.strip("[]")]]
    if last.declined:
        session.tell("Nenhum trecho responde; o mais próximo é este.")
    for source in chosen:
        session.tell(source.heading)
        session.tell(str(source.passage))


def documents(session: "TerminalChat", argument: str) -> None:
    """Liga, desliga ou diz se as respostas consultam os documentos."""
    grounding, word = session.chat.grounding, argument.casefold()
    if word in ON_WORDS:
        grounding.try_again()
    if not grounding.available:
        reason = grounding.problem or (
            f"Ainda não há documentos. Para indexá-los: python main.py index --model "
            f"{session.chat.model_name} --docs PASTA"
        )
        raise UsageError(reason)
    if word in ON_WORDS or word in OFF_WORDS:
        grounding.enabled = word in ON_WORDS
    elif word:
        raise UsageError(f"/documentos {quoted(argument)}: esperado 'ligado' ou 'desligado'.")
    state = "ligados" if grounding.enabled else "desligados"
    retriever = grounding.retriever
    count = len(retriever.documents) if retriever is not None else 0
    session.tell(f"Documentos {state}: {counted(count, 'documento', 'documentos')}.")


def proactive(session: "TerminalChat", argument: str) -> None:
    """Liga, desliga ou diz se há sugestões."""
    word = argument.casefold()
    if word in ON_WORDS or word in OFF_WORDS:
        session.set_proactive(word in ON_WORDS)
    elif word:
        raise UsageError(f"/proativo {quoted(argument)}: esperado 'ligado' ou 'desligado'.")
    state = "ligadas" if session.proactive else "desligadas"
    session.tell(f"Sugestões {state}.")


COMMANDS: list[Command] = [
    Command(("/ajuda", "/help", "/?"), "[comando]", "lista os comandos, ou explica um", show_help),
    Command(("/sair", "/exit", "/quit", "/bye"), "", "termina a conversa", leave),
    Command(("/limpar", "/clear"), "", "recomeça a conversa", clear),
    Command(
        ("/salvar", "/save"),
        "[arquivo]",
        "guarda a conversa, ou a grava em .md, .txt, .json ou .jsonl",
        save,
    ),
    Command(("/carregar", "/load"), "[id]", "retoma uma conversa; sem id, mostra as últimas", load),
    Command(("/refazer", "/retry"), "", "responde de novo à última mensagem", retry),
    Command(("/persona",), "[nome]", "troca a persona, ou mostra quais há", persona),
    Command(
        ("/contexto", "/context"),
        "[texto|limpar]",
        "dá um texto para eu levar em conta, ou mostra o espaço que sobra",
        context,
    ),
    Command(
        ("/config", "/set"), "[nome valor]", "mostra ou muda como as respostas são geradas", config
    ),
    Command(
        ("/fontes", "/sources"), "[n]", "mostra os trechos em que a resposta se apoia", sources
    ),
    Command(
        ("/documentos", "/docs"),
        "[ligado|desligado]",
        "liga ou desliga a consulta aos documentos",
        documents,
    ),
    Command(
        ("/proativo", "/proactive"), "[ligado|desligado]", "liga ou desliga as sugestões", proactive
    ),
    Command(("/nota", "/rate"), "1-5", "dá uma nota à última resposta", rating_commands.rate),
    Command(
        ("/avaliar", "/aspects"),
        "[p=1-5 r=1-5 t=1-5]",
        "dá notas à precisão, à relevância e ao tom; sem elas, pergunta",
        rating_commands.rate_aspects,
    ),
    Command(
        ("/corrigir", "/correct"),
        "[texto]",
        "diz qual seria a resposta boa; sem texto, pergunta",
        rating_commands.correct,
    ),
    Command(("/nps",), "0-10", "diz quanto você me recomendaria", rating_commands.rate_experience),
    Command(
        ("/desfazer", "/undo"), "", "desfaz a última avaliação da conversa", rating_commands.undo
    ),
]


def find(name: str) -> Command:
    """O comando de nome ``name`` (com ou sem a barra, maiúsculas à parte).

    Erros:
        UsageError: não existe; a mensagem diz o mais parecido.
    """
    wanted = "/" + name.casefold().lstrip("/")
    names = {alias: command for command in COMMANDS for alias in command.names}
    if wanted in names:
        return names[wanted]
    close = difflib.get_close_matches(wanted, names, 1)
    hint = f" Quis dizer {close[0]}?" if close else ""
    raise UsageError(f"Não conheço o comando {quoted(name)}.{hint} /ajuda mostra todos.")


def run_command(session: "TerminalChat", line: str) -> None:
    """Executa a linha ``/nome argumento``.

    Erros:
        UsageError: o comando não existe ou o argumento não serve. Leave: é hora de sair.
    """
    name, *rest = line.split(maxsplit=1)
    find(name).run(session, rest[0].strip() if rest else "")


def completions(session: "TerminalChat", text: str) -> Iterable[str]:
    """O que pode completar ``text``: o nome de um comando, ou o argumento dele."""
    if not text.startswith("/"):
        return []
    name, space, argument = text.partition(" ")
    if not space:
        names = [alias for command in COMMANDS for alias in command.names]
        return [alias for alias in names if alias.startswith(name.casefold())]
    typed = argument.casefold()
    return [word for word in _arguments(session, name, typed) if word.startswith(typed)]


def _arguments(session: "TerminalChat", name: str, typed: str) -> Iterable[str]:
    options: dict[str, Callable[[], Iterable[str]]] = {
        "/ajuda": lambda: [command.names[0] for command in COMMANDS],
        "/persona": lambda: sorted(session.chat.personas),
        "/config": lambda: [*SETTINGS, *(f"mode {mode}" for mode in MODES)],
        "/proativo": lambda: (ON_WORDS[0], OFF_WORDS[0]),
        "/documentos": lambda: (ON_WORDS[0], OFF_WORDS[0]),
        "/contexto": lambda: ["limpar"],
        "/nota": lambda: map(str, rating_commands.RATINGS),
        "/nps": lambda: map(str, rating_commands.NPS),
        "/avaliar": lambda: rating_commands.aspect_completions(typed),
        "/carregar": lambda: [info.id for info in session.store.list()[:SHOWN_SESSIONS]],
    }
    try:
        command = find(name).names[0]
    except UsageError:
        return []
    return options.get(command, list)()
