"""``chat``: conversa no terminal, ou uma resposta só com ``-p`` ou pela entrada padrão."""

import argparse
import gc
import logging
import sys
import time
from typing import Any

from src.cli.runner import option, say, use_cores
from src.config.config import Config
from src.config.options import SAMPLING, check_fields
from src.utils.errors import ConfigError, ModelNotFoundError, UsageError
from src.utils.logging_utils import is_interactive

#: As opções que são campos da seção ``chat``.
CHAT_OPTIONS = (*SAMPLING, "max_new_tokens", "seed", "stop", "mode")
#: Bibliotecas que, com --debug, se anunciariam entre uma fala e outra.
CHATTY_LIBRARIES = ("asyncio", "filelock")


def run(args: argparse.Namespace, config: Config) -> dict[str, Any] | None:
    """Conversa com o modelo; devolve a resposta quando é uma só e ``--json``."""
    from src.config.personas import get_persona, load_personas
    from src.utils.model_store import ModelStore

    store = ModelStore(config.paths.models_dir)
    model = args.model or resumed_model(args, config) or only_model(args, store)
    documents_only = store.has_only_documents(model)
    if not documents_only:
        store.require(model)
    apply_options(args, config)
    personas = load_personas(config.paths.personas_file)
    persona = get_persona(option(args.persona, config.chat.persona), personas).name
    prompt = one_shot_prompt(args)
    chat = open_chat(args, config, model, persona, documents_only)
    chat.context = args.context or ""
    if prompt is None:
        converse(args, chat)
        return None
    return answer_once(args, chat, prompt)


def apply_options(args: argparse.Namespace, config: Config) -> None:
    """Põe em ``config.chat`` o que a linha de comando escolheu.

    Erros:
        UsageError: um valor fora do que se aceita; a mensagem diz a opção.
    """
    for name in CHAT_OPTIONS:
        value = getattr(args, name)
        if value is None:
            continue
        setattr(config.chat, name, value)
        try:
            check_fields(config.chat, "chat")
        except ConfigError as error:
            text = str(error).replace(f"chat.{name}=", f"--{name} ", 1)
            raise UsageError(text) from error


def open_chat(
    args: argparse.Namespace, config: Config, model: str, persona: str, documents_only: bool = False
) -> Any:
    """Carrega o modelo, com as threads que a máquina (ou ``--lightweight``) permite.

    Com ``documents_only`` não há modelo a carregar: as respostas citam os documentos.
    """
    gc.disable()  # importar o torch cria muitos objetos que ficam: procurá-los custa um décimo
    try:
        if documents_only:
            from src.chat.document_chat import DocumentChat as Chat
        else:
            from src.chat.luna_chat import LunaChat as Chat  # type: ignore[assignment]

        folder = config.paths.model_dir(model) if documents_only else None
        chat = Chat(model, config, persona, option(args.device, "auto"), folder=folder)
    finally:
        gc.enable()
    use_cores(chat.device, args.lightweight)
    if args.lightweight:
        say(args, "Modo leve: um núcleo fica livre; os pesos do modelo não mudam.")
    return chat


def converse(args: argparse.Namespace, chat: Any) -> None:
    """Abre a conversa no terminal."""
    from src.chat.terminal import TerminalChat, TerminalOptions

    for name in CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    options = TerminalOptions(
        resume=args.resume,
        no_history=args.no_history,
        proactive=False if args.no_proactive else None,
        persona=args.persona,
        context=args.context,
        debug=args.debug,
        quiet=args.quiet,
    )
    TerminalChat(chat, options).run()


def resumed_model(args: argparse.Namespace, config: Config) -> str | None:
    """O modelo da conversa de ``--resume ID``; ``None`` se não se retoma, ou ela não o diz.

    Erros:
        UsageError, DataError: a conversa não existe, ou não se consegue ler.
    """
    if not args.resume:
        return None
    from src.chat.sessions import open_store

    return open_store(config).load(args.resume).model or None


