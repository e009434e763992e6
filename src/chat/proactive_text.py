"""Uma mensagem em forma de comparação: é sobre ela que as regras e o modelo da proatividade leem.

Glossário (nome, significado):
    palavra    uma palavra ou um sinal já na forma comum ("vc" e "você": "voce"; "tá": "ta")
    forma      as palavras separadas por um espaço, com um espaço em cada ponta
    oração     trecho da forma entre sinais ("," "." "?") ou antes de um contraste ("mas")
    CIT        o que ocupa o lugar de um trecho entre aspas: o que se cita não é o que se pede

A forma comum desfaz o que a escrita da internet varia sem mudar o sentido: maiúsculas, acentos,
letras repetidas ("socorrooo"), abreviações ("n", "q", "pq"), erros comuns ("intendi", "dificio") e
emoji. "É" vira "eh", para não se confundir com a conjunção "e".
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from src.utils.text_cleaning import without_accents

MAX_HEAD, MAX_TAIL = 500, 1500  # de uma mensagem colada, leem-se o começo e o fim
QUOTE, LAUGH, NUMBER = "CIT", "RISO", "NUM"

_SPELLINGS = """
    nao: n ñ naum nau nn noa nap naoo
    voce: vc ce cê oce ocê vce voçe voçê voc vose vosse
    voces: vcs ces cês
    que: q qe ki
    o que: oq oque oqe oqq
    porque: pq pqe porq pork porquê pqq
    comigo: cmg
    contigo: ctg
    to: estou tou toh tô esto
    ta: tah está esta tá
    tava: estava
    tavam: estavam
    tamo: estamos tamos
    pra: para p p/ pr prá
    eh: é ehh
    tambem: tb tbm tmb tbem tmbm
    beleza: blz belesa
    por favor: pf pfv pfvr pls plis pliz plz plss porfa porfavor pfvor please
    obrigado: obg obgd obgda obrigada obgado brigado brigada brigadu brigadao obrigadao
    mesmo: msm mesma
    muito: mto mt mta muita mtos muitos muitas mtas mui muinto mutio
    tudo: td tdo
    todos: tds
    nada: nd
    de: d
    depois: dps dpois
    hoje: hj oje
    cade: kd kade kede
    onde: ond aonde adonde ondi onde
    como: cm cumo komo
    com: c c/
    sem: s/
    fazer: fzr faze fase
    faco: fasso faso
    sei la: sla
    ninguem: ngm ninguen
    alguem: alg algm alguen algem
    quero: qro kero
    queria: qria keria
    quando: qnd qdo qndo
    quanto: qnt qto qnto
    qualquer: qq qlqr qlq qqr
    valeu: vlw vlww
    tchau: flw xau
    de novo: dnv dnovo denovo
    entao: ent entaum
    agora: agr
    aqui: aki aqi
    acho: axo achu
    preciso: precizo presiso precso prescio presizo
    consigo: cnsg consg cosigo conssigo consigu consgo consiguo consugo
    duvida: duvda duvid duvuda
    duvidas: duvias
    entendi: intendi entedi etendi entndi enteni endenti intedi entendii tendi
    entender: intender entendr
    dificil: dificio dificiu dificl dificel difisil difcil
    complicado: compricado conplicado complicadu
    ajuda: ajd ajdua ajida
    ajudar: ajuda-r ajudr
    explica: isplica esplica explika xplica explca expica
    gente: gnt gent
    beijo: bj bjo bjs
    aff: affe afe afff affs aff
    pqp: vsf krl crl caralho porra puta
    meu deus: mds
    ne: neh
    ja: jah
    so: soh
    email: imeio emeio mail
    zap: whatsapp wpp whats zapzap uats wats
    help: helpe
    sera: serah
    hein: hem han ahn hã heim ein hum hmm hm huh ham
    qual: ql cual
    certeza: ctz certesa
    tipo: tp
    alguma: alguna
    problema: pobrema probrema
    funciona: funfa fuciona fununcia funsiona
    talvez: tauvez talves tlvz tavez
    tentei: tntei
    desisto: dezisto
    msg: mensagem
    cel: celular cell
    pc: computador micro
    noite: noit
    pois eh: pse
    fim de semana: fds
    ta ligado: tlgd
    serio: srio
