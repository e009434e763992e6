"""Um 5-grama interpolado sobre tokens: a régua simples ao lado da qual se lê o bits por byte.

Suavização de Kneser-Ney interpolada com um desconto por ordem:

    p(w | h) = max(c(h, w) - d, 0) / c(h) + d * n(h) / c(h) * p(w | h')

onde ``h'`` é ``h`` sem o token mais antigo e ``n(h)`` é quantos tokens diferentes seguem ``h``. Nas
ordens menores, as contagens são de contextos distintos. Abaixo do unigrama está a distribuição
uniforme sobre o vocabulário, de modo que nenhuma probabilidade é zero.

Fonte: Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence


class InterpolatedNGram:
    """Modelo de n-gramas com Kneser-Ney interpolado.

    Args:
        vocab_size: tamanho V do vocabulário.
        order: n; 5 por padrão.
    """

    def __init__(self, vocab_size: int, order: int = 5) -> None:
        self.vocab_size, self.order = vocab_size, order
        # por ordem: contexto -> {token: contagem}
        self.counts: list[dict[tuple[int, ...], Counter[int]]] = []
        self.totals: list[dict[tuple[int, ...], int]] = []
        self.discounts: list[float] = []

    def fit(self, sequences: Iterable[Sequence[int]]) -> "InterpolatedNGram":
        """Conta os n-gramas de ``sequences``; nada atravessa de uma sequência a outra."""
        grams: Counter[tuple[int, ...]] = Counter()
        for tokens in sequences:
            for end in range(1, len(tokens)):
                grams[tuple(tokens[max(0, end - self.order + 1) : end + 1])] += 1
        # início de sequência: históricos curtos contam também nas ordens menores
        by_order: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(self.order)]
        for gram, count in grams.items():
            by_order[len(gram) - 1][gram] += count
        for n in range(self.order - 1, 0, -1):
            for gram in by_order[n]:  # contagem de continuação: contextos distintos à esquerda
                by_order[n - 1][gram[1:]] += 1
        self._index(by_order)
        return self

    def _index(self, by_order: list[Counter[tuple[int, ...]]]) -> None:
        for grams in by_order:
            table: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
            for gram, count in grams.items():
                table[gram[:-1]][gram[-1]] += count
            self.counts.append(dict(table))
            self.totals.append({h: sum(c.values()) for h, c in table.items()})
            once = sum(1 for c in grams.values() if c == 1)
            twice = sum(1 for c in grams.values() if c == 2)
            self.discounts.append(once / (once + 2 * twice) if once else 0.5)

    def probability(self, history: Sequence[int], token: int) -> float:
        """p(token | history), somando 1 sobre o vocabulário."""
        p = 1.0 / self.vocab_size
        for n in range(self.order):
            if n > len(history):
                break
            context = tuple(history[len(history) - n :]) if n else ()
            followers = self.counts[n].get(context)
            if followers is None:
                continue
            total, discount = self.totals[n][context], self.discounts[n]
            reserved = discount * len(followers) / total
            p = max(followers.get(token, 0) - discount, 0.0) / total + reserved * p
        return p

    def nats(self, tokens: Sequence[int], scored: Sequence[bool] | None = None) -> float:
        """Soma de -ln p de cada token depois do primeiro (só os marcados em ``scored``)."""
        total = 0.0
        for end in range(1, len(tokens)):
            if scored is None or scored[end]:
                history = tokens[max(0, end - self.order + 1) : end]
                total -= math.log(self.probability(history, tokens[end]))
        return total
