"""``Config``: as escolhas de todo o sistema, em seções, como dados puros.

Nada pesado é importado aqui: ``ModelConfig`` (que depende de transformers e torch) só é carregada
quando ``config.model`` ou o próprio nome é usado pela primeira vez. Por isso ``main.py models``
responde na hora.

Caminhos relativos partem de ``LUNA_HOME``, se essa variável existir; senão, da pasta de trabalho.
"""

import json
import os
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.errors import ConfigError
from src.config.options import check_fields, option, sampling_option

if TYPE_CHECKING:
    from src.config.model_config import ModelConfig

MODES = ("low_latency", "high_precision")


def luna_home() -> Path:
    """A pasta de onde partem os caminhos relativos."""
    return Path(os.environ.get("LUNA_HOME") or ".")


@dataclass
class TrainingConfig:
    """Como treinar. ``None`` deixa a escolha para o tamanho do modelo e o hardware."""

    num_epochs: float = option(3.0, "passadas pelos dados", type=float, minimum=0.0)
    learning_rate: float | None = option(None, "taxa de aprendizado", type=float, minimum=0.0)
    batch_size: int | None = option(None, "sequências por passo", type=int, minimum=1)
    gradient_accumulation: int = option(1, "passos somados por atualização", minimum=1)
    dropout: float | None = option(None, "dropout", type=float, minimum=0.0, maximum=0.9)
    weight_decay: float = option(0.1, "decaimento dos pesos", minimum=0.0, maximum=1.0)
    warmup_fraction: float = option(0.05, "fração dos passos em aquecimento", minimum=0, maximum=1)
    max_grad_norm: float = option(1.0, "corte da norma do gradiente", minimum=0.0)
    ssm_lr_scale: float = option(0.1, "taxa das matrizes A e B do SSM, relativa", minimum=0.0)
    valid_fraction: float = option(0.1, "parte reservada à validação", minimum=0.0, maximum=0.9)
    seed: int = option(42, "semente dos sorteios", minimum=0)
    max_file_mb: float = option(200.0, "tamanho máximo de um arquivo de dados", minimum=0.001)
    precision: str = option("auto", "contas do treino", choices=("auto", "fp32", "bf16"))
    bigram_start: bool = option(True, "um modelo novo parte das contagens de pares de tokens")
    pair_vectors: int = option(
        131_072, "nessa partida, pares com vetor próprio; 0: nenhum", minimum=0
    )
    corpus_mb: float = option(100.0, "acima disto, em MB, os textos ficam em disco", minimum=0.001)
    lightweight: bool = option(False, "lote, threads e contexto para hardware limitado")


@dataclass
class TokenizerConfig:
    """Como treinar o tokenizador."""

    vocab_size: int = option(8192, "tamanho máximo do vocabulário", minimum=264)
    min_frequency: int = option(2, "ocorrências mínimas de um par para fundi-lo", minimum=1)
    superword_fraction: float = option(
        0.2, "parte final do vocabulário para fusões entre palavras", minimum=0.0, maximum=0.9
    )


#: Citar, gerar com os trechos no contexto, ou não consultar; "auto" decide pelo tamanho do modelo.
RAG_ANSWERS = ("auto", "quote", "generate", "off")
#: Dizer que não há resposta, ou deixar o modelo responder; "auto" decide pelo tamanho do modelo.
RAG_MISSING = ("auto", "decline", "model")
RAG_BACKENDS = ("local", "qdrant")


@dataclass
class RagConfig:
    """Como buscar nos documentos."""

    embedding_dim: int = option(768, "dimensão dos vetores", minimum=1)
    use_faiss: bool = option(True, "usar FAISS quando estiver instalado")
    sentence_transformer_model: str | None = option(
        None, "modelo de vetores; sem ele, o que vem junto; 'nenhum', só palavras", type=str
    )
    chunk_words: int = option(160, "palavras por trecho, no máximo", minimum=20)
    chunk_overlap: int = option(1, "frases repetidas de um trecho no seguinte", minimum=0)
    top_k: int = option(3, "trechos consultados por pergunta", minimum=1)
    min_relevance: float | None = option(
        None, "relevância para responder; sem ela, a calibrada", type=float, minimum=0, maximum=1
    )
    answer: str = option("auto", "como responder com documentos", choices=RAG_ANSWERS)
    when_missing: str = option("auto", "se os documentos não respondem", choices=RAG_MISSING)
    backend: str = option("local", "onde ficam os trechos", choices=RAG_BACKENDS)
    qdrant_url: str | None = option(None, "servidor ou pasta do Qdrant", type=str)
    qdrant_collection: str = option("luna", "coleção do Qdrant", type=str)


