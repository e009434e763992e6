"""Ponto de entrada do LunaGPT: lê a linha de comando e chama o comando escolhido.

Aqui só se importa a biblioteca padrão: cada comando importa o que precisa depois de escolhido, e
por isso ``--help`` responde na hora, mesmo sem torch.
"""

import argparse
import os
import sys

VERSION = "0.1.0"
DEVICE_CHOICES = "{auto,cpu,cuda,mps}"
EXPORT_CHOICES = "{paired,unpaired,raw}"
MODE_CHOICES = "{low_latency,high_precision}"
PERSONA_CHOICES = "{tecnico,casual,formal}"
SIZE_CHOICES = "{auto,nano,mini,small,base}"

#: As mensagens do argparse, em português. O que faltar aparece em inglês.
ARGPARSE_MESSAGES = {
    "usage: ": "uso: ",
    "options": "opções",
    "positional arguments": "argumentos",
    "show this help message and exit": "mostra esta ajuda e sai",
    "the following arguments are required: %s": "falta(m): %s",
    "unrecognized arguments: %s": "não reconhecido(s): %s",
    "expected one argument": "esperado um valor",
    "expected at least one argument": "esperado ao menos um valor",
    "invalid %(type)s value: %(value)r": "valor inválido: %(value)r (esperado %(type)s)",
    "invalid choice: %(value)r (choose from %(choices)s)": (
        "%(value)r não existe (escolha entre %(choices)s)"
    ),
    "argument %(argument_name)s: %(message)s": "opção %(argument_name)s: %(message)s",
    "%(prog)s: error: %(message)s\n": "%(prog)s: erro: %(message)s\n",
    "ignored explicit argument %r": "não recebe valor (veio %r)",
}
argparse._ = lambda text: ARGPARSE_MESSAGES.get(text, text)  # type: ignore[attr-defined]


def positive_number(text: str) -> float:
    """Um número maior que zero, com vírgula ou ponto."""
    value = float(text.replace(",", "."))
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


positive_number.__name__ = "um número maior que zero"


def positive_integer(text: str) -> int:
    """Um inteiro de 1 em diante."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


positive_integer.__name__ = "um inteiro de 1 em diante"


def whole_number(text: str) -> int:
    """Um inteiro de 0 em diante."""
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


whole_number.__name__ = "um inteiro de 0 em diante"


def number(text: str) -> float:
    """Um número, com vírgula ou ponto."""
    return float(text.replace(",", "."))


number.__name__ = "um número"


def fraction(text: str) -> float:
    """Um número de 0 até antes de 1, com vírgula ou ponto."""
    value = float(text.replace(",", "."))
    if not 0 <= value < 1:
        raise ValueError(text)
    return value


fraction.__name__ = "um número de 0 até antes de 1"


def add(
    parser: "argparse.ArgumentParser | argparse._ArgumentGroup",
    name: str,
    help_text: str,
    **options: object,
) -> None:
    """Acrescenta ``--nome_assim`` e, se houver sublinhado, também ``--nome-assim``."""
    names = [name, name.replace("_", "-")] if "_" in name else [name]
    parser.add_argument(*names, help=help_text, **options)  # type: ignore[arg-type]


def common_options() -> argparse.ArgumentParser:
    """As opções que todo comando aceita."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("saída e configuração")
    group.add_argument(
        "--json", action="store_true", help="escreve o resultado como um objeto JSON"
    )
    group.add_argument("--quiet", action="store_true", help="só o resultado e os erros")
    group.add_argument(
        "--debug", action="store_true", help="mostra detalhes e o traceback dos erros"
    )
    group.add_argument("--config", metavar="ARQUIVO", help="configuração em JSON")
    return parser


