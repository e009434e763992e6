"""O assunto de uma conversa: a expressão que diz do que a pessoa fala, para pôr na sugestão.

Não há análise sintática: de cada mensagem, da última para trás, tiram-se as palavras que não são
assunto (pronomes, verbos comuns, as próprias pistas dos padrões, enfeites) e fica o maior trecho
seguido que sobra ("não entendi juros compostos": "juros compostos"). O texto vem da pessoa; por
isso só letras, números e hifens passam, e nada que pareça um token de controle.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.chat.proactive_text import QUOTE, Reading, read_message

MAX_TOPIC_WORDS, MAX_TOPIC_CHARACTERS = 6, 60
RECENT_TURNS = 3  # turnos da pessoa em que se procura um assunto
MAX_QUOTED_WORDS = 4

#: Não são assunto em lugar nenhum.
_STOP = frozenset("""
    eu tu voce voces ele ela eles elas nos gente me te se lhe mim comigo contigo ti si meu minha
    meus minhas seu sua seus suas teu tua nosso nossa dele dela deles delas alguem ninguem algum
    alguma alguns algumas nenhum nenhuma tudo nada todo toda todos todas outro outra outros outras
    mesmo mesma isso isto aquilo qual quais quem que quando onde quanto quantos quantas porque cade
    nao sim nem nunca sempre ja ainda agora hoje ontem amanha depois antes logo entao tambem
    so ai la
    aqui ali ca muito pouco mais menos bem mal quase tao demais bastante meio tipo assim talvez
    eh sao era foi foram ser sido sendo sou somos to ta tava tavam tamo estar estao estive esteve
    ficar fica fico ficou fiquei ficaria tem tenho tinha temos ter teve tive tenha ha houve haver
    vou vai vamos vao ir fui ia iria indo vem vim vindo vir faz faco fazer fez fiz feito faria
    posso pode podem poderia podia possa quero quer queria querem queira gostaria gosto gostei
    preciso precisa precisava precisar necessito devo deve deveria devia acho acha achei achar penso
    pensando pensar sei sabe saber sabia sabem diz diga dizer disse disso dito fala falar
    falou falei
    fale falando explica explicar explique explicou explicacao ajuda ajudar ajude ajudinha ajudaria
    auxilio auxilia auxiliar orienta orientar ensina ensinar ensine mostra mostrar mostre da dar de
    dei deu dou dando entendi entender entende entendo entendendo entendeu compreendi compreender
    saquei peguei pegar captei clara claro confuso confusa perdi perdido perdida duvida duvidas
    indeciso indecisa decidir decido decidi decide escolher escolho escolha consigo conseguir
    consegui
    consegue conseguindo dificil dificeis complicado complicada dificuldade dificuldades impossivel
    problema erro erros funciona funcionar funcionam adianta tentei tentar tento tentando desisto
    desistir cansei cansado cansada aguento socorro help dica dicas passo tutorial jeito forma
    maneira
    modo encontrar encontro encontra achar obter obtenho informacao informacoes indica indicar
    indique
    indicacao recomenda recomendar recomendacao procuro procurar procurando busco existe conhece
    conhecem sugere repete repetir repita novo novamente melhor pior exemplo exemplos simples
    devagar
    detalhe detalhes detalhar significa quis oi ola opa bom boa dia tarde noite favor obrigado valeu
    por mano cara moco moca amigo luna nossa poxa aff pqp kkk ne hein ah oh uai ue eita pois sera
    vale pena coisa coisas negocio trem vez vezes hora horas dias semana semanas mes meses ano anos
    tempo dois duas tres deus certo certa errado verdade serio la sobre algo num numa umas uns
    ok beleza comecar comeco comeca aprender aprendendo aprendo usar uso usa mexer mexo parte
    vontade
    gostar ver vejo vi veja olha olhar espera pera calma socorrer salva forca mao luz resolver
    resolve resolvo resolvi merda droga saco raiva odio inferno burro burra cabeca santo decreto
    """.split())
#: Ligam duas palavras de assunto, mas não começam nem terminam um.
_LINKS = frozenset("""
    de do da dos das em no na nos nas com sem e ou a o as os ao aos um uma para pra pro pela pelo
    entre ate como esse essa esses essas este ta aquele aquela deste desse dessa nesse nessa
    """.split())
_SUBJECTS = frozenset("eu voce gente se que ele ela".split())
_VERBAL = re.compile(r"(?:ndo|[^d]ou|[^m]ei|mente|avam?|iam)$")
_INFINITIVE = re.compile(r"\w{2,}[aei]r$")
_NOUNS_LIKE_INFINITIVE = frozenset(
    "lugar celular mar bar ar lar par professor andar jantar militar escolar popular colar dolar "
    "carater mulher colher talher qualquer prazer poder super hiper elixir vestibular particular "
    "regular familiar solar lunar calcanhar similar titular auxiliar dever".split()
)
_CONTROL_LIKE = re.compile(r"<\|[^<>]{0,60}\|?>|[<>|]")
_GAP = re.compile(r"[ \t]+|-|['’]")


@dataclass(frozen=True)
class Topic:
    """Um assunto. ``is_action``: começa por um verbo ("montar um currículo")."""

    text: str
    is_action: bool = False

    def __bool__(self) -> bool:
        return bool(self.text)


def find_topic(context: Any = None) -> Topic:
    """O assunto de ``context``, ou um vazio.

    Args:
        context: ``None``, um texto, uma lista de mensagens ``{"role", "content"}`` (ou de textos),
            ou um dicionário com ``topic``, ou ``message`` e ``history``.
    """
    if isinstance(context, Mapping) and isinstance(context.get("topic"), str):
        given = _given_topic(context["topic"])
        if given:
            return given
    for text in reversed(user_texts(context)[-RECENT_TURNS:]):
        found = topic_of(text)
        if found:
            return found
    return Topic("")


def user_texts(context: Any) -> list[str]:
    """O que a pessoa disse em ``context``, da mais antiga à última; o que não se "
    "entende, ignora."""
    if isinstance(context, str):
        return [context]
    if isinstance(context, Mapping):
        if "content" in context:
            return _texts_of([context])
        history, message = context.get("history"), context.get("message")
        return user_texts(history) + ([message] if isinstance(message, str) else [])
    if isinstance(context, Sequence):
        return _texts_of(context)
    return []


