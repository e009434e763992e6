"""Se uma resposta é aceitável: um critério escrito, conferido por programa.

Uma resposta é aceitável quando

1. tem ao menos um dos termos esperados, como palavras inteiras, sem diferença de acentos,
   maiúsculas e espaços;
2. não tem nenhum dos termos recusados, os que denunciam a resposta a outra pergunta;
3. termina como uma frase, e não no meio de uma (depois do ponto pode vir um emoji);
4. não repete uma sequência de quatro palavras.

O critério não vê se o resto da resposta é verdade: quem lê, sim. Por isso as respostas são sempre
mostradas junto da contagem.
"""

import re
from collections.abc import Iterable

from src.utils.text_cleaning import without_accents

CRITERION = (
    "Aceitável: tem um termo esperado e nenhum recusado, termina como uma frase e não repete "
    "quatro palavras seguidas."
)
REPEATED_WORDS = 4
_EMOJI = "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\u200d\ufe0e\ufe0f"
#: O sinal que fecha a frase; depois dele, só aspas, parênteses, espaços e emojis.
_SENTENCE_END = re.compile(rf"[.!?…][\"”'’»)\]\s{_EMOJI}]*$")


def has_term(text: str, term: str) -> bool:
    """Se ``term`` aparece em ``text`` como palavras inteiras.

    Não importam acentos, maiúsculas nem quantos espaços ou quebras de linha há entre as palavras.
    Um número não vale como pedaço de outro ("600" não está em "1.600" nem em "600,5"), mas vale
    seguido de zero centavos ("1.600" está em "1.600,00").

    Erros:
        ValueError: o termo está vazio: apareceria em qualquer resposta.
    """
    plain = _plain(term)
    if not plain:
        raise ValueError(f"termo {term!r} vazio: esperada ao menos uma palavra ou um número.")
    before, after = r"(?<!\w)", r"(?!\w)"
    if plain[0].isdecimal():
        before += r"(?<!\d[.,])"
    if plain[-1].isdecimal():
        cents = "" if re.search(r",\d+$", plain) else "(?:,00?)?"
        after = cents + r"(?![.,]?\d|\w)"
    return re.search(before + re.escape(plain) + after, _plain(text)) is not None


def _plain(text: str) -> str:
    """Sem acentos nem maiúsculas, e com um só espaço entre as palavras."""
    return " ".join(without_accents(text).split())


def repeats_itself(text: str, size: int = REPEATED_WORDS) -> bool:
    """Se uma mesma sequência de ``size`` palavras aparece mais de uma vez."""
    words = re.findall(r"\w+", without_accents(text))
    runs = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return len(set(runs)) < len(runs)


def acceptable(answer: str, expected: Iterable[str], refused: Iterable[str] = ()) -> bool:
    """Se ``answer`` passa no critério do alto deste arquivo.

    Erros:
        ValueError: há um termo vazio, entre os esperados ou os recusados.
    """
    wanted = [has_term(answer, term) for term in expected]
    unwanted = [has_term(answer, term) for term in refused]
    return (
        any(wanted)
        and not any(unwanted)
        and _SENTENCE_END.search(answer.strip()) is not None
        and not repeats_itself(answer)
    )
