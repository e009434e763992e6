"""Como o vocabulário nasce: BPE de bytes em dois estágios, na linha do SuperBPE.

Estágio 1: BPE dentro das palavras (Sennrich et al. 2016, arXiv 1508.07909; em bytes, como no
GPT-2). Estágio 2: a parte final do vocabulário são fusões que podem atravessar o espaço entre
palavras, aprendidas depois delas (SuperBPE, Liu et al. 2025, arXiv 2503.13423). Deixar as fusões
cruzarem espaços desde o início é pior: elas tomam o lugar de palavras inteiras.

Por que o estágio 1 não muda quando o pré-tokenizador passa a juntar palavras: toda fusão do
estágio 1 tem o espaço, se o tem, só no começo; portanto nenhuma junta o fim de uma palavra ao
espaço da seguinte. E as do estágio 2 vêm depois, com prioridade menor.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from src.utils.errors import NoDataError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

SPACE_BYTE = "Ġ"
"""Como o BPE de bytes escreve o byte 0x20."""

MAX_WORDS = 4
"""Palavras que um só token pode abranger."""

# As peças, na sintaxe de Oniguruma usada por ``tokenizers.Regex``.
_MONEY = r"(?:R|US)\$"
_LETTERS = r"\p{L}[\p{L}\p{M}]*"
_WORD = f"{_LETTERS}(?:[-\u2011'’]{_LETTERS})*"  # U+2011 é o hífen que não quebra linha
_WORDS = rf"(?!{_MONEY}){_WORD}"
# Até 4 algarismos (anos) são uma peça; números maiores se dividem em grupos de três a partir da
# direita, como os milhares. O limite na antevisão mantém o tempo linear em números gigantes.
_DIGITS = r"\p{N}{1,4}(?!\p{N})|\p{N}{1,3}(?=(?:\p{N}{3}){1,6}(?!\p{N}))|\p{N}{1,3}"
_REST = rf" ?(?:{_DIGITS})| ?[^\s\p{{L}}\p{{N}}]+|[\r\n]+|[^\S\r\n]+(?!\S)|[^\S\r\n]+"

WORD_PATTERN = rf" ?{_MONEY}| ?{_WORD}|{_REST}"
"""Uma palavra por peça, com hífens e apóstrofos internos: ``dá-lo-ia``, ``d'água``."""

RUN_PATTERN = rf" ?{_MONEY}| ?{_WORDS}(?: {_WORDS})*|{_REST}"
"""Uma sequência de palavras por peça; pontuação, algarismos e quebras de linha a interrompem."""

_CHUNK_CHARS = 1 << 14  # trechos entregues de uma vez à biblioteca
_BATCH_CHUNKS = 64
_FIRST_CHAR = 0x20000  # id do estágio 1 -> caractere (acima dos substitutos, sem buracos)


def train_bpe(
    texts: Iterable[str], vocab_size: int, min_frequency: int, superword_fraction: float
) -> "Tokenizer":
    """Treina o BPE de dois estágios; os mesmos textos dão sempre o mesmo resultado.

    Args:
        texts: percorridos duas vezes quando há estágio 2; um gerador é guardado na memória. Para
            um corpus maior que ela, passe um objeto que se possa percorrer de novo.
        vocab_size: entradas no máximo, sem contar tokens de controle (>= 256).
        min_frequency: ocorrências mínimas de um par para fundi-lo.
        superword_fraction: parte de ``vocab_size`` deixada ao estágio 2 (0 o desliga).

    Returns:
        O ``tokenizers.Tokenizer``, ainda sem tokens de controle. Com pouco texto o vocabulário
        fica menor do que o pedido.

    Erros:
        NoDataError: não há texto algum.
        UsageError: ``texts`` é um texto só, ou um item não é texto.
    """
    texts = _reiterable(texts)
    superwords = int(superword_fraction * vocab_size) if superword_fraction > 0 else 0
    tokenizer = train_words(texts, max(256, vocab_size - superwords), min_frequency)
    room = min(superwords, vocab_size - tokenizer.get_vocab_size())
    if room <= 0:
        return tokenizer
    merges = _learn_superwords(tokenizer, texts, room, min_frequency)
    return extend(tokenizer, merges) if merges else tokenizer


def _reiterable(texts: Iterable[str]) -> Iterable[str]:
    if isinstance(texts, (str, bytes)):
        raise UsageError(
            "esperada uma coleção de textos e veio um texto só; para treinar com ele, use [texto]."
        )
    if not isinstance(texts, Iterable):
        raise UsageError(f"textos do tipo {type(texts).__name__}: esperada uma coleção de str.")
    return list(texts) if iter(texts) is texts else texts


def _chunks(texts: Iterable[str]) -> Iterator[str]:
    """Os textos em trechos de uns 16 mil caracteres, cortados só depois de quebras de linha."""
    found = False
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"texto {index} do treino: esperado str e veio {type(text).__name__}.")
        found = found or bool(text)
        yield from _split(valid_text(text))
    if not found:
        raise NoDataError(
            "Nenhum texto para treinar o tokenizador. Passe ao menos um texto não vazio."
        )