@dataclass
class ChatConfig:
    """Como conversar. No sorteio, ``None`` deixa a escolha para a persona."""

    persona: str = option("casual", "estilo de resposta", type=str)
    max_new_tokens: int = option(128, "tokens por resposta, no máximo", minimum=1)
    min_new_tokens: int = option(0, "tokens por resposta, no mínimo", minimum=0)
    temperature: float | None = sampling_option("temperature", None)
    top_k: int | None = sampling_option("top_k", None)
    top_p: float | None = sampling_option("top_p", None)
    min_p: float | None = sampling_option("min_p", None)
    repetition_penalty: float | None = sampling_option("repetition_penalty", None)
    no_repeat_ngram_size: int | None = sampling_option("no_repeat_ngram_size", None)
    seed: int | None = option(None, "semente do sorteio", type=int, minimum=0, maximum=2**62)
    stop: list[str] | None = option(None, "expressões que encerram a resposta", type=list)
    mode: str = option("low_latency", "modo de execução", choices=MODES)
    history: bool = option(True, "guardar as conversas em logs/chat")
    proactive: bool = option(True, "oferecer sugestões sem que se peça")


@dataclass
class FeedbackConfig:
    """Onde ficam as avaliações."""

    path: str = option("feedback.jsonl", "arquivo das avaliações", type=(str, os.PathLike))
    min_new: int = option(20, "avaliações novas para refinar", minimum=1)
    memory: bool = option(True, "dar na conversa a resposta que alguém já corrigiu")


@dataclass
class PathsConfig:
    """Onde ficam as coisas. Com ``LUNA_HOME``, os caminhos relativos partem dela."""

    models_dir: str = option("models", "modelos", type=(str, os.PathLike))
    data_dir: str = option("data", "dados", type=(str, os.PathLike))
    logs_dir: str = option("logs", "registros", type=(str, os.PathLike))
    temp_dir: str = option("temp", "arquivos temporários", type=(str, os.PathLike))
    personas_file: str = option("personas.json", "suas personas", type=(str, os.PathLike))

    def model_dir(self, name: str) -> Path:
        """A pasta do modelo ``name`` (sem conferir se existe)."""
        return Path(self.models_dir) / name


_SECTIONS: dict[str, type] = {
    "training": TrainingConfig,
    "tokenizer": TokenizerConfig,
    "rag": RagConfig,
    "chat": ChatConfig,
    "feedback": FeedbackConfig,
    "paths": PathsConfig,
}


