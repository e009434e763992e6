"""O que se sabe de um treino antes de ele começar: tamanho, velocidade, memória e hora do fim.

Os números vêm de uma sondagem curta (``src/training/probe.py``). ``--max_minutes`` vira ali um
número de passos, que é guardado: um treino interrompido e retomado termina onde terminaria.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from src.utils.numbers import decimal, grouped

#: Parte do tempo que não é passo: validação, checkpoints, respostas ao longo do caminho.
OVERHEAD = 0.06


@dataclass
class TrainingPlan:
    """O plano de um treino.

    parameters, active_parameters: pesos, e os usados por token. trainable: os que o treino muda.
    steps: atualizações. tokens: tokens lidos até o fim, com repetição. data_tokens: os dos dados.
    tokens_per_second, memory_gb, seconds: estimados pela sondagem.
    """

    parameters: int
    active_parameters: int
    trainable: int
    steps: int
    tokens: int
    data_tokens: int
    tokens_per_second: float
    memory_gb: float
    seconds: float
    precision: str = "fp32"

    def to_dict(self) -> dict[str, Any]:
        """Pronto para JSON."""
        return asdict(self)

    def lines(self, now: datetime | None = None) -> list[str]:
        """O plano em português, linha a linha."""
        end = (now or datetime.now()) + timedelta(seconds=self.seconds)
        passes = self.tokens / max(self.data_tokens, 1)
        active = ""
        if self.active_parameters != self.parameters:
            active = f" ({grouped(self.active_parameters)} por token)"
        return [
            f"Modelo: {grouped(self.parameters)} parâmetros{active}"
            + (
                f", dos quais {grouped(self.trainable)} serão treinados."
                if self.trainable != self.parameters
                else "."
            ),
            f"Dados: {grouped(self.data_tokens)} tokens, lidos {decimal(passes, 1)} vezes: "
            f"{grouped(self.tokens)} tokens em {grouped(self.steps)} passos.",
            f"Ritmo: cerca de {grouped(self.tokens_per_second)} tokens/s ({self.precision}), "
            f"{decimal(self.memory_gb, 1)} GB de memória.",
            f"Fim previsto: {describe_end(end, now or datetime.now())} "
            f"({describe_duration(self.seconds)}).",
        ]


def steps_in(minutes: float, seconds_per_step: float) -> int:
    """Quantas atualizações cabem em ``minutes``, descontado o que não é passo; ao menos 1."""
    return max(1, int(minutes * 60 * (1 - OVERHEAD) / max(seconds_per_step, 1e-9)))


def total_seconds(steps: int, seconds_per_step: float) -> float:
    """A duração prevista de ``steps`` atualizações, com a parte que não é passo."""
    return steps * seconds_per_step / (1 - OVERHEAD)


def describe_duration(seconds: float) -> str:
    """``95`` -> "1 min 35 s"; ``7300`` -> "2 h 1 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_end(end: datetime, now: datetime) -> str:
    """A hora do fim; com o dia, se não for hoje."""
    return end.strftime("%H:%M" if end.date() == now.date() else "%d/%m às %H:%M")
