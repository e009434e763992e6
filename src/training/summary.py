"""O que dizer no fim de um treino: os números e, em palavras simples, quanto confiar no modelo."""

from dataclasses import asdict, dataclass, field
from typing import Any

from src.evaluation.likelihood import Likelihood
from src.training.curriculum import StageResult, stage_table
from src.training.finetune import Forgetting
from src.training.plan import TrainingPlan
from src.utils.numbers import decimal, grouped

#: Bits por byte na validação -> o que esperar. É uma régua de leitura, feita olhando respostas de
#: modelos pequenos deste projeto: com 2,2 ainda saem palavras soltas. Modelos grandes de hoje ficam
#: abaixo de 0,9 em português comum.
TRUST_LEVELS = (
    (
        1.8,
        "ainda pequeno demais para responder bem: espere frases soltas e fatos inventados. "
        "Mais dados e mais tempo de treino ajudam",
    ),
    (
        1.3,
        "forma frases em português, mas inventa fatos e se perde em conversas longas: "
        "não confie no que ele afirma",
    ),
    (
        0.95,
        "escreve com fluência sobre o que viu no treino; confira tudo o que for fato",
    ),
    (0.0, "escreve muito bem para o seu tamanho; ainda assim, confira tudo o que for fato"),
)
UNKNOWN_TRUST = "sem dados de validação não dá para dizer o quanto ele aprendeu: use --valid_data"
MEMORISED_GAP = 1.5  # bits por byte a mais na validação que no treino


def trust_in_words(valid_bpb: float | None, train_bpb: float | None = None) -> str:
    """Traduz bits por byte em o que esperar das respostas."""
    if valid_bpb is None:
        return UNKNOWN_TRUST
    words = next(text for limit, text in TRUST_LEVELS if valid_bpb >= limit)
    if train_bpb is not None and valid_bpb - train_bpb > MEMORISED_GAP:
        words += (
            ". Ele decorou o treino (vai bem no que leu e mal no resto): "
            "responde sobre o que estava nos dados, e pouco além"
        )
    return words


@dataclass
class TrainingSummary:
    """O resultado de um treino.

    steps: atualizações. tokens: tokens processados. seconds: tempo de relógio do treino.
    train_loss: perda média, em nats. before, after: validação antes e depois. train: o próprio
    treino, depois, numa amostra. interrupted: se parou por Ctrl-C. plan: o que se previa.
    stages: um por estágio do currículo. forgetting: o que se esqueceu dos dados antigos.
    """

    steps: int
    tokens: int
    seconds: float
    train_loss: float | None = None
    before: Likelihood | None = None
    after: Likelihood | None = None
    train: Likelihood | None = None
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    plan: TrainingPlan | None = None
    stages: list[StageResult] = field(default_factory=list)
    forgetting: Forgetting | None = None

    @property
    def bits_per_byte(self) -> float | None:
        """Bits por byte da validação depois do treino; ``None`` sem validação."""
        return self.after.bits_per_byte if self.after else None

    @property
    def trust(self) -> str:
        """Quanto confiar no modelo, em palavras."""
        return trust_in_words(self.bits_per_byte, self.train.bits_per_byte if self.train else None)

    def to_dict(self) -> dict[str, Any]:
        """Como dicionário, pronto para JSON."""
        extra: dict[str, Any] = {"bits_per_byte": self.bits_per_byte, "trust": self.trust}
        if self.forgetting is not None:
            extra["forgetting"] = self.forgetting.to_dict()
        return asdict(self) | extra

    def lines(self) -> list[str]:
        """O resumo em português, linha a linha."""
        rate = self.tokens / max(self.seconds, 1e-9)
        lines = list(self.notes)
        lines.append(
            f"{self.steps} passos, {grouped(self.tokens)} tokens em {self.seconds:.0f} s "
            f"({grouped(rate)} tokens/s)."
        )
        if self.before and self.after:
            lines.append(
                f"Validação: {decimal(self.before.bits_per_byte)} -> "
                f"{decimal(self.after.bits_per_byte)} bits por byte "
                f"(perplexidade {decimal(self.after.perplexity, 1)})."
            )
        if self.train:
            lines.append(f"No próprio treino: {decimal(self.train.bits_per_byte)} bits por byte.")
        lines += stage_table(self.stages) if self.stages else []
        if self.forgetting is not None:
            lines.append(self.forgetting.line())
        lines.append(f"Quanto confiar: {self.trust}.")
        return lines
