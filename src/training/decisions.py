"""As decisões dos callbacks, como funções puras: só números entram, só números saem.

Glossário do ruído do gradiente (McCandlish et al., "An Empirical Model of Large-Batch Training",
2018, seção 2.2 e apêndice A.1):

    G       o gradiente verdadeiro, sobre todos os dados; ``signal`` é |G|²
    Sigma   a covariância do gradiente de uma linha; ``noise`` é tr(Sigma)
    B       linhas de um lote; o gradiente dele tem E|G_B|² = |G|² + tr(Sigma) / B
    B_ruído tr(Sigma) / |G|²: até ali, dobrar o lote quase corta os passos pela metade; muito além,
            quase só gasta
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from src.utils.errors import LunaError, UsageError

#: O ritmo por minutos espera o bastante para que gravar não passe desta parte do tempo.
MAX_SAVE_SHARE = 0.02
#: Só se muda o lote quando o ruído pede este tanto a mais (ou a menos); entre os dois, nada.
BATCH_STEP = 2


# ---------------------------------------------------------------------- checkpoints


def checkpoint_due(
    step: int,
    last_step: int,
    seconds: float,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    save_seconds: float = 0.0,
    new_best: bool = False,
) -> bool:
    """Se é hora de gravar no passo ``step``.

    Args:
        step, last_step: o passo de agora e o da última gravação.
        seconds: segundos desde a última gravação (ou desde o começo).
        steps: grava nos múltiplos exatos de ``steps``, custe o que custar: é um pedido explícito.
        minutes: grava a cada ``minutes``; ou mais tarde, para que a última gravação, que levou
            ``save_seconds``, não passe de ``MAX_SAVE_SHARE`` do tempo.
        new_best: a avaliação deste passo é a melhor; não espera os minutos, só o custo.
    """
    if step <= last_step:
        return False
    if steps is not None and step % steps == 0:
        return True
    if minutes is None:
        return False
    affordable = save_seconds * (1 - MAX_SAVE_SHARE) / MAX_SAVE_SHARE
    return seconds >= max(0.0 if new_best else minutes * 60, affordable)


def checkpoints_to_remove(
    steps: Collection[int], keep_last: int, best: int | None = None
) -> list[int]:
    """Dos passos gravados, os que já podem sair: nem os ``keep_last`` últimos, nem o ``best``."""
    kept = sorted(steps)[-keep_last:]
    return [step for step in sorted(steps) if step not in kept and step != best]


# ---------------------------------------------------------------------- paciência


def after_evaluation(
    best: float | None, waited: int, value: float, threshold: float = 0.0
) -> tuple[float | None, int]:
    """O novo ``(best, waited)`` depois de medir ``value``; quanto menor, melhor.

    ``waited`` conta as avaliações seguidas sem melhora maior que ``threshold`` sobre ``best``.
    Um valor que não é finito nunca é melhora.
    """
    if math.isfinite(value) and (best is None or value < best - threshold):
        return value, 0
    return best, waited + 1


# ---------------------------------------------------------------------- tamanho do lote


@dataclass(frozen=True)
class NoiseEstimate:
    """``signal`` = |G|² e ``noise`` = tr(Sigma), estimados; sozinhos podem sair negativos."""

    signal: float = 0.0
    noise: float = 0.0

    @property
    def rows(self) -> float:
        """B_ruído, em linhas; infinito quando o sinal se perde no ruído."""
        if self.noise <= 0:
            return 0.0
        return self.noise / self.signal if self.signal > 0 else math.inf

    def averaged(self, new: "NoiseEstimate", decay: float) -> "NoiseEstimate":
        """A média móvel com ``new``, que entra com peso ``1 - decay``.

        As duas partes são suavizadas em separado, e só então divididas: a média das razões seria
        viciada. Como ambas partem de zero, a correção do começo se cancela na razão.
        """
        return NoiseEstimate(
            decay * self.signal + (1 - decay) * new.signal,
            decay * self.noise + (1 - decay) * new.noise,
        )


def noise_scale(
    small_sq: float, big_sq: float, small_size: float, big_size: float
) -> NoiseEstimate:
    """A estimativa não viciada de |G|² e tr(Sigma) a partir de dois tamanhos de lote.

    Args:
        small_sq, big_sq: |gradiente|² médio dos lotes de ``small_size`` e de ``big_size`` linhas.

    Erros:
        LunaError: os tamanhos não são ``0 < small_size < big_size``.
    """
    if not 0 < small_size < big_size:
        raise LunaError(
            f"Ruído do gradiente com lotes de {small_size} e {big_size} linhas: esperado "
            "0 < pequeno < grande. Só observe atualizações com mais de um micro-lote."
        )
    signal = (big_size * big_sq - small_size * small_sq) / (big_size - small_size)
    noise = (small_sq - big_sq) / (1 / small_size - 1 / big_size)
    return NoiseEstimate(signal, noise)


def small_batch(
    weighted_sq: Sequence[float], rows: float, shares: Sequence[float] | None = None
) -> tuple[float, float]:
    """``(small_sq, small_rows)`` para ``noise_scale``, dos micro-lotes de uma atualização.

    O micro-lote i contribui com ``w_i g_i``, em que ``w_i`` é a sua parte dos tokens. Como
    E sum |w_i g_i|² = |G|² sum w_i² + tr(Sigma) / B, dividir por ``sum w_i²`` dá exatamente o lote
    pequeno de ``B sum w_i²`` linhas, também quando os micro-lotes são desiguais.

    Args:
        weighted_sq: |w_i g_i|² de cada micro-lote.
        rows: B, as linhas da atualização inteira.
        shares: ``w_i``, que somam 1; ``None`` são partes iguais.
    """
    shares = shares or [1 / len(weighted_sq)] * len(weighted_sq)
    squares = sum(share * share for share in shares)
    return sum(weighted_sq) / squares, rows * squares


def next_rows_per_step(current: int, noise_rows: float, min_rows: int, max_rows: int) -> int:
    """As linhas da próxima atualização: ``current``, o dobro ou a metade.

    Dobra quando o ruído pede ao menos o dobro, e divide quando pede menos que a metade; entre os
    dois fica como está, para não ir e voltar. O valor é sempre o inicial vezes uma potência de 2.
    """
    if noise_rows >= current * BATCH_STEP and current * BATCH_STEP <= max_rows:
        return current * BATCH_STEP
    halves = current % BATCH_STEP == 0 and current // BATCH_STEP >= min_rows
    if noise_rows < current / BATCH_STEP and halves:
        return current // BATCH_STEP
    return current


def after_out_of_memory(micro_rows: int) -> int:
    """As linhas por micro-lote depois de faltar memória: a metade.

    Erros:
        LunaError: já era uma linha por vez.
    """
    if micro_rows <= 1:
        raise LunaError(
            "Faltou memória mesmo com uma linha por vez. Feche outros programas, reduza o contexto "
            "do treino (max_position_embeddings) ou treine um modelo menor."
        )
    return micro_rows // 2


def require_number(name: str, value: Any, least: float, whole: bool = False) -> None:
    """Confere um número dado por quem chama; ``None`` passa.

    Erros:
        UsageError: ``value`` não é um número finito (inteiro, se ``whole``) ``>= least``.
    """
    if value is None:
        return
    kinds = (int,) if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value < least:
        kind = "um inteiro" if whole else "um número"
        raise UsageError(f"{name}={value!r}: esperado {kind} >= {least}.")