"""
_EMOJI = {
    "EMPENSA": "🤔🧐😬😕🤷😶🫤",
    "EMTRISTE": "😭😢😩😫😤😡🤬😠😞😔🙄😖😣😒🥲😓💔🥹😪🫠🤯😵",
    "EMRISO": "😂🤣😆😹😅",
    "EMALEGRE": "😊😁😃😄🥰😍❤🎉🥳👏🙌💪✨🙏👍😎😘🤗",
}
_EMOJI_WORDS = {char: word for word, chars in _EMOJI.items() for char in chars}
#: Depois de "num", estes verbos dizem que ele é a negação ("num sei"), e não "em um".
_AFTER_NUM = frozenset(
    "sei consigo entendi entendo to da vai tem quero posso aguento guento acho peguei saquei ta "
    "deu funciona entra consegui cabe faz eh era sabia".split()
)
_DOUBLED = frozenset("voo zoo enjoo perdoo magoo".split())
_CONTRASTS = frozenset("mas porem contudo entretanto todavia".split())

_QUOTED = re.compile(r"[\"“«][^\"“”«»\n]{1,300}[\"”»]|(?<!\w)['‘][^'‘’\n]{1,300}['’](?!\w)")
_TOKEN = re.compile(
    r"(?P<cut>\b[pcsPCS]/)|(?P<word>[^\W\d_]+)|(?P<number>\d+(?:[.,:]\d+)*)"
    r"|(?P<mark>[.!?;:,…\n()—]+|(?<=\s)[-–]+(?=\s))|(?P<other>\S)"
)
_LAUGH = re.compile(r"^(?:k{2,}|(?:ha){2,}h?|(?:he){2,}|(?:hua){2,}|(?:rs)+|(?:ka){3,}|ah(?:ah)+)$")
_LONG = re.compile(r"(.)\1{2,}")
_DOUBLE_END = re.compile(r"([aeiou])\1$")


def _spellings() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in _SPELLINGS.strip().splitlines():
        common, _, variants = line.partition(":")
        table |= {variant: tuple(common.split()) for variant in variants.split()}
    return table


SPELLINGS = _spellings()


@dataclass(frozen=True)
class Reading:
    """Uma mensagem lida.

    raw: o texto de que se tiraram as palavras. words: as palavras. spans: de onde veio cada uma em
    ``raw``.
    """

    raw: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    @cached_property
    def form(self) -> str:
        """As palavras separadas por um espaço, com um espaço em cada ponta."""
        return f" {' '.join(self.words)} "

    @cached_property
    def starts(self) -> list[int]:
        """Onde cada palavra começa em ``form``."""
        starts, position = [], 1
        for word in self.words:
            starts.append(position)
            position += len(word) + 1
        return starts

    @cached_property
    def clauses(self) -> list[int]:
        """O número da oração de cada palavra, a partir de 0; um sinal fica com a de antes."""
        numbers, number, after_mark = [], 0, False
        for index, word in enumerate(self.words):
            is_word = word[0].isalnum()
            new = is_word and index and (after_mark or self._is_contrast(index))
            number += bool(new)
            numbers.append(number)
            after_mark = not is_word
        return numbers

    def _is_contrast(self, index: int) -> bool:
        if self.words[index] in _CONTRASTS:
            return True
        return self.words[index : index + 2] == ("so", "que")

    def text_between(self, first: int, last: int) -> str:
        """O trecho de ``raw`` da palavra ``first`` à palavra ``last``, inclusive."""
        return self.raw[self.spans[first][0] : self.spans[last][1]]


def read_message(text: str) -> Reading:
    """Lê uma mensagem: qualquer texto; de um muito longo, o começo e o fim."""
    raw = unicodedata.normalize("NFC", _excerpt(text))
    words: list[str] = []
    spans: list[tuple[int, int]] = []
    for word, span in _words(raw):
        if words and words[-1] == "num" and word in _AFTER_NUM:
            words[-1] = "nao"
        if word == "que" and words and words[-1] == "por":
            words[-1], spans[-1] = "porque", (spans[-1][0], span[1])
            continue
        words.append(word)
        spans.append(span)
    return Reading(raw, tuple(words), tuple(spans))


def _excerpt(text: str) -> str:
    if len(text) <= MAX_HEAD + MAX_TAIL:
        return text
    return f"{text[:MAX_HEAD]}\n{text[-MAX_TAIL:]}"


def _words(raw: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """As palavras em forma comum, com o lugar de cada uma."""
    position = 0
    for quoted in _QUOTED.finditer(raw):
        yield from _plain_words(raw, position, quoted.start())
        yield QUOTE, quoted.span()
        position = quoted.end()
    yield from _plain_words(raw, position, len(raw))


def _plain_words(raw: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for match in _TOKEN.finditer(raw, start, end):
        kind, found = match.lastgroup, match[0]
        if kind == "number":
            yield NUMBER, match.span()
        elif kind == "mark":
            yield _mark(found), match.span()
        elif kind == "other":
            if found in _EMOJI_WORDS:
                yield _EMOJI_WORDS[found], match.span()
        else:
            for word in common_forms(found):
                yield word, match.span()


def _mark(found: str) -> str:
    """Um sinal de cada tipo: o mais forte dos que vieram juntos."""
    for mark in "?!":
        if mark in found:
            return mark
    if "…" in found or ".." in found:
        return "…"
    if "." in found or "\n" in found:
        return "."
    return ":" if ":" in found else ","


def common_forms(word: str) -> tuple[str, ...]:
    """A forma comum de uma palavra, às vezes em duas ("oq": "o que")."""
    folded = word.casefold()
    if folded in SPELLINGS:
        return SPELLINGS[folded]
    plain = without_accents(folded)
    if _LAUGH.match(plain):
        return (LAUGH,)
    plain = _LONG.sub(r"\1", plain)
    if plain not in _DOUBLED:
        plain = _DOUBLE_END.sub(r"\1", plain)
    return SPELLINGS.get(plain, (plain,)) if plain else ()