class Config:
    """Configuração de todo o sistema.

    Seções: ``.model .training .tokenizer .rag .chat .feedback .paths``.

    Args:
        model: uma ``ModelConfig``, ou um dicionário com os campos dela; ``None`` usa a do tamanho
            ``mini``, híbrida.
        sections: cada outra seção, como objeto ou dicionário.

    Erros:
        ConfigError: seção ou campo desconhecido, ou valor fora do que se aceita.
    """

    def __init__(self, model: Any = None, **sections: Any) -> None:
        unknown = set(sections) - set(_SECTIONS)
        if unknown:
            raise ConfigError(
                f"seção de configuração desconhecida: {', '.join(sorted(unknown))}. "
                f"As que existem: model, {', '.join(_SECTIONS)}."
            )
        self._model = model if not isinstance(model, dict) else None
        self._model_values: dict[str, Any] = dict(model) if isinstance(model, dict) else {}
        self.training: TrainingConfig = _section("training", sections)
        self.tokenizer: TokenizerConfig = _section("tokenizer", sections)
        self.rag: RagConfig = _section("rag", sections)
        self.chat: ChatConfig = _section("chat", sections)
        self.feedback: FeedbackConfig = _section("feedback", sections)
        self.paths: PathsConfig = _section("paths", sections)
        self._anchor_paths()

    def _anchor_paths(self) -> None:
        """Com ``LUNA_HOME``, torna absolutos os caminhos relativos."""
        if not os.environ.get("LUNA_HOME"):
            return
        home = luna_home().resolve()
        for item in fields(self.paths):
            setattr(self.paths, item.name, str(home / getattr(self.paths, item.name)))
        self.feedback.path = str(home / self.feedback.path)

    @property
    def model(self) -> "ModelConfig":
        """A ``ModelConfig``; criada no primeiro uso."""
        if self._model is None:
            from src.config.model_config import ModelConfig

            values = dict(self._model_values)
            size = values.pop("size", "mini")
            self._check_model_fields(values)
            self._model = ModelConfig.from_preset(size, **values)
        return self._model

    @model.setter
    def model(self, value: "ModelConfig") -> None:
        self._model = value

    @property
    def model_choices(self) -> dict[str, Any]:
        """O que o arquivo de configuração disse do modelo, antes de qualquer padrão."""
        return dict(self._model_values)

    @staticmethod
    def _check_model_fields(values: dict[str, Any]) -> None:
        from src.config.model_config import ModelConfig

        known = ModelConfig.field_names() | set(ModelConfig.attribute_map)
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"model.{unknown[0]}: campo desconhecido da seção 'model'.")

    def to_dict(self) -> dict[str, Any]:
        """As seções como dicionários prontos para JSON."""
        names = self.model.field_names()
        model = {k: v for k, v in self.model.to_dict().items() if k in names}
        return {"model": model} | {
            name: {
                item.name: _plain(getattr(getattr(self, name), item.name))
                for item in fields(section)
            }
            for name, section in _SECTIONS.items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """O inverso de ``to_dict``; seções e campos que faltam ficam com o padrão.

        Erros:
            ConfigError: seção ou campo desconhecido, ou valor fora do que se aceita.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"configuração {values!r}: esperado um objeto com seções.")
        if not isinstance(values.get("model", {}), dict):
            raise ConfigError(
                f"seção model={values['model']!r}: esperado um objeto com os campos dela."
            )
        return cls(**values)

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "Config":
        """Lê um arquivo JSON.

        Erros:
            ConfigError: o arquivo não existe, não é JSON válido ou tem valor não aceito.
        """
        try:
            with open(path, encoding="utf-8-sig") as stream:
                values = json.load(stream)
        except FileNotFoundError as error:
            raise ConfigError(f"O arquivo de configuração '{path}' não existe.") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"O arquivo de configuração '{path}' não é JSON: {error}.") from error
        except OSError as error:
            raise ConfigError(f"Não foi possível ler '{path}': {error.strerror}.") from error
        try:
            return cls.from_dict(values)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"Em '{path}': {error}") from error

    def save(self, path: str | os.PathLike) -> None:
        """Grava em JSON, sob um nome temporário que só no fim vira ``path``."""
        temporary = Path(f"{os.fspath(path)}.tmp-{os.getpid()}")
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ConfigError(f"Não foi possível gravar '{path}': {error.strerror}.") from error


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _section(name: str, sections: dict[str, Any]) -> Any:
    """Constrói e confere uma seção a partir de objeto, dicionário ou nada."""
    kind, value = _SECTIONS[name], sections.get(name)
    if value is None:
        value = kind()
    elif isinstance(value, dict):
        known = {item.name for item in fields(kind)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise ConfigError(
                f"{name}.{unknown[0]}: campo desconhecido. "
                f"Os da seção '{name}': {', '.join(sorted(known))}."
            )
        value = kind(**value)
    elif not (is_dataclass(value) and isinstance(value, kind)):
        raise ConfigError(f"seção {name}={value!r}: esperado um objeto com os campos dela.")
    check_fields(value, name)
    return value


def __getattr__(name: str) -> Any:
    """``from src.config.config import ModelConfig`` sem pagar por ela antes da hora (PEP 562)."""
    if name == "ModelConfig":
        from src.config.model_config import ModelConfig

        return ModelConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