def _texts_of(messages: Sequence[Any]) -> list[str]:
    texts = []
    for message in messages:
        if isinstance(message, str):
            texts.append(message)
        elif isinstance(message, Mapping) and message.get("role", "user") == "user":
            content = message.get("content")
            texts += [content] if isinstance(content, str) else []
        elif isinstance(message, (tuple, list)) and message and isinstance(message[0], str):
            texts.append(message[0])  # um par (usuário, Luna)
    return texts


def topic_of(text: str) -> Topic:
    """O assunto de uma mensagem, ou um vazio."""
    reading = read_message(_CONTROL_LIKE.sub(" , ", text))
    quoted = _quoted_topic(reading)
    if quoted:
        return quoted
    best, best_score = Topic(""), 0
    for first, last in _candidates(reading):
        topic = _topic(reading, first, last)
        score = sum(_is_content(reading, i) for i in range(first, last + 1))
        if topic and score > best_score:
            best, best_score = topic, score
    return best


def _given_topic(text: str) -> Topic:
    """Um assunto dito por quem chama, só limpo e encurtado."""
    words = re.findall(r"[\w'’-]+", _CONTROL_LIKE.sub(" ", text))[:MAX_TOPIC_WORDS]
    return Topic(" ".join(words)[:MAX_TOPIC_CHARACTERS].strip())


def _quoted_topic(reading: Reading) -> Topic:
    """A palavra ou expressão entre aspas, se for curta e a única."""
    places = [span for word, span in zip(reading.words, reading.spans) if word == QUOTE]
    if len(places) != 1:
        return Topic("")
    topic = _given_topic(reading.raw[places[0][0] + 1 : places[0][1] - 1])
    return topic if 0 < len(topic.text.split()) <= MAX_QUOTED_WORDS else Topic("")


def _candidates(reading: Reading) -> Iterator[tuple[int, int]]:
    """Os trechos seguidos de palavras de assunto, com ligações no meio: (primeira, última)."""
    first = last = -1
    for index in range(len(reading.words)):
        joined = index > 0 and _joined(reading, index)
        if first >= 0 and (not joined or index - first >= MAX_TOPIC_WORDS):
            yield first, last
            first = last = -1
        if _is_content(reading, index):
            first = index if first < 0 else first
            last = index
        elif first >= 0 and reading.words[index] not in _LINKS:
            yield first, last
            first = last = -1
    if first >= 0:
        yield first, last


def _joined(reading: Reading, index: int) -> bool:
    """Se entre a palavra e a anterior só há um espaço ou um hifen."""
    gap = reading.raw[reading.spans[index - 1][1] : reading.spans[index][0]]
    return bool(_GAP.fullmatch(gap))


def _is_content(reading: Reading, index: int) -> bool:
    word = reading.words[index]
    if not (word.isalpha() and word.islower() and len(word) > 2) or word in _STOP | _LINKS:
        return False
    if _VERBAL.search(word):
        return False
    return not (index and reading.words[index - 1] in _SUBJECTS)  # "como eu tiro mancha"


def _topic(reading: Reading, first: int, last: int) -> Topic:
    text = " ".join(reading.text_between(first, last).split())
    if len(text) > MAX_TOPIC_CHARACTERS:
        return Topic("")
    head = reading.words[first]
    is_action = bool(_INFINITIVE.fullmatch(head)) and head not in _NOUNS_LIKE_INFINITIVE
    return Topic(_lowered(text), is_action and last > first)


def _lowered(text: str) -> str:
    """Sem o grito das maiúsculas nem a inicial de começo de frase; siglas e nomes ficam."""
    if text.isupper() and len(text) > 5:
        return text.lower()
    first = text.split()[0]
    return text[0].lower() + text[1:] if first.istitle() else text
