"""O que uma mensagem pede: uma informação, que os documentos podem ter, ou conversa.

Só as perguntas e os pedidos de informação são recusados quando os documentos não respondem; um
"obrigado!" ou um "quem é você?" segue para o modelo. A regra é curta, e na dúvida é conversa: um
cumprimento recusado irrita mais do que uma pergunta que o modelo tenta responder.
"""

from __future__ import annotations

import re

from src.config.text import without_accents

_WORD = re.compile(r"\w+")
#: Como começa (depois de "e", "oi", "por favor"...) quem pede uma informação.
_ASKING = frozenset("""
    quem qual quais quando quanto quanta quantos quantas onde aonde como cade pq porque
    explique explica diga diz fale fala conte conta liste cite descreva resuma informe mostre defina
    posso pode podem podemos da consigo existe existem ha tem precisa preciso vale
    """.split())
_ASKING_PHRASES = (
    "o que", "oque", "que horas", "que hora", "que dia", "que tipo", "que ano", "que idade",
    "por que", "por quanto", "por onde", "para que", "pra que", "para quem", "pra quem",
    "em que", "em qual", "de que", "de quem", "de quantos", "de quantas", "de quanto", "de onde",
    "com que", "com quem", "com qual", "a que", "ate que", "ate quando", "desde quando",
    "daqui a quanto", "sera que", "e verdade", "me diz", "me diga", "me fala", "me fale",
    "me explica", "me explique", "me conta", "me conte", "me informe", "me mostra",
    "quero saber", "queria saber", "gostaria de saber", "preciso saber", "sabe se", "voce sabe",
    "vc sabe", "sabe me dizer", "saberia", "tem como", "fale sobre", "fala sobre", "fala de",
)  # fmt: skip
_OPENERS = frozenset(
    "e mas oi ola opa ei ok entao ai luna bom boa dia tarde noite por favor agora tambem".split()
)
#: Perguntas sobre a Luna, ou que só mantêm a conversa.
_SMALL_TALK = re.compile(
    r"\b(tudo (bem|bom|certo|joia|tranquilo)|como (vai|voce (esta|ta|vai)|vc (ta|esta|vai)|"
    r"(e que )?(esta|ta) voce|estao as coisas|foi (o )?seu dia|se sente)|beleza|"
    r"quem (e|criou|fez|te|inventou) (voce|vc|criou|fez|programou)|(seu|teu) (nome|criador)|"
    r"(voce|vc|tu) (e|eh|pode|gosta|tem|sente|existe|mora|dorme|come|pensa|consegue|faz|quer|acha|"
    r"me|esta|ta|sabe (fazer|conversar|cantar))|o que (voce|vc) (e|faz|acha|pode|gosta|consegue)|"
    r"(pode|vamos|bora|quer) conversar|(pode|me) (ajuda|ajudar)|novidades)\b"
)
_ABOUT_LUNA_FACTS = re.compile(r"\b(voce|vc) (sabe|tem (ideia|nocao|informac))")


def asks_information(message: str) -> bool:
    """Se a mensagem pede uma informação.

    Args:
        message: o que a pessoa escreveu, com ou sem acentos e ponto de interrogação.
    """
    sentences = [part for part in re.split(r"(?<=[.!?…])\s+|\n+", message) if part.strip()]
    return any(map(_asks, sentences))


def _asks(sentence: str) -> bool:
    plain = " ".join(_WORD.findall(without_accents(sentence)))
    if not plain:
        return False
    if _SMALL_TALK.search(plain) and not _ABOUT_LUNA_FACTS.search(plain):
        return False
    if sentence.rstrip(" \"'”’)").endswith("?"):
        return len(plain.split()) > 1 or plain in _ASKING
    words = plain.split()
    while words and words[0] in _OPENERS:
        words = words[1:]
    start = " ".join(words[:4])
    if any(start == phrase or start.startswith(phrase + " ") for phrase in _ASKING_PHRASES):
        return True
    return len(words) > 1 and words[0] in _ASKING and not _is_statement(words)


def _is_statement(words: list[str]) -> bool:
    """ "Tem dias que...", "da vontade de...", "vale a pena" não perguntam, sem o "?"."""
    return words[0] in ("da", "tem", "ha", "vale", "como", "conta", "quando", "preciso") and (
        words[1] in ("dias", "dia", "hora", "horas", "gente", "vontade", "um", "uma", "pena", "a")
        or words[0] in ("quando", "preciso")
    )


#: Palavras que apontam para o que se disse antes.
_POINTERS = frozenset(
    "e ele ela eles elas isso isto aquilo la ali dele dela deles delas nele nela desse dessa "
    "disso esse essa tambem mesmo outro outra nesse nessa".split()
)
SHORT_CONTENT_WORDS = 3


def depends_on_before(message: str) -> bool:
    """Se a mensagem só se entende com a anterior: "e quanto custa?", "onde ele fica?"."""
    from src.retrieval.portuguese import terms

    plain = _WORD.findall(without_accents(message))
    if not plain or len(terms(message)) > SHORT_CONTENT_WORDS:
        return False
    return plain[0] == "e" or any(word in _POINTERS for word in plain[1:]) or plain[0] in _POINTERS