def build_parser() -> argparse.ArgumentParser:
    """A gramática da linha de comando."""
    parser = argparse.ArgumentParser(
        prog="luna" if os.path.basename(sys.argv[0]) == "luna" else "main.py",
        description="LunaGPT: crie, treine e converse com o seu próprio modelo em português.",
        epilog="Ajuda de um comando: main.py COMANDO --help",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"LunaGPT {VERSION}",
        help="mostra a versão e sai",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMANDO", title="comandos")
    common = common_options()

    def command(name: str, help_text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help_text, description=help_text, parents=[common], allow_abbrev=False
        )

    _create(command("create", "cria um modelo: tokenizador e pesos novos"))
    _train(command("train", "treina um modelo que existe"))
    _chat(command("chat", "conversa com um modelo"))
    _sessions(command("sessions", "lista, mostra, apaga e exporta conversas guardadas"))
    _feedback(command("feedback", "mostra, exporta, importa, desfaz e apaga avaliações"))
    _index(command("index", "põe documentos no índice de um modelo, e o mantém em dia"))
    _search(command("search", "procura nos documentos de um modelo"))
    _refine(command("refine", "refina um modelo com as avaliações que você deu"))
    _evaluate(command("evaluate", "mede um modelo, ou dois lado a lado"))
    _benchmark(command("benchmark", "mede a velocidade e compara com a última vez"))
    command("demo", "cria, treina e testa um modelo pequeno com os dados que vêm junto")
    _models(command("models", "lista, renomeia, apaga, exporta e importa modelos"))
    command("info", "mostra a máquina, as versões e as pastas")
    _setup(command("setup", "confere as dependências e instala as que faltam"))
    _test(command("test", "roda os testes do projeto"))
    return parser


def _create(parser: argparse.ArgumentParser) -> None:
    add(parser, "--name", "nome do modelo", required=True, metavar="NOME")
    add(
        parser,
        "--train_data",
        "arquivos de texto (padrões glob); sem isto, os dados que vêm junto",
        nargs="+",
        metavar="PADRÃO",
    )
    add(parser, "--size", f"tamanho: {SIZE_CHOICES}; auto escolhe pelo hardware", metavar="TAMANHO")
    add(parser, "--base", "pasta de um GPT-2 local que recebe os componentes", metavar="PASTA")
    add(parser, "--force", "substitui um modelo que já existe", action="store_true")
    _file_limit(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    add(parser, "--model", "nome do modelo", required=True, metavar="NOME")
    add(parser, "--epochs", "passadas pelos dados", type=positive_number, metavar="N")
    add(parser, "--train_data", "dados de treino (padrões glob)", nargs="+", metavar="PADRÃO")
    add(parser, "--valid_data", "dados de validação (padrões glob)", nargs="+", metavar="PADRÃO")
    add(parser, "--max_minutes", "duração, no lugar de --epochs", type=positive_number, metavar="N")
    add(
        parser,
        "--resume",
        "continua um treino interrompido: do último checkpoint, ou de CAMINHO",
        nargs="?",
        const="auto",
        metavar="CAMINHO",
    )
    add(
        parser,
        "--curriculum",
        "treina por estágios, do fácil ao difícil: os de ARQUIVO (JSON), ou os padrões",
        nargs="?",
        const="",
        metavar="ARQUIVO",
    )
    add(
        parser,
        "--replay",
        "relê os dados de antes, para não os esquecer: a parte dos tokens (0,2 sem número)",
        nargs="?",
        const=0.2,
        type=fraction,
        metavar="PARTE",
    )
    add(parser, "--lora", "treina só um adaptador pequeno (LoRA)", action="store_true")
    add(parser, "--seed", "semente dos sorteios", type=whole_number, metavar="N")
    add(parser, "--use_wandb", "registra no Weights & Biases", action="store_true")
    _machine(parser)
    _file_limit(parser)


def _chat(parser: argparse.ArgumentParser) -> None:
    add(parser, "--model", "nome do modelo; dispensável quando só há um", metavar="NOME")
    add(
        parser,
        "--persona",
        f"estilo: {PERSONA_CHOICES} ou um seu (personas.json)",
        metavar="PERSONA",
    )
    add(parser, "--context", "texto que o modelo lê antes da conversa", metavar="TEXTO")
    parser.add_argument(
        "-p", "--prompt", metavar="TEXTO", help="responde uma vez e sai; '-' lê da entrada padrão"
    )
    add(
        parser,
        "--resume",
        "retoma uma conversa guardada: a última, ou a de ID",
        nargs="?",
        const="",
        metavar="ID",
    )
    add(parser, "--no_history", "não guarda a conversa nem o que se digita", action="store_true")
    add(parser, "--no_proactive", "não oferece sugestões", action="store_true")
    add(parser, "--mode", f"modo de execução: {MODE_CHOICES}", metavar="MODO")
    _sampling(parser)
    _machine(parser)


def _sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("geração (o padrão é o da persona e do modo)")
    add(group, "--temperature", "0 escolhe sempre o mais provável", type=number, metavar="N")
    add(group, "--top_k", "candidatos por token; 0 desliga", type=whole_number, metavar="N")
    add(group, "--top_p", "massa de probabilidade mantida; 1 desliga", type=number, metavar="N")
    add(group, "--min_p", "probabilidade mínima, relativa à maior", type=number, metavar="N")
    add(group, "--repetition_penalty", "1 não pune repetir", type=number, metavar="N")
    add(
        group,
        "--no_repeat_ngram_size",
        "sequências que a resposta não repete; 0 desliga",
        type=whole_number,
        metavar="N",
    )
    add(group, "--max_new_tokens", "tokens por resposta", type=positive_integer, metavar="N")
    add(group, "--seed", "semente do sorteio", type=whole_number, metavar="N")
    add(group, "--stop", "expressões que encerram a resposta", nargs="+", metavar="TEXTO")


def _sessions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        default="list",
        metavar="AÇÃO",
        help="list (padrão), show, remove ou export",
    )
    parser.add_argument("names", nargs="*", metavar="ID", help="o que a ação pede")
    add(parser, "--all", "apaga todas (com remove)", action="store_true")
    add(parser, "--force", "apaga sem perguntar, ou substitui o arquivo", action="store_true")


def _feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        default="stats",
        metavar="AÇÃO",
        help="stats (padrão), list, export, import, undo ou purge",
    )
    parser.add_argument("names", nargs="*", metavar="ARQUIVO", help="o que a ação pede, ou um ID")
    add(
        parser,
        "--model",
        "só as deste modelo e as que não dizem de qual são (com import: de que modelo são)",
        metavar="NOME",
    )
    add(parser, "--format", f"com export: {EXPORT_CHOICES}; raw é o padrão", metavar="FORMATO")
    add(parser, "--id", "com purge: apaga uma avaliação", metavar="ID")
    add(parser, "--session", "com purge: apaga as de uma conversa", metavar="ID")
    add(parser, "--text", "com purge: apaga as que têm este trecho", metavar="TEXTO")
    add(parser, "--force", "apaga sem perguntar, ou substitui o arquivo", action="store_true")


