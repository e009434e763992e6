"""Se uma resposta é aceitável: um critério escrito, conferido por programa.

Uma resposta é aceitável quando

1. tem ao menos um dos termos esperados, como palavras inteiras, sem diferença de acentos e
   maiúsculas;
2. não tem nenhum dos termos recusados, os que denunciam a resposta a outra pergunta;
3. termina como uma frase, e não no meio de uma;
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
_SENTENCE_END = re.compile(r"[.!?…][\"”')\]]*$")


def has_term(text: str, term: str) -> bool:
    """Se ``term`` aparece em ``text`` como palavras inteiras, sem ver acentos nem maiúsculas.

    Um número não vale como pedaço de outro: "600" não está em "1.600" nem em "600,5".
    """
    found = rf"(?<!\w)(?<!\d[.,]){re.escape(without_accents(term))}(?![.,]?\d|\w)"
    return re.search(found, without_accents(text)) is not None


def repeats_itself(text: str, size: int = REPEATED_WORDS) -> bool:
    """Se uma mesma sequência de ``size`` palavras aparece mais de uma vez."""
    words = re.findall(r"\w+", without_accents(text))
    runs = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return len(set(runs)) < len(runs)


def acceptable(answer: str, expected: Iterable[str], refused: Iterable[str] = ()) -> bool:
    """Se ``answer`` passa no critério do alto deste arquivo."""
    return (
        any(has_term(answer, term) for term in expected)
        and not any(has_term(answer, term) for term in refused)
        and _SENTENCE_END.search(answer.strip()) is not None
        and not repeats_itself(answer)
    )
