"""Repetições exatas e quase exatas, e a divisão entre treino e validação.

Exatas: o mesmo SHA-256 do texto sem diferença de maiúsculas e de espaços. Quase exatas: conjuntos
de sequências de 5 palavras com Jaccard de 0,8 ou mais. Comparar todos com todos seria quadrático;
por isso MinHash com LSH (Broder 1997; Leskovec, Rajaraman e Ullman, cap. 3) indica candidatos e só
eles são conferidos, com o Jaccard verdadeiro.

    S  sequências (shingles) distintas de um texto    [S] uint64
    P  permutações do MinHash, PERMUTATIONS           assinatura: [P] uint32
    B  faixas de R permutações; B * R = P             um par com Jaccard j vira candidato com
                                                      probabilidade 1 - (1 - j^R)^B: 0,999997 em 0,8
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from src.utils.documents import Document
from src.utils.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

SHINGLE_WORDS = 5
NEAR_THRESHOLD = 0.8
BANDS, ROWS = 24, 4
PERMUTATIONS = BANDS * ROWS
MIN_FILES_TO_SPLIT = 10  # a partir daqui a validação recebe arquivos inteiros
_FIRST_IN_BUCKET, _LAST_IN_BUCKET = 16, 4  # com quem cada texto de uma mesma faixa é comparado
_SIGNATURE_FLOOR = 0.6  # 5 desvios abaixo de 0,8: sqrt(0,8 * 0,2 / 96) = 0,04
_CHUNK = 2048  # sequências por vez: [2048, P] uint64 cabe no cache do processador
_MAX_CACHED_WORDS = 1 << 20
_MAX_CACHED_SHINGLES = 512
_WORD = re.compile(r"\w+")


def text_digest(text: str) -> str:
    """SHA-256, em hexadecimal, do texto em minúsculas e com um só espaço entre as palavras."""
    normalized = " ".join(text.casefold().split())
    return hashlib.sha256(normalized.encode("utf-8", "surrogatepass")).hexdigest()


class _WordHashes(dict[str, int]):
    """Palavra -> inteiro de 64 bits, o mesmo em qualquer processo e máquina."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MAX_CACHED_WORDS:
            self.clear()
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value


def shingles(text: str, hashes: dict[str, int] | None = None) -> np.ndarray:
    """As sequências de 5 palavras de um texto, como inteiros distintos e em ordem.

    Returns:
        *Shape:* [S] uint64; vazio em textos com menos de 5 palavras.
    """
    import numpy as np

    hashes = _WordHashes() if hashes is None else hashes
    words = np.array([hashes[word] for word in _WORD.findall(text.casefold())], dtype=np.uint64)
    count = len(words) - SHINGLE_WORDS + 1
    if count < 1:
        return np.empty(0, dtype=np.uint64)
    mixed = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE_WORDS):
        mixed = _mix(mixed ^ words[offset : offset + count])
    return np.unique(mixed)


def _mix(values: np.ndarray) -> np.ndarray:
    """Embaralha bits (o final do splitmix64); a aritmética é módulo 2^64, de propósito."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Interseção sobre união de dois conjuntos de ``shingles``; 0 se um deles é vazio."""
    import numpy as np

    if not len(first) or not len(second):
        return 0.0
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


