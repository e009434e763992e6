"""O dropout de um treino: quanto, e onde."""

from torch import nn

#: Repetir os mesmos dados faz decorar; o dropout segura um pouco (medido em docs/LOG.md).
REPEATED_PASSES, REPEATED_DROPOUT = 8, 0.1


def dropout_for(training_tokens: float, data_tokens: int) -> float:
    """O dropout que ninguém escolheu: 0, ou 0,1 quando os mesmos dados passam muitas vezes.

    Args:
        training_tokens: os que o treino vai ler, com repetição. data_tokens: os que há.
    """
    passes = round(training_tokens / max(data_tokens, 1), 6)
    return REPEATED_DROPOUT if passes >= REPEATED_PASSES else 0.0


def set_dropout(model: nn.Module, probability: float) -> None:
    """Põe ``probability`` em todo dropout do caminho residual (o da atenção fica em zero)."""
    for name, module in model.named_modules():
        others = name.endswith("attn_dropout") or "lora_dropout" in name
        if isinstance(module, nn.Dropout) and not others:
            module.p = probability