def only_model(args: argparse.Namespace, store: Any) -> str:
    """O único modelo que existe, quando ``--model`` não foi dado.

    Erros:
        UsageError: há mais de um. ModelNotFoundError: não há nenhum.
    """
    names = [*store.names(), *store.documents_only()]
    if not names:
        raise ModelNotFoundError(
            "Ainda não há modelo. Crie um: python main.py create --name MeuLunaGPT"
        )
    if len(names) > 1:
        raise UsageError(f"Diga qual modelo com --model: {', '.join(names)}.")
    say(args, f"Usando o modelo '{names[0]}'.")
    return str(names[0])


def one_shot_prompt(args: argparse.Namespace) -> str | None:
    """A pergunta de ``-p`` ou da entrada padrão; ``None`` quando é para conversar.

    Erros:
        UsageError: a pergunta veio vazia.
    """
    if args.prompt is not None and args.prompt != "-":
        prompt = args.prompt
    elif args.prompt == "-" or not is_interactive(sys.stdin):
        prompt = read_stdin()
    else:
        if args.json:
            raise UsageError("--json precisa de uma pergunta: use -p 'sua pergunta'.")
        return None
    if not prompt.strip():
        raise UsageError(
            "A pergunta veio vazia: use -p 'sua pergunta', ou escreva algo na entrada."
        )
    return str(prompt).strip()


def read_stdin() -> str:
    """Toda a entrada padrão: UTF-8, ou Windows-1252 se não for.

    O que o Python suporia da codificação depende do sistema e do locale, e um pipe não a informa.
    """
    if sys.stdin is None:  # sem entrada padrão (serviços, cron)
        return ""
    binary = getattr(sys.stdin, "buffer", None)
    if binary is None:  # um substituto, como os dos testes
        return str(sys.stdin.read())
    data = binary.read()
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return str(data.decode("cp1252", errors="replace"))


def answer_once(args: argparse.Namespace, chat: Any, prompt: str) -> dict[str, Any] | None:
    """Responde uma vez: a resposta em stdout, à medida que sai.

    Com ``--resume``, dentro da conversa guardada, que ganha a pergunta e a resposta.
    """
    started = time.perf_counter()
    sink = None if args.json else lambda text: print(text, end="", flush=True)
    if args.resume is None:
        answer = chat.generate_response(prompt, on_text=sink)
    else:
        answer = answer_in_session(args, chat, prompt, sink)
    if not args.json:
        print()
        for line in one_shot_sources(chat):
            say(args, line)
        return None
    return {
        "answer": answer,
        "sources": [] if chat.last.declined else [s.to_dict() for s in chat.last.sources],
        "quoted": chat.last.quoted,
        "declined": chat.last.declined,
        "corrected": chat.last.corrected,
        "tokens": chat.last.tokens,
        "seconds": round(time.perf_counter() - started, 3),
        "model": chat.model_name,
        "persona": chat.persona.name,
    }


def one_shot_sources(chat: Any) -> list[str]:
    """De onde veio a resposta, para quem não tem os comandos da conversa; ``search`` mostra mais.

    Os nomes dos arquivos vão sem o que mandaria no terminal.
    """
    from src.chat.corrections_memory import correction_hint
    from src.chat.terminal_text import clean_text

    if chat.last.corrected:
        return [correction_hint(chat.last.correction)]
    if not chat.last.sources:
        return []
    names = [clean_text(source.name) for source in chat.last.sources]
    if chat.last.declined:
        command = f"python main.py search --model {chat.model_name} -p '...'"
        return [f"O trecho mais próximo está em {names[0]}. Para vê-lo: {command}"]
    return [f"[{source.number}] {name}" for source, name in zip(chat.last.sources, names)]


def answer_in_session(args: argparse.Namespace, chat: Any, prompt: str, sink: Any) -> str:
    """Responde como continuação da sessão de ``--resume``."""
    from src.chat.terminal import TerminalChat, TerminalOptions

    options = TerminalOptions(
        no_history=args.no_history, persona=args.persona, context=args.context, quiet=True
    )
    session = TerminalChat(chat, options)
    session.resume(args.resume, show=False)
    answer: str = chat.say(prompt, sink)
    if answer:
        session.record(prompt, answer)
    session.writer.close()
    return answer
