"""Matrizes em 4 bits: como o codificador de textos que vem junto cabe em menos de 20 MB.

Uma matriz é cortada em grupos de ``GROUP`` pesos vizinhos. Cada grupo guarda uma escala (fp16) e,
para cada peso, um inteiro de -8 a 7 em meio byte: peso = inteiro * escala. É o formato Q4_0 do
ggml. Ao abrir, tudo volta a fp32.

    W  [O, I]  a matriz: O saídas, I entradas; I é múltiplo de 32
    N          os grupos: O * I / 32
    codes [N, 16] uint8   dois pesos por byte: o byte j tem o peso j (baixo) e o j + 16 (alto)
    scales [N] float16
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GROUP = 32  # pesos por escala
CODES, SCALES = ".codes", ".scales"  # o fim dos nomes dos dois tensores de cada matriz
_LOWEST, _HIGHEST = -8, 7
#: O inteiro que a ponta do grupo (o peso de maior módulo) pode virar; o 6 é onde o 6,5 acaba.
_PEAK_LEVELS = (-8.0, 8.0, -7.5, 7.5, -7.0, 7.0, -6.5, 6.5, -6.0, 6.0)


def pack(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arredonda uma matriz para 4 bits.

    De cada grupo, a escala é, entre poucas candidatas, a de menor erro quadrático. Uma matriz que
    veio deste formato volta a ele sem perda.

    Args:
        weight: *Shape:* [O, I] float32, com I múltiplo de 32.

    Returns:
        (codes, scales), como no alto do arquivo.
    """
    import numpy as np

    groups = weight.astype(np.float32).reshape(-1, GROUP)
    peak = groups[np.arange(len(groups)), np.abs(groups).argmax(axis=1)]
    best = np.full(len(groups), np.inf, dtype=np.float32)
    scales = np.zeros(len(groups), dtype=np.float16)
    for levels in _PEAK_LEVELS:
        candidate = (peak / levels).astype(np.float16)
        error = np.square(groups - _rounded(groups, candidate) * candidate[:, None]).sum(axis=1)
        better = error < best
        best[better], scales[better] = error[better], candidate[better]
    shifted = (_rounded(groups, scales) - _LOWEST).astype(np.uint8)
    half = GROUP // 2
    return shifted[:, :half] | (shifted[:, half:] << 4), scales


def _rounded(groups: np.ndarray, scales: np.ndarray) -> np.ndarray:
    import numpy as np

    divisor = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.clip(np.rint(groups / divisor[:, None]), _LOWEST, _HIGHEST)


def unpack(codes: np.ndarray, scales: np.ndarray, columns: int) -> np.ndarray:
    """O inverso de ``pack``: [N, 16] e [N] -> [O, ``columns``] float32."""
    import numpy as np

    low, high = codes & 15, codes >> 4
    values = np.concatenate([low, high], axis=1).astype(np.float32) + _LOWEST
    return (values * scales.astype(np.float32)[:, None]).reshape(-1, columns)