def _split(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start + _CHUNK_CHARS)
        end = len(text) if end < 0 else end
        while end < len(text) and text[end] in "\r\n":
            end += 1
        yield text[start:end]
        start = end


def valid_text(text: str) -> str:
    """O texto com os substitutos UTF-16 resolvidos: pares viram o caractere; isolados, U+FFFD.

    Um ``str`` de Python pode conter substitutos (JSON malfeito, ``surrogateescape``), que não são
    texto Unicode e não têm bytes em UTF-8. Qualquer outro texto volta como veio.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def byte_level(pattern: str) -> "PreTokenizer":
    """O pré-tokenizador: corta por ``pattern`` e escreve cada byte como um caractere visível."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train_words(
    texts: Iterable[str], vocab_size: int, min_frequency: int, pattern: str = WORD_PATTERN
) -> "Tokenizer":
    """Estágio 1: BPE de bytes dentro das peças de ``pattern``. Os 256 bytes entram sempre."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level(pattern)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_chunks(texts), trainer=trainer)
    return tokenizer


def _learn_superwords(
    words: "Tokenizer", texts: Iterable[str], count: int, min_frequency: int
) -> list[tuple[str, str]]:
    """Estágio 2: até ``count`` tokens novos, como fusões de pares escritos em bytes.

    Cada token do estágio 1 vira um caractere próprio, cada peça de ``RUN_PATTERN`` uma linha, e um
    segundo BPE, também nativo, aprende sobre essas linhas. Suas fusões voltam à forma de bytes.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    names = [str(words.id_to_token(i)) for i in range(words.get_vocab_size())]
    second = Tokenizer(models.BPE())
    second.pre_tokenizer = pre_tokenizers.Split(Regex("\n"), behavior="removed")
    trainer = trainers.BpeTrainer(
        # A folga cobre as fusões que _usable_merges recusa.
        vocab_size=len(names) + count + count // 4 + 64,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=[chr(_FIRST_CHAR + i) for i in range(len(names))],
    )
    second.train_from_iterator(_as_characters(words, texts), trainer=trainer)
    learned = json.loads(second.to_str())["model"]["merges"]
    pairs = [(_translate(names, left), _translate(names, right)) for left, right in learned]
    return _usable_merges(pairs, set(names), count)


def _translate(names: list[str], characters: str) -> str:
    return "".join(names[ord(character) - _FIRST_CHAR] for character in characters)


def _as_characters(words: "Tokenizer", texts: Iterable[str]) -> Iterator[str]:
    """Os textos com um caractere por token do estágio 1 e uma peça de ``RUN_PATTERN`` por linha."""
    from tokenizers import Tokenizer

    runs = Tokenizer.from_str(words.to_str())
    runs.pre_tokenizer = byte_level(RUN_PATTERN)
    chunks = _chunks(texts)
    while batch := list(islice(chunks, _BATCH_CHUNKS)):
        for encoding in runs.encode_batch(batch, add_special_tokens=False):
            codes = np.array(encoding.ids, dtype=np.uint32) + _FIRST_CHAR
            pieces = np.array(encoding.word_ids, dtype=np.int64)
            ends = np.flatnonzero(np.diff(pieces)) + 1
            lines = np.insert(codes, ends, ord("\n")).astype("<u4")
            yield lines.tobytes().decode("utf-32-le")


def _usable_merges(
    pairs: list[tuple[str, str]], known: set[str], count: int
) -> list[tuple[str, str]]:
    """As fusões, na ordem aprendida, até ``count`` tokens novos, sem repetir.

    Dois caminhos podem levar ao mesmo token (``ab+c`` e ``a+bc``); eles contam como um.
    """
    known = set(known)
    kept: dict[tuple[str, str], None] = {}
    for left, right in pairs:
        token = left + right
        parts_exist = left in known and right in known
        if not parts_exist or word_count(token) > MAX_WORDS:
            continue
        if token not in known:
            if count == 0:
                break
            count -= 1
            known.add(token)
        kept[(left, right)] = None
    return list(kept)


def word_count(token: str) -> int:
    """Quantas palavras, inteiras ou em parte, um token (em bytes visíveis) abrange."""
    return len(token.replace(SPACE_BYTE, " ").split())


def extend(words: "Tokenizer", merges: list[tuple[str, str]]) -> "Tokenizer":
    """Acrescenta as fusões do estágio 2, com prioridade menor, e passa a juntar palavras."""
    from tokenizers import Tokenizer

    data = json.loads(words.to_str())
    vocab, known = data["model"]["vocab"], {tuple(pair) for pair in data["model"]["merges"]}
    for pair in merges:
        vocab.setdefault("".join(pair), len(vocab))
        if pair not in known:
            data["model"]["merges"].append(list(pair))
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.pre_tokenizer = byte_level(RUN_PATTERN)
    return tokenizer
