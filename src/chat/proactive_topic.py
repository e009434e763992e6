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
    abre acaba acabou acha achar achei acho adianta aff agora aguento ah ai ainda ajuda
    ajudar ajudaria ajudas ajude ajudinha algo alguem algum alguma algumas alguns ali amanha
    ambas ambos amigo ano anos antes aprendendo aprender aprendo aqui aquilo assim assunto
    atende atendem atras auxilia auxiliar auxilio avo bacana balancada balancado bastante
    beleza bem boa bom bonita bonito boto burra burro busco ca cabeca cada cade cadim cai
    caiu calma cansaco cansada cansado cansei canseira captei cara cedo certa certeza certo
    chata chato chefe chega cima cinco clara claro coisa coisas colega comeca comecar comeco
    comigo como complicada complicado compreender compreendi comprei compro confirma confusa
    confuso confusos conhece conhecem consegue consegui conseguindo conseguir conserta
    consertam consigo conta contar conte contigo continua continuar continuo conto contrario
    correto custa da dando dar de decide decidi decidir decido decima decreto dei deixa
    deixo dela delas dele deles demais depois desculpa desculpe desde desistir desisto
    detalhar detalhe detalhes deu deus devagar deve deveria devia devo dez dia dias dica
    dicas diferenca dificeis dificil dificuldade dificuldades diga disse disso dito dividida
    dividido diz dizem dizendo dizer dois dou droga duas duvida duvidas eh eita ela elas ele
    eles embora encontra encontrar encontro enesima ensina ensinar ensine entao entende
    entendendo entender entendeu entendi entendo entra entre era errado erro erros escolha
    escolher escolho espera esposa esqueci estao estar esteve estive eu exemplo exemplos
    existe explica explicacao explicada explicado explicar explicou explique faca faceis
    facil faco fala falando falar fale falei falou falta faltou faria favor faz fazer fecha
    feito fez fica ficar ficaria fico ficou filha filho fim fiquei fiz foda foi foram forca
    forma frase fui funciona funcionam funcionar galera gente gostar gostaria gostei gosto
    gostou graca ha haver hein help hoje hora horas horrivel houve ia ideia impossivel
    indecisa indeciso indica indicacao indicar indique indo inferno informacao informacoes
    inicio inteira inteiro ir iria irma irmao isso isto item ja jeito junto juntos kkk la
    lado larguei late legal lembro leva levar levo lhe limite linda lindo logo longe luna
    luta luz madrugada mae mais mal maldita maldito manda mando maneira manha mano mao
    marido mas me meio melhor menos merda mes meses mesma mesmas mesmo metade meu meus mexer
    mexo milesima mim minha minhas miudos moca moco modo mostra mostrar mostre muda mudo
    muito mulher nada namorada namorado nao ne necessito negocio nem nenhum nenhuma nessa
    nesse ninguem nisso noite nos nossa nosso novamente nove novo num numa nunca obrigado
    obtenho obter odio oh oi oito ok ola olha olhar olhem onde ontem opa opcao opcoes
    orienta orientar osso otima otimo outra outras outro outros pai paragrafo parte passa
    passo pedaco pega pegar pego peguei peleja pelo pena pensando pensar penso pera perdao
    perdi perdida perdido pergunta perto pessima pessimo pessoal pior pode podem poderia
    podia pois ponto por porfavor porque possa posso pouco povo poxa pqp pratica precisa
    precisar precisava preciso prima primeira primeiro primo problema procurando procurar
    procuro programar programei proxima proximo quais qual qualquer quando quantas quanto
    quantos quarta quarto quase quatro que queira quem quer querem queria quero questao
    quinta quinto quis raciocinio raiva rapida rapido recomenda recomendacao recomendar
    refaco repete repetir repita resolve resolver resolvi resolvo resposta sabe sabem
    sabemos sabendo saber sabia saco saem sai saio salva santa santo sao saquei se segunda
    segundo sei seis semana semanas sempre sendo sentido ser sera serio serve servem sete
    seu seus sexta sexto si sido significa sim simples so sobra sobre sobrou socorrer
    socorro somos sorte sou sozinha sozinho sua suas sufoco sugere ta tal talvez tambem tamo
    tanta tantas tanto tantos tao tarde tava tavam te tem temos tempo tenha tenho tenso
    tentando tentar tentei tento ter terceira terceiro teu teve ti tia tinha tio tipo tiro
    tive to toda todas todo todos total trava travou trem tres troca troco tu tua tudo turma
    tutorial uai ue ultima ultimo umas uns usa usar uso vai vale valeu vamos vao varias
    varios veja vejam vejo vem vende vendem vendo ver verdade verdadeiro vez vezes vi vim
    vindo vir viu vizinha vizinho vo voce voces volta voltar vontade vou
    """.split())
#: Ligam duas palavras de assunto, mas não começam nem terminam um.
_LINKS = frozenset("""
    de do da dos das em no na nos nas com sem e ou a o as os ao aos um uma para pra pro pros pela
    pelo ate esse essa esses essas este aquele aquela deste desse dessa nesse nessa
    """.split())
#: O que dá nome a um lugar ou a uma coisa qualquer: sozinho, não diz o assunto.
_VAGUE = frozenset("""
    lugar lugares local locais site canal link loja telefone contato endereco numero nome nota tela
    trabalho pessoa texto livro orgao setor documento horario mundo vida casa caso momento palavra
    palavras
    """.split())
_ARTICLES = frozenset("o a os as um uma esse essa esses essas".split())
#: Depois destas palavras vem um nome: um assunto de uma palavra só, ou de duas sem ligação, precisa
#: de uma delas antes para não ser um verbo ("ta osso", "bolo sola").
_ANCHORS = (_LINKS | frozenset("""
    sobre num numa qual quais meu minha meus minhas entre cade algum alguma aquilo seu sua eh
    entendi entender entendo compreendi saquei peguei captei explica explicar explique ensina ensine
    encontro encontrar encontra achar acho obter procuro procurar busco aprender funciona funcionam
    conhece indica recomenda preciso quero queria tem existe consigo significa faz faco fazer
    """.split())) - frozenset("e ou".split())
_MASCULINE = frozenset("o um do no ao meu esse este aquele pelo num seu".split())
_FEMININE = frozenset("uma da na minha essa aquela pela numa sua".split())
_SUBJECTS = frozenset("eu voce gente se ele ela me te".split())
_VERBAL = re.compile(
    r"(?:\w{3}ndo|[^d]ou|\w{2}ei|[^esn]iu|\w[bcdlrv]eu|mente|avam?|aram|eram|iram|iam)$"
)
_INFINITIVE = re.compile(r"\w{2,}[aei]r$")
_NOUNS_LIKE_INFINITIVE = frozenset("""
    lugar celular mar bar ar lar par professor andar jantar militar escolar popular colar dolar
    carater mulher colher talher qualquer prazer poder super hiper elixir vestibular particular
    regular familiar solar lunar calcanhar similar titular auxiliar dever
    """.split())
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
    """O que a pessoa disse em ``context``, da mais antiga à última; o resto se ignora."""
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
    ranked = sorted(_candidates(reading), key=lambda ends: -_weight(reading, *ends))
    return next(filter(None, (_topic(reading, first, last) for first, last in ranked)), Topic(""))


def _weight(reading: Reading, first: int, last: int) -> int:
    """Quantas palavras de assunto há no trecho; entre iguais fica o primeiro da mensagem."""
    return sum(_is_content(reading, index) for index in range(first, last + 1))


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
        is_content = _is_content(reading, index)
        ends = index - first >= MAX_TOPIC_WORDS or not _continues(reading, index, is_content)
        if first >= 0 and ends:
            yield first, last
            first = -1
        if is_content:
            first, last = (index if first < 0 else first), index
    if first >= 0:
        yield first, last


def _continues(reading: Reading, index: int, is_content: bool) -> bool:
    """Se a palavra continua um trecho; um verbo começa outro ("força pra | tirar foto")."""
    word, before = reading.words[index], _before(reading, index)
    if is_content and _is_action(word) and before not in ("e", "ou"):
        return False
    return (is_content or word in _LINKS) and _joined(reading, index)


def _joined(reading: Reading, index: int) -> bool:
    """Se entre a palavra e a anterior só há um espaço ou um hifen."""
    gap = reading.raw[reading.spans[index - 1][1] : reading.spans[index][0]]
    return bool(_GAP.fullmatch(gap))


def _is_content(reading: Reading, index: int) -> bool:
    """Se a palavra pode ser assunto: nem comum, nem com cara de verbo conjugado."""
    word, before = reading.words[index], _before(reading, index)
    after = reading.words[index + 1] if index + 1 < len(reading.words) else ""
    if (word, after) == ("segunda", "via"):
        return True
    if not (word.isalpha() and word.islower() and len(word) > 2) or word in _STOP | _LINKS:
        return False
    if _is_action(word):
        return True
    how = before == "como" or reading.words[max(index - 2, 0) : index] == ("como", "que")
    if how or before in _SUBJECTS or _VERBAL.search(word):  # "como eu tiro mancha"
        return False
    return after not in _ARTICLES  # "entrega a senha": verbo


def _before(reading: Reading, index: int) -> str:
    return reading.words[index - 1] if index else ""


def _is_action(word: str) -> bool:
    return bool(_INFINITIVE.fullmatch(word)) and word not in _NOUNS_LIKE_INFINITIVE


def _topic(reading: Reading, first: int, last: int) -> Topic:
    """O trecho como assunto; um vazio se ele pode não ser um nome, ou se nada diz."""
    last = _without_verb(reading, first, last)
    text = " ".join(reading.text_between(first, last).split())
    words = reading.words[first : last + 1]
    is_action = _is_action(words[0]) and last > first
    linked = is_action or any(word in _LINKS for word in words)
    if not linked and _before(reading, first) not in _ANCHORS:
        return Topic("")
    alone = first == last and (words[0] in _VAGUE or _is_action(words[0]))
    if alone or len(text) > MAX_TOPIC_CHARACTERS:
        return Topic("")
    return Topic(_lowered(reading, first, text), is_action)


def _without_verb(reading: Reading, first: int, last: int) -> int:
    """A última palavra do nome: em "o bebê engasga", a segunda não concorda, e é verbo."""
    if last != first + 1:
        return last
    before, ending = _before(reading, first), reading.words[last].rstrip("s")[-1:]
    disagrees = (before in _MASCULINE and ending == "a") or (before in _FEMININE and ending == "o")
    return first if disagrees else last


def _lowered(reading: Reading, first: int, text: str) -> str:
    """Sem o grito das maiúsculas nem a inicial de começo de frase; siglas e nomes ficam."""
    if text.isupper() and len(text) > 5:
        return text.lower()
    starts = not first or reading.words[first - 1] in tuple(".?!…")
    alone = text.split()[0].istitle() and text[1:].islower()
    return text[0].lower() + text[1:] if starts and alone else text
