"""Camada state-space (SSM): memória linear da sequência, calculada por varredura paralela.

Glossário (letra, significado, forma):
    B  lote                               L  comprimento da sequência
    D  largura do modelo (hidden_size)    N  dimensão do estado (state_size)

    x  entrada               [B, L, D]    u  entrada projetada: in_proj(x)      [B, L, N]
    A  transição do estado   [N, N]       v  entrada do estado: B u             [B, L, N]
    B  matriz de entrada     [N, N]       h  estado                             [B, L, N]
    C  matriz de saída       [D, N]       y  saída                              [B, L, D]
    D  ligação direta        [D]          k  continua (1) ou recomeça (0)       [B, L, 1]

    h_t = A (k_t h_{t-1}) + B in_proj(x_t)
    y_t = C h_t + D * x_t          (vezes silu(gate(x_t)), se houver porta)

``k_t = 0`` zera a memória no início de cada documento de uma sequência empacotada.

Fontes: Gu et al., "Efficiently Modeling Long Sequences with Structured State Spaces" (2022);
a varredura por redução de pares é a de Blelloch, "Prefix Sums and Their Applications" (1990);
o limite do raio espectral usa a fórmula de Gelfand, rho(A) <= ||A^m||^(1/m).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_RADIUS = 0.9995  # raio espectral máximo de A: abaixo de 1, o estado não explode
SQUARINGS = 6  # Gelfand com m = 2^6 = 64
SHORTEST_MEMORY, LONGEST_MEMORY = 0.3, 32.0  # escalas de tempo de A no início, em tokens


def bounded_transition(matrix: Tensor, radius: float = MAX_RADIUS) -> Tensor:
    """Encolhe ``matrix`` [N, N], se preciso, até o seu raio espectral caber em ``radius``.

    ``||A^64||_F^(1/64)`` é um limite superior do raio espectral (Gelfand). A potência é
    renormalizada a cada quadrado, em escala logarítmica, para não transbordar. Diferenciável.
    """
    power, log_norm = matrix, matrix.new_zeros(())
    for _ in range(SQUARINGS):
        norm = power.norm().clamp_min(1e-30)
        power = power / norm
        log_norm = 2 * (log_norm + norm.log())
        power = power @ power
    log_bound = (log_norm + power.norm().clamp_min(1e-30).log()) / 2**SQUARINGS
    return matrix * torch.exp(torch.clamp(math.log(radius) - log_bound, max=0.0))


def scan(A: Tensor, v: Tensor, keep: Tensor | None = None, state: Tensor | None = None) -> Tensor:
    """Todos os estados de ``h_t = A (k_t h_{t-1}) + v_t`` em O(log L) passos paralelos.

    Cada par de instantes vira um só: ``h_{2i+1} = A² h_{2i-1} + (A v_{2i} + v_{2i+1})``, uma
    recorrência igual com metade do comprimento. Custa cerca de 2 L N² operações no total. O laço
    token a token, que dá o mesmo resultado, está em ``tests/reference.py``.

    Args:
        A: [N, N]. v: [B, L, N]. keep: [B, L, 1] com 0 onde a memória recomeça; ``None`` é tudo 1.
        state: estado anterior [B, N]; ``None`` é zero.

    Returns:
        h: [B, L, N].
    """
    if state is not None:
        carried = (state @ A.T).unsqueeze(1)  # [B, 1, N]
        first = v[:, :1] + (carried if keep is None else carried * keep[:, :1])
        v = torch.cat([first, v[:, 1:]], dim=1)
    return _scan_pairs(A, v, keep)


def _scan_pairs(A: Tensor, v: Tensor, keep: Tensor | None) -> Tensor:
    length = v.shape[1]
    if length == 1:
        return v
    if length % 2:
        head = _scan_pairs(A, v[:, :-1], None if keep is None else keep[:, :-1])
        carried = head[:, -1:] @ A.T
        last = v[:, -1:] + (carried if keep is None else carried * keep[:, -1:])
        return torch.cat([head, last], dim=1)
    even, odd = v[:, 0::2], v[:, 1::2]  # [B, L/2, N] cada
    pushed = even @ A.T
    if keep is None:
        odd_states = _scan_pairs(A @ A, pushed + odd, None)
        carried = odd_states[:, :-1] @ A.T
    else:
        keep_even, keep_odd = keep[:, 0::2], keep[:, 1::2]
        odd_states = _scan_pairs(A @ A, pushed * keep_odd + odd, keep_even * keep_odd)
        carried = (odd_states[:, :-1] @ A.T) * keep_even[:, 1:]
    even_states = torch.cat([even[:, :1], even[:, 1:] + carried], dim=1)
    return torch.stack([even_states, odd_states], dim=2).flatten(1, 2)


class StateSpaceLayer(nn.Module):
    """Camada state-space discreta e aprendida.

    Args:
        hidden_size: largura D da entrada e da saída.
        state_size: dimensão N do estado; ``None`` é ``hidden_size // 4`` (mínimo 16).
        gated: multiplica a saída por ``silu(gate(x))``.

    *Shape:* ``x`` [B, L, D] -> [B, L, D].
    """

    def __init__(
        self, hidden_size: int, state_size: int | None = None, gated: bool = False
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.state_size = state_size or max(hidden_size // 4, 16)
        N = self.state_size
        self.in_proj = nn.Linear(hidden_size, N)
        self.A = nn.Parameter(torch.empty(N, N))
        self.B = nn.Parameter(torch.empty(N, N))
        self.C = nn.Parameter(torch.empty(hidden_size, N))
        self.D = nn.Parameter(torch.empty(hidden_size))
        self.gate = nn.Linear(hidden_size, hidden_size) if gated else None
        self._bounded: tuple[tuple, Tensor] | None = None  # (chave, A limitada), fora do treino
        self.reset_parameters()

    @staticmethod
    def initial_matrices(state_size: int) -> tuple[Tensor, Tensor]:
        """A e B [N, N] do início: memórias de 0,3 a 32 tokens e estado de variância um.

        As escalas de tempo tau se espalham em progressão geométrica; ``A = diag(exp(-1/tau))`` e
        ``B = diag(sqrt(1 - A²))``.
        """
        low, high = math.log(SHORTEST_MEMORY), math.log(LONGEST_MEMORY)
        decay = torch.exp(-1.0 / torch.exp(torch.linspace(low, high, state_size)))
        return torch.diag(decay), torch.diag(torch.sqrt(1.0 - decay**2))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Reinicia A, B, C e D (``in_proj`` e ``gate`` já nascem com o padrão do PyTorch)."""
        A, B = self.initial_matrices(self.state_size)
        self.A.copy_(A)
        self.B.copy_(B)
        self.C.normal_(0.0, 0.02)
        self.D.zero_()

    def transition(self) -> Tensor:
        """A matriz A com o raio limitado [N, N]; fora do treino é calculada uma vez só."""
        if torch.is_grad_enabled() and self.A.requires_grad:
            return bounded_transition(self.A)
        if self.A.is_inference():
            return bounded_transition(self.A)
        mode = torch.is_inference_mode_enabled()  # o que nasce nele não serve ao gradiente
        key = (self.A.data_ptr(), self.A._version, self.A.dtype, self.A.device, mode)
        if self._bounded is None or self._bounded[0] != key:
            with torch.no_grad():
                self._bounded = (key, bounded_transition(self.A))
        return self._bounded[1]

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        keep: Tensor | None = None,
        state: Tensor | None = None,
        return_states: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Processa a sequência inteira de uma vez.

        Args:
            x: [B, L, D].
            mask: [B, L] com 0 nas posições de preenchimento, que não entram no estado.
            keep: [B, L] com 0 no primeiro token de cada documento empacotado.
            state: estado [B, N] deixado pelos tokens anteriores.
            return_states: devolve também todos os estados [B, L, N].

        Returns:
            y [B, L, D], ou ``(y, h)``.
        """
        u = self.in_proj(x)  # [B, L, N]
        if mask is not None:
            u = u * mask.unsqueeze(-1).to(u.dtype)
        flags = None if keep is None else keep.unsqueeze(-1).to(u.dtype)
        h = scan(self.transition().to(u.dtype), u @ self.B.T, flags, state)
        y = self._output(x, h)
        return (y, h) if return_states else y

    def _output(self, x: Tensor, h: Tensor) -> Tensor:
        y = h @ self.C.T + self.D * x
        return y if self.gate is None else y * F.silu(self.gate(x))

    def step(self, x_t: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Um token por vez: ``x_t`` [B, D], ``state`` [B, N] -> ``(y_t [B, D], estado [B, N])``."""
        h = self.in_proj(x_t) @ self.B.T
        if state is not None:
            h = h + state @ self.transition().T
        return self._output(x_t, h), h