class NearDuplicates:
    """Pares quase idênticos de uma lista de textos, em tempo cerca de linear.

    Args:
        texts: os textos; textos com menos de 5 palavras nunca são quase idênticos a outro.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        self.texts = texts
        self._hashes = _WordHashes()
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._sizes = np.zeros(len(texts), dtype=np.int64)
        self._signatures = np.zeros((len(texts), PERMUTATIONS), dtype=np.uint32)
        for index, text in enumerate(texts):
            values = shingles(text, self._hashes)
            self._sizes[index] = len(values)
            if len(values):
                self._signatures[index] = _signature(values)

    def candidates(self) -> Iterator[tuple[int, int]]:
        """Os pares (posterior, anterior) que vale conferir, em ordem crescente."""
        import numpy as np

        present = np.flatnonzero(self._sizes)
        codes = [self._band_pairs(present, band) for band in range(BANDS)]
        pairs = np.unique(np.concatenate(codes)) if codes else np.empty(0, dtype=np.int64)
        for start in range(0, len(pairs), 1 << 16):
            later, earlier = np.divmod(pairs[start : start + (1 << 16)], len(self.texts))
            for i, j in zip(*self._plausible(later, earlier)):
                yield int(i), int(j)

    def similar(self, i: int, j: int) -> bool:
        """O Jaccard verdadeiro dos dois textos chega ao limiar?"""
        return jaccard(self._shingles(i), self._shingles(j)) >= NEAR_THRESHOLD

    def _shingles(self, index: int) -> np.ndarray:
        """Recalculados e guardados por pouco tempo: guardar todos custaria mais que os textos."""
        if index not in self._cache:
            self._cache[index] = shingles(self.texts[index], self._hashes)
            if len(self._cache) > _MAX_CACHED_SHINGLES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        return self._cache[index]

    def _band_pairs(self, present: np.ndarray, band: int) -> np.ndarray:
        """Os pares que coincidem numa faixa, como ``posterior * n + anterior``.

        Numa faixa com muitos textos, cada um é comparado com os primeiros e com os logo anteriores:
        o primeiro de um grupo é o que fica, e assim o custo não é quadrático.
        """
        import numpy as np

        rows = self._signatures[present, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        keys = np.zeros(len(present), dtype=np.uint64)
        for row in range(ROWS):
            keys = _mix(keys ^ rows[:, row])
        order = np.argsort(keys, kind="stable")  # dentro de uma chave, na ordem da lista
        keys, index = keys[order], present[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else keys
        sizes = np.diff(np.r_[starts, len(keys)]).astype(np.int64)
        first = np.repeat(starts, sizes).astype(np.int64)
        place = np.arange(len(keys)) - first  # posição dentro do grupo da mesma chave
        pairs = []
        for other in range(_FIRST_IN_BUCKET):
            mine = np.flatnonzero(place > other)
            pairs.append(index[mine] * len(self.texts) + index[first[mine] + other])
        for back in range(1, _LAST_IN_BUCKET + 1):
            mine = np.flatnonzero(place >= _FIRST_IN_BUCKET + back)
            pairs.append(index[mine] * len(self.texts) + index[mine - back])
        return np.unique(np.concatenate(pairs))

    def _plausible(self, later: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Só pares cujos tamanhos e assinaturas ainda permitem o limiar."""
        import numpy as np

        a, b = self._sizes[later], self._sizes[earlier]
        keep = np.minimum(a, b) >= NEAR_THRESHOLD * np.maximum(a, b)
        later, earlier = later[keep], earlier[keep]
        equal = (self._signatures[later] == self._signatures[earlier]).mean(axis=1)
        return later[equal >= _SIGNATURE_FLOOR], earlier[equal >= _SIGNATURE_FLOOR]


_PERMUTATION_PARAMETERS: list[Any] = []  # calculados no primeiro uso: numpy não é importado antes


def _signature(values: np.ndarray) -> np.ndarray:
    """O menor valor dos shingles [S] sob cada permutação ``a * x + b``: [P] uint32."""
    import numpy as np

    if not _PERMUTATION_PARAMETERS:
        seeds = np.arange(1, PERMUTATIONS + 1, dtype=np.uint64)
        _PERMUTATION_PARAMETERS.extend([_mix(seeds) | np.uint64(1), _mix(_mix(seeds))])
    a, b = _PERMUTATION_PARAMETERS
    smallest = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(values), _CHUNK):
        permuted = values[start : start + _CHUNK, None] * a + b  # [<=2048, P]
        np.minimum(smallest, permuted.min(axis=0), out=smallest)
    return (smallest >> np.uint64(32)).astype(np.uint32)


def deduplicate(documents: Sequence[Document]) -> tuple[list[Document], int, int]:
    """Fica com a primeira ocorrência de cada texto.

    Returns:
        (documentos que ficam, na ordem; quantos idênticos saíram; quantos quase idênticos saíram)
    """
    seen: set[str] = set()
    unique = []
    for document in documents:
        digest = text_digest(document)
        if digest not in seen:
            seen.add(digest)
            unique.append(document)
    near = NearDuplicates(unique)
    dropped: set[int] = set()
    for i, j in near.candidates():
        if i not in dropped and j not in dropped and near.similar(i, j):
            dropped.add(i)
    kept = [document for index, document in enumerate(unique) if index not in dropped]
    return kept, len(documents) - len(unique), len(dropped)


def duplicate_groups(texts: Sequence[str]) -> list[int]:
    """Para cada texto, o índice do primeiro do seu grupo de idênticos e quase idênticos.

    O grupo é transitivo: se A parece B e B parece C, os três estão juntos.
    """
    groups = _Groups(len(texts))
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        groups.join(index, first.setdefault(text_digest(text), index))
    unique = list(first.values())
    near = NearDuplicates([texts[index] for index in unique])
    for i, j in near.candidates():
        if groups.find(unique[i]) != groups.find(unique[j]) and near.similar(i, j):
            groups.join(unique[i], unique[j])
    return [groups.find(index) for index in range(len(texts))]


