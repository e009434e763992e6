"""Tamanhos prontos de modelo: dados puros, sem importar nada pesado.

``create --size`` escolhe um deles; ``auto`` decide pelo hardware
(``src.utils.hardware_utils.choose_preset``). As dimensões vêm do projeto; os parâmetros e a
memória de cada tamanho são impressos por ``python benchmarks/presets.py`` e estão em
``docs/tamanhos.md``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Dimensões de um tamanho de modelo e o ritmo de treino que combina com ele."""

    hidden_size: int  # largura d do modelo
    num_hidden_layers: int  # blocos
    num_attention_heads: int  # cabeças de atenção; divide hidden_size
    context_length: int  # tokens que o modelo enxerga de uma vez
    vocab_size: int  # tamanho máximo do vocabulário
    learning_rate: float  # taxa do AdamW
    batch_size: int  # sequências por passo, antes da acumulação
    description: str


PRESETS: dict[str, Preset] = {
    "nano": Preset(128, 4, 4, 256, 4096, 2e-3, 8, "para aprender, testar e demonstrar"),
    "mini": Preset(256, 4, 4, 512, 8192, 2e-3, 4, "para um notebook comum, em minutos ou horas"),
    "small": Preset(512, 8, 8, 1024, 16384, 1e-3, 2, "para um computador bom, em horas ou dias"),
    "base": Preset(768, 12, 12, 1024, 32768, 6e-4, 2, "GPT-2 small: pede uma GPU"),
}


def nearest_preset(hidden_size: int) -> Preset:
    """O tamanho pronto de largura mais próxima de ``hidden_size``."""
    return min(PRESETS.values(), key=lambda preset: abs(preset.hidden_size - hidden_size))


#: Com menos caracteres por entrada do vocabulário, saída e entrada dividem a tabela (docs/LOG.md).
TIED_BELOW = 400


def ties_embeddings(characters: int, vocab_size: int) -> bool:
    """Se um modelo novo, de ``characters`` caracteres de texto, deve dividir a tabela com a saída.

    Com muito texto, uma projeção própria aprende mais depressa e permite a partida por bigramas;
    com pouco, só decora mais.
    """
    return characters < TIED_BELOW * vocab_size


#: Números do modo leve da referência: `use_lightweight`, `--lightweight`.
LIGHTWEIGHT_HIDDEN_SIZE = 256
LIGHTWEIGHT_NUM_LAYERS = 4
LIGHTWEIGHT_BATCH_SIZE = 1
LIGHTWEIGHT_ACCUMULATION = 8
LIGHTWEIGHT_CONTEXT = 256
