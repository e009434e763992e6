"""O que uma mensagem pede: uma informação, que os documentos podem ter, ou conversa.

Só as perguntas e os pedidos de informação são recusados quando os documentos não respondem; um
"obrigado!" ou um "quem é você?" segue para o modelo. Na dúvida é conversa: um cumprimento recusado
irrita mais do que uma pergunta que o modelo tenta responder. A regra, sobre cada frase sem acentos
e com as abreviações por extenso:

1. feita só de palavras de conversa ("sério?", "e você?"), é conversa;
2. sem a fórmula de cortesia ("você pode me dizer..."), fala da Luna, de sentimentos ou pede uma
   brincadeira: é conversa;
3. termina em "?", começa por palavra interrogativa ou pedido, ou é o nome do que se procura
   ("preço da diária"): pede informação. O resto é conversa.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from src.config.text import without_accents

_WORD = re.compile(r"\w+")
#: Como se abrevia ao digitar.
_SHORT_FORMS = {
    "qal": "qual", "ql": "qual", "oq": "o que", "q": "que", "qto": "quanto", "qnto": "quanto",
    "qta": "quanta", "qnta": "quanta", "qdo": "quando", "qnd": "quando", "qndo": "quando",
    "ond": "onde", "aonde": "onde", "pq": "por que", "porq": "por que", "oque": "o que",
    "vc": "voce", "ce": "voce", "tu": "voce", "vcs": "voces", "eh": "e", "td": "tudo",
    "ta": "esta", "to": "estou", "tou": "estou", "blz": "beleza", "cade": "onde esta",
    "tava": "estava", "ne": "nao e",
}  # fmt: skip
_OPENERS = frozenset("""
    e mas oi ola opa ei ok entao ai luna bom boa dia tarde noite favor agora tambem obrigado
    obrigada valeu
    """.split())

# --- Pedir informação ----------------------------------------------------------------------------

#: Como começa (depois de "e", "oi", "por favor"...) quem pede uma informação.
_ASKING = frozenset("""
    quem qual quais quando quanto quanta quantos quantas onde como porque
    explique explica diga diz fale fala conte conta liste cite descreva resuma informe mostre defina
    posso pode podem podemos da consigo existe existem ha tem precisa preciso vale procuro
    """.split())
_ASKING_PHRASES = (
    "o que", "que horas", "que hora", "que dia", "que tipo", "que ano", "que idade",
    "por que", "por quanto", "por onde", "para que", "pra que", "para quem", "pra quem",
    "em que", "em qual", "de que", "de quem", "de quantos", "de quantas", "de quanto", "de onde",
    "com que", "com quem", "com qual", "a que", "ate que", "ate quando", "desde quando",
    "daqui a quanto", "sera que", "e verdade", "me diz", "me diga", "me fala", "me fale",
    "me explica", "me explique", "me conta", "me conte", "me informa", "me informe", "me mostra",
    "me passa", "me passe", "me manda", "me mande", "quero saber", "queria saber", "quer saber",
    "gostaria de saber", "gostaria de entender", "quero entender", "queria entender",
    "preciso saber", "preciso do", "preciso da", "sabe se", "sabe me dizer", "saberia", "tem como",
    "fale sobre", "fala sobre", "fala de", "estou procurando",
)  # fmt: skip
#: A cortesia que precede o pedido.
_COURTESY = re.compile(
    r"^(voce |voces )?((pode|poderia|podem|poderiam|consegue|conseguiria|sabe|saberia|saberiam) me "
    r"(dizer|explicar|informar|falar|contar|mostrar|passar)|sabe(?! (fazer|conversar|cantar|falar|"
    r"dancar|ler)\b)|saberia|tem (ideia|nocao|informac\w+)( de| sobre)?)\b ?"
)
_STRONG = frozenset("quanto quanta quantos quantas qual quais".split())
#: O que se procura, dito só pelo nome: "preço da diária", "horário do museu".
_SOUGHT = re.compile(
    r"^((o|a|os|as) )?(preco|valor|custo|horario|taxa|tarifa|telefone|endereco|prazo|validade|"
    r"mensalidade|contato|lista|regra|requisito)s?( (de|da|do|das|dos|para|pra|no|na)( \w+){1,6})?$"
)
_STATES = re.compile(r"\b(é|foi|era|está|são|estão|tá|ficou|subiu|mudou|eu|meu|minha)\b")
_WHEN = frozenset("""
    e sera abre fecha vence comeca termina acaba posso devo preciso vai vao sai tem ha funciona
    aconteceu ocorre expira pode podem foi nasceu morreu surgiu inaugurou
    """.split())
_MINE = frozenset("eu fico me meu minha estou sinto vou".split())

# --- Conversar -----------------------------------------------------------------------------------

#: Uma mensagem feita só destas palavras não pede informação.
_TALK_WORDS = frozenset("""
    oi ola ei opa alo hein serio verdade mesmo jura como assim o que por e ai voce contigo seu sua
    beleza bom boa tudo bem certo legal haha hahaha kkk entendi entao dai sabe luna esta nao sim ok
    claro ta uai eita nossa puxa aham hum isso agora quem sera
    """.split())
_FEELINGS = (
    r"trist\w+|feli[zc]\w*|cansad\w|sozinh\w|ansios\w|estressad\w|nervos\w|preocupad\w|deprimid\w|"
    r"desanimad\w|chatead\w|magoad\w|irritad\w|animad\w|content\w|mal|"
    r"com (raiva|medo|saudades?|fome|sono|preguica|vergonha)"
)
_PASTIMES = r"novidade|piada|historia|poema|charada|segredo|conto|adivinha|curiosidade|musica|verso"
#: Perguntas sobre a Luna, sentimentos, brincadeiras, ou o que só mantém a conversa.
_SMALL_TALK = re.compile(
    r"\b(tudo (bem|bom|certo|joia|tranquilo|beleza|em paz)|beleza|novidades|"
    r"como (vai|anda|foi (o )?(seu|teu) dia|se sente|estao as coisas|"
    r"(e que )?voce (esta|vai|anda|se sente|chama|se chama)|(esta|vai|anda) voce|assim)|"
    r"quem (e voce|(te|ti) \w+|(criou|fez|inventou|programou|treinou) (voce|a luna))|"
    r"(seu|teu|sua|tua) (nome|idade|criador\w*|cor|comida|musica|filme|signo|aniversario|opiniao|"
    r"funcao|proposito|familia|mae|pai|sonho|medo|dono|favorit\w)|"
    r"voce (e|pode|gosta|sente|existe|mora|dorme|come|pensa|consegue|faz|fez|quer|acha|me|esta|ama|"
    r"odeia|lembra|entende|ouve|nasceu|acredita|prefere|chora|fala|sonha|vive|veio|vem|errou|canta|"
    r"namora|joga|gostaria|aprende|ja|tem(?! (o|a|os|as) )|"
    r"sabe( (fazer|conversar|cantar|falar|dancar|ler)|$))|"
    rf"(cont[ae]|fal[ae]|diz|diga|faz|faca|cante?|escreva) (um|uma|outra|mais uma) ({_PASTIMES})|"
    r"cont[ae] algo|(confiar|acreditar) em voce|(tem|ha) alguem ai|"
    r"(cont[ae]|fal[ae]) (um pouco |mais )?(comigo|(de|sobre) (voce|ti|si))|"
    r"posso (te|lhe) (contar|falar|perguntar|fazer uma pergunta)|"
    r"(pode|vamos|bora|quer) (conversar|bater papo|brincar|jogar)|(pode|me|te) ajud\w+|"
    r"ser (minha|meu|sua|seu) amig\w+|te (amo|adoro|odeio)|o que (eu )?devo sentir|"
    r"como e (bom|boa|lind\w|dificil|trist\w|legal|gostoso)|"
    r"que (dia|noite|tarde|semana|ano|hora) (lind\w|bonit\w|bo[am]|chat\w|dificil|feliz))\b"
    r"|^posso (desabafar|falar com voce|perguntar|fazer uma pergunta)\b"
    r"|^(e )?(voce e )?uma? (ia|robo|pessoa|human[oa]|maquina|bot|inteligencia artificial)$"
)
_FEELS = re.compile(
    rf"\b(estou|ando|me sinto|fiquei|sinto)( muito| tao| meio| bem)? ({_FEELINGS})\b"
    r"(?!.*\b(quanto|quanta|qual|quais|onde|quando|horas)\b)"
)
_FAREWELL = re.compile(
    r"^(muit[oa] |mto )?(obrigad[oa]|valeu|vlw|obg|agradec\w+|tchau|adeus|desculp\w+|parabens|"
    r"ate (mais|logo|amanha|breve))\b"
)
_EXCLAMATIONS = frozenset("que como quanto quanta quantos quantas qual".split())
#: "Tem dias que...", "dá vontade de...", "vale a pena": sem o "?", não perguntam.
_STATEMENT_STARTS = frozenset("da tem ha vale como conta".split())
_STATEMENT_SECONDS = frozenset("dias dia hora horas gente vontade um uma pena a".split())


def asks_information(message: str) -> bool:
    """Se a mensagem pede uma informação.

    Args:
        message: o que a pessoa escreveu, com ou sem acentos e ponto de interrogação.
    """
    if set(_plain_words(message)) <= _TALK_WORDS:
        return False
    sentences = [part for part in re.split(r"(?<=[.!?…])\s+|\n+", message) if part.strip()]
    return any(map(_asks, sentences))


def is_small_talk(message: str) -> bool:
    """Se a mensagem só mantém a conversa: um cumprimento, um agradecimento, um sentimento."""
    words = _plain_words(message)
    return set(words) <= _TALK_WORDS | _OPENERS or (
        not asks_information(message)
        and _is_talk(" ".join(words))
        or bool(_FAREWELL.match(" ".join(words)))
    )


def _plain_words(text: str) -> list[str]:
    """As palavras em minúsculas, sem acentos e com as abreviações por extenso."""
    found = _WORD.findall(without_accents(text))
    return " ".join(_SHORT_FORMS.get(word, word) for word in found).split()


def _asks(sentence: str) -> bool:
    words = _plain_words(sentence)
    while words and (words[0] in _OPENERS or words[:2] == ["por", "favor"]):
        words = words[1:]
    plain = " ".join(words)
    asked = _COURTESY.sub("", plain)
    if not asked or _is_talk(asked):
        return False
    end = sentence.rstrip(" \"'”’)")[-1:]
    if end == "?":
        return len(words) > 1 or words[0] in _ASKING or bool(_SOUGHT.match(asked))
    if end == "!" and words[0] in _EXCLAMATIONS:
        return False
    return asked != plain or _starts_asking(words) or _names_what_it_seeks(sentence, asked)


def _is_talk(plain: str) -> bool:
    return bool(_SMALL_TALK.search(plain) or _FEELS.search(plain))


def _starts_asking(words: Sequence[str]) -> bool:
    """Se as palavras, sem "?", começam como um pedido."""
    start = " ".join(words[:4])
    if any(start == phrase or start.startswith(phrase + " ") for phrase in _ASKING_PHRASES):
        return True
    if len(words) < 2 or words[0] not in _ASKING or words[0] == "preciso":
        return False
    if words[0] == "quando":
        return words[1] in _WHEN and not _MINE & set(words)
    return words[0] not in _STATEMENT_STARTS or words[1] not in _STATEMENT_SECONDS


def _names_what_it_seeks(sentence: str, plain: str) -> bool:
    """ "preço da diária"; ou uma oração, depois de vírgula, que começa por "quanto" ou "qual"."""
    if _SOUGHT.match(plain) and not _STATES.search(sentence.lower()):
        return True
    clauses = [_plain_words(clause) for clause in re.split(r"[,;:]", sentence)[1:]]
    return any(len(words) > 1 and words[0] in _STRONG for words in clauses)


# --- A mensagem que continua a anterior ----------------------------------------------------------

#: Palavras que apontam para o que se disse antes.
_POINTERS = frozenset(
    "ele ela eles elas isso isto aquilo la ali dele dela deles delas nele nela desse dessa "
    "disso esse essa tambem mesmo outro outra nesse nessa".split()
)
SHORT_CONTENT_WORDS = 3
#: Verbos e nomes que perguntam algo de um assunto sem dizer qual é.
_SUBJECTLESS = re.compile(
    r"^(cust|fic|abr|fech|funcion|pod|precis|dur|demor|comec|termin|pag|val|hor|prec|valor|"
    r"endereco|telefon|praz|tax|faz|fac|dia|tempo|temp|aconte|obrigat|permit|possiv|entr|ingress)"
)
_LOOK_BACK = 4  # mensagens anteriores em que se procura o assunto


def depends_on_before(message: str) -> bool:
    """Se a mensagem só se entende com a anterior: "e quanto custa?", "onde ele fica?"."""
    from src.retrieval.portuguese import terms

    words = _WORD.findall(message.lower())
    content = terms(message)
    if not words or len(content) > SHORT_CONTENT_WORDS:
        return False
    if words[0] == "e" or _POINTERS & set(_WORD.findall(without_accents(message))):
        return True
    return asks_information(message) and all(map(_SUBJECTLESS.match, content))


def with_subject(message: str, before: Sequence[str]) -> str:
    """O que procurar: a mensagem e, se ela continua outra, a que traz o assunto.

    Args:
        before: as mensagens anteriores da pessoa, da mais antiga à mais nova.

    Returns:
        ``message``, ou as anteriores de que ela depende (até a que se entende sozinha; a conversa
        fiada no caminho é pulada) e ela.
    """
    if not depends_on_before(message):
        return message
    recent = list(before[-_LOOK_BACK:])
    asked = [text for text in recent if asks_information(text)] or recent[-1:]
    joined = [message]
    for text in reversed(asked):
        joined.insert(0, text)
        if not depends_on_before(text):
            break
    return " ".join(joined)