class _Groups:
    """Conjuntos disjuntos; o representante é o menor índice."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def find(self, index: int) -> int:
        while self.parent[index] != index:
            self.parent[index] = self.parent[self.parent[index]]
            index = self.parent[index]
        return index

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.find(first), self.find(second)))
        self.parent[high] = low


def split_documents(
    documents: Sequence[Document],
    valid_fraction: float = 0.1,
    seed: int = 42,
    *,
    already_unique: bool = False,
) -> tuple[list[Document], list[Document]]:
    """Divide em treino e validação; o resultado não depende da ordem da lista.

    A unidade é o arquivo, quando há ao menos ``MIN_FILES_TO_SPLIT``; senão, o documento. Textos
    idênticos ou quase idênticos ficam sempre do mesmo lado. Com duas unidades distintas ou mais,
    nenhum lado fica vazio. Um documento só é cortado num parágrafo perto do fim, se tiver vários.

    Args:
        documents: os documentos.
        valid_fraction: parte das unidades que vai para a validação, de 0 (nenhuma) a menos de 1.
        seed: outra semente dá outra divisão.
        already_unique: os documentos vêm de ``deduplicate``; poupa procurar repetições de novo.

    Returns:
        (treino, validação), cada um na ordem original.

    Erros:
        ConfigError: ``valid_fraction`` fora de [0, 1).
    """
    if not 0 <= valid_fraction < 1:
        raise ConfigError(
            f"valid_fraction={valid_fraction!r}: esperado um número de 0 (sem validação) a menos "
            "de 1 (0.1 reserva um décimo)."
        )
    if valid_fraction == 0 or not documents:
        return list(documents), []
    if len(documents) == 1:
        return _split_one(documents[0], valid_fraction)
    groups = list(range(len(documents))) if already_unique else duplicate_groups(documents)
    chosen = _choose_groups(documents, _with_files(documents, groups), valid_fraction, seed)
    train = [document for index, document in enumerate(documents) if index not in chosen]
    return train, [document for index, document in enumerate(documents) if index in chosen]


def _with_files(documents: Sequence[Document], groups: list[int]) -> list[tuple[int, str]]:
    """Para cada documento, (grupo, unidade): junta por arquivo quando há arquivos bastantes.

    Se repetições ligarem todos os arquivos num grupo só, volta-se a dividir por documento.
    """
    files = [document.file for document in documents]
    by_document = [(group, str(index)) for index, group in enumerate(groups)]
    if len(set(files)) < MIN_FILES_TO_SPLIT:
        return by_document
    joined = _Groups(len(documents))
    first: dict[str, int] = {}
    for index, (group, file) in enumerate(zip(groups, files)):
        joined.join(index, group)
        joined.join(index, first.setdefault(file, index))
    by_file = [(joined.find(index), file) for index, file in enumerate(files)]
    return by_file if len({group for group, _ in by_file}) > 1 else by_document


def _choose_groups(
    documents: Sequence[Document], keys: list[tuple[int, str]], fraction: float, seed: int
) -> set[int]:
    """Os índices que vão para a validação.

    Os grupos entram na ordem do SHA-256 da semente com o conteúdo, até a parte pedida das
    unidades, e só enquanto não passarem do dobro dela em caracteres: um arquivo enorme não some do
    treino por azar. Se nenhum couber, entra o menor.
    """
    members: dict[int, list[int]] = {}
    for index, (number, _) in enumerate(keys):
        members.setdefault(number, []).append(index)
    if len(members) < 2:
        return set()
    order = sorted(members.values(), key=lambda group: _draw(documents, group, seed))
    target = max(1, round(fraction * len({unit for _, unit in keys})))
    limit = 2 * fraction * sum(map(len, documents))
    chosen: set[int] = set()
    units, characters, groups_left = 0, 0, len(order)
    for group in order:
        size = len({keys[index][1] for index in group})
        length = sum(len(documents[index]) for index in group)
        if units + size <= target and characters + length <= limit and groups_left > 1:
            chosen.update(group)
            units, characters, groups_left = units + size, characters + length, groups_left - 1
    return chosen or set(min(order, key=lambda group: sum(len(documents[i]) for i in group)))


def _draw(documents: Sequence[Document], group: list[int], seed: int) -> str:
    """O sorteio de um grupo: depende só da semente e dos textos dele."""
    contents = "".join(sorted(text_digest(documents[index]) for index in group))
    return hashlib.sha256(f"{seed}:{contents}".encode()).hexdigest()


def _split_one(document: Document, fraction: float) -> tuple[list[Document], list[Document]]:
    """Corta um texto puro no parágrafo mais perto do ponto pedido; conversas ficam inteiras."""
    cuts: Iterable[int] = (match.start() for match in re.finditer(r"\n\s*\n", document.strip()))
    positions = [] if document.messages is not None else list(cuts)
    if not positions:
        return [document], []
    text, wanted = document.strip(), (1 - fraction) * len(document)
    cut = min(positions, key=lambda position: abs(position - wanted))
    parts = [text[:cut].strip(), text[cut:].strip()]
    if len(set(duplicate_groups(parts))) < 2:
        return [document], []
    return [document.with_text(parts[0])], [document.with_text(parts[1])]