def _index(parser: argparse.ArgumentParser) -> None:
    add(
        parser,
        "--model",
        "nome do modelo; se não existe, só o índice",
        required=True,
        metavar="NOME",
    )
    add(parser, "--docs", "arquivos, pastas ou padrões glob", nargs="+", metavar="PADRÃO")
    add(
        parser,
        "--update",
        "também tira o que não existe mais; sem --docs, relê os padrões da última vez",
        action="store_true",
    )
    add(parser, "--remove", "documentos a retirar do índice", nargs="+", metavar="DOCUMENTO")
    add(parser, "--stats", "mostra o que há no índice", action="store_true")
    _file_limit(parser)


def _search(parser: argparse.ArgumentParser) -> None:
    add(parser, "--model", "nome do modelo", required=True, metavar="NOME")
    parser.add_argument("-p", "--prompt", required=True, metavar="TEXTO", help="a pergunta")
    add(parser, "--top_k", "trechos mostrados (3)", type=positive_integer, metavar="N")
    add(
        parser,
        "--min_relevance",
        "de 0 a 1: deixa de fora os menos relevantes",
        type=fraction,
        metavar="N",
    )


def _refine(parser: argparse.ArgumentParser) -> None:
    add(parser, "--model", "nome do modelo", required=True, metavar="NOME")
    add(parser, "--dry_run", "faz tudo, menos mudar o modelo", action="store_true")
    add(parser, "--list", "mostra as versões guardadas", action="store_true")
    add(
        parser,
        "--rollback",
        "volta à versão anterior, ou à VERSÃO (v1, v2...)",
        nargs="?",
        const="",
        metavar="VERSÃO",
    )
    _machine(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    add(
        parser,
        "--model",
        "nome do modelo, ou uma pasta do transformers",
        required=True,
        metavar="MODELO",
    )
    add(
        parser,
        "--data",
        "textos, conversas e perguntas (padrões glob); sem isto, os de validação",
        nargs="+",
        metavar="PADRÃO",
    )
    add(parser, "--compare", "outro modelo, medido nos mesmos dados", metavar="MODELO")
    add(parser, "--report", "onde gravar o relatório (logs/evaluation/)", metavar="ARQUIVO.html")
    add(
        parser,
        "--max_answers",
        "respostas pedidas, no máximo, às conversas e às perguntas (100)",
        type=positive_integer,
        metavar="N",
    )
    add(parser, "--window", "tokens por janela (o contexto)", type=positive_integer, metavar="N")
    add(
        parser,
        "--stride",
        "tokens de avanço da janela (metade dela)",
        type=positive_integer,
        metavar="N",
    )
    add(parser, "--quick", "sem medir memória, com menos rodadas de latência", action="store_true")
    _device(parser)
    _file_limit(parser)


def _benchmark(parser: argparse.ArgumentParser) -> None:
    add(
        parser,
        "--model",
        "nome ou pasta; sem isto, o modelo 'benchmark' ou um nano de pesos aleatórios",
        metavar="MODELO",
    )
    add(parser, "--repeats", "rodadas (25)", type=positive_integer, metavar="N")
    add(parser, "--quick", "só o menor e o maior prompt", action="store_true")
    _device(parser)


def _machine(parser: argparse.ArgumentParser) -> None:
    add(parser, "--lightweight", "para hardware limitado", action="store_true")
    _device(parser)


def _device(parser: argparse.ArgumentParser) -> None:
    add(parser, "--device", f"dispositivo: {DEVICE_CHOICES}", metavar="DISPOSITIVO")


def _file_limit(parser: argparse.ArgumentParser) -> None:
    add(
        parser,
        "--max_file_mb",
        "ignora arquivos de dados maiores que isto, em MB",
        type=positive_number,
        metavar="MB",
    )


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        default="list",
        metavar="AÇÃO",
        help="list (padrão), rename, remove, export ou import",
    )
    parser.add_argument("names", nargs="*", metavar="NOME", help="o que a ação pede")
    add(parser, "--force", "substitui o que já existe, ou apaga sem perguntar", action="store_true")
    add(parser, "--checkpoints", "inclui os checkpoints ao exportar", action="store_true")


def _setup(parser: argparse.ArgumentParser) -> None:
    add(parser, "--check", "só confere, não instala", action="store_true")
    add(parser, "--extra", "também este extra (dev, wandb, lora...)", nargs="+", metavar="EXTRA")


def _test(parser: argparse.ArgumentParser) -> None:
    add(parser, "--minimal", "só os testes rápidos", action="store_true")


def main(argv: list[str] | None = None) -> int:
    """Roda um comando e devolve o código de saída: 0, 1 (falha), 2 (uso) ou 130 (Ctrl-C)."""
    for name in ("stdout", "stderr"):  # fechadas por quem chamou (>&-)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    try:
        code = dispatch(argv)
        sys.stdout.flush()  # aqui, e não no fim do processo, onde a falha não se pode tratar
        return code
    except KeyboardInterrupt:  # antes de o comando começar
        print("\nInterrompido.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # quem lia a saída foi embora (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def dispatch(argv: list[str] | None) -> int:
    """Lê a linha de comando e chama o comando escolhido."""
    parser = build_parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # o argparse já escreveu a mensagem
        return int(stop.code or 0)
    if args.command is None:
        parser.print_help()
        return 2
    from src.cli.runner import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
