"""``LunaTrainer``: treina um modelo salvo, sobre o ``Trainer`` do transformers."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from src.config.config import Config
from src.config.personas import load_personas
from src.config.presets import Preset, nearest_preset
from src.evaluation.likelihood import Likelihood, measure
from src.models.luna_model import LunaModel
from src.models.model_files import read_save_id
from src.models.tokenizer import LunaTokenizer
from src.training.examples import build_examples
from src.training.optim import build_optimizer
from src.training.packing import PackedDataset, row_length
from src.training.progress import MetricsCallback, ProgressCallback
from src.training.records import record_training
from src.training.summary import TrainingSummary
from src.utils.errors import LunaError, UsageError
from src.utils.hardware_utils import (
    TrainingSettings,
    detect_hardware,
    resolve_device,
    training_settings,
)
from src.utils.model_store import ModelStore
from src.utils.processes import is_main_process, world_size

logger = logging.getLogger(__name__)

TRAIN_SAMPLE_ROWS = 32  # linhas do próprio treino avaliadas no fim
MAX_EVAL_LOGITS = 2**26  # números em ponto flutuante
#: Repetir os mesmos dados faz decorar; o dropout segura um pouco (medido em docs/LOG.md).
REPEATED_EPOCHS, REPEATED_DROPOUT = 8, 0.1


class _LunaHFTrainer(Trainer):
    """O Trainer com o otimizador de Luna; a perda exata por token já é a do transformers."""

    ssm_lr_scale = 0.1

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Muon nas matrizes, AdamW no resto (``src/training/optim.py``)."""
        if self.optimizer is None:
            target: Any = model if model is not None else self.model
            self.optimizer = build_optimizer(
                target, self.args.learning_rate, self.args.weight_decay, self.ssm_lr_scale
            )
        return self.optimizer


class LunaTrainer:
    """Gerencia o treino de um modelo.

    Args:
        model_name: nome de um modelo criado (pasta em ``config.paths.models_dir``).
        config: a configuração do sistema.
        device: ``auto``, ``cpu``, ``cuda`` ou ``mps``.
        show_progress: mostra a barra em stderr.

    Erros:
        ModelNotFoundError: o modelo não existe. ModelFormatError: está danificado.
        UsageError: o dispositivo pedido não existe nesta máquina.
    """

    def __init__(
        self,
        model_name: str,
        config: Config | None = None,
        device: str = "auto",
        show_progress: bool = True,
    ) -> None:
        self.config = config or Config()
        self.model_name = model_name
        self.personas = load_personas(self.config.paths.personas_file)
        self.store = ModelStore(self.config.paths.models_dir)
        self.folder: Path = self.store.require(model_name)
        self.device = resolve_device(device)
        self.show_progress = show_progress
        self.tokenizer = LunaTokenizer(self.config).load(self.folder / "tokenizer")
        self._save_id = read_save_id(self.folder)  # antes dos pesos: uma gravação no meio aparece
        self.model: Any = LunaModel.from_pretrained(self.folder)
        self.settings = self._hardware_settings()
        self.last_summary: TrainingSummary | None = None
        self.steps_done = 0
        self._trainer: Trainer | None = None

    @property
    def preset(self) -> Preset:
        """O tamanho pronto de largura mais próxima, de onde vêm taxa e lote não escolhidos."""
        return nearest_preset(self.model.config.n_embd)

    def _hardware_settings(self) -> TrainingSettings:
        """Lote, acumulação, threads e contexto para esta máquina; nunca a forma dos pesos."""
        training, model = self.config.training, self.model.config
        settings = training_settings(
            detect_hardware(),
            hidden_size=model.n_embd,
            context_length=model.n_positions,
            batch_size=training.batch_size or self.preset.batch_size,
            gradient_accumulation=training.gradient_accumulation,
            lightweight=training.lightweight,
            num_layers=model.n_layer,
            vocab_size=model.vocab_size,
            parameters=self.model.parameter_count(),
        )
        if self.device == "cpu":
            torch.set_num_threads(settings.threads)
        return settings

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Reserva o modelo para o processo que grava, se ninguém o gravou depois desta leitura."""
        with self.store.lock(self.model_name):
            if read_save_id(self.folder) != self._save_id:
                raise LunaError(
                    f"O modelo '{self.model_name}' mudou no disco desde que foi carregado (outro "
                    "treino terminou?). Carregue-o de novo para não perder aquele trabalho."
                )
            yield

    # ------------------------------------------------------------------ treino

    def train_supervised(
        self, train_data: Sequence[str], valid_data: Sequence[str] | None = None, **kwargs: Any
    ) -> TrainingSummary:
        """Treina e, no fim, salva na pasta do modelo.

        Args:
            train_data: textos corridos, conversas (``Usuário:``/``Luna:``) ou instruções.
            valid_data: textos para medir antes e depois; ``None`` não mede.
            **kwargs: nomes de ``TrainingArguments`` (``num_train_epochs``,
                ``per_device_train_batch_size``, ``learning_rate``...), ``callbacks``, e
                ``max_position_embeddings``: o comprimento do contexto neste treino.

        Returns:
            TrainingSummary.

        Erros:
            UsageError: argumento desconhecido ou contexto fora do que o modelo aceita.
            NoDataError: nada a aprender em ``train_data``.
            KeyboardInterrupt: Ctrl-C; o que se aprendeu até ali já foi salvo, e o resumo está em
                ``self.last_summary``.
        """
        context = self._context_length(kwargs.pop("max_position_embeddings", None))
        callbacks = list(kwargs.pop("callbacks", []))
        if kwargs.get("eval_strategy", "no") != "no" and not valid_data:
            raise UsageError("eval_strategy pede dados de validação: informe valid_data.")
        seed = kwargs.get("seed", self.config.training.seed)
        set_seed(seed)
        train = self._dataset(train_data, context)
        valid = self._dataset(valid_data, context) if valid_data else None
        arguments = self._arguments(train, kwargs)
        lock = self._writing() if is_main_process() else nullcontext()
        with lock:
            return self._run(train, valid, arguments, callbacks, train_data)

    def _run(
        self,
        train: PackedDataset,
        valid: PackedDataset | None,
        arguments: TrainingArguments,
        callbacks: list[TrainerCallback],
        train_data: Sequence[str],
    ) -> TrainingSummary:
        trainer, progress = self._build_trainer(train, valid, arguments, callbacks)
        before = self._measure(valid)
        started = time.perf_counter()
        loss, interruption = None, None
        try:
            resume = arguments.resume_from_checkpoint
            loss = float(trainer.train(resume_from_checkpoint=resume).training_loss)
        except KeyboardInterrupt as error:
            interruption = error
        finally:
            progress.close()
            self._trainer = None
        summary = TrainingSummary(
            steps=int(trainer.state.global_step),
            tokens=round(trainer.state.global_step * progress.tokens_per_step),
            seconds=time.perf_counter() - started,
            train_loss=loss,
            before=before,
            interrupted=interruption is not None,
            notes=list(self.settings.notes),
        )
        self.steps_done += summary.steps
        self._finish(summary, train, valid, arguments, train_data)
        if interruption is not None:
            raise interruption
        return summary

    def _build_trainer(
        self,
        train: PackedDataset,
        valid: PackedDataset | None,
        arguments: TrainingArguments,
        callbacks: list[TrainerCallback],
    ) -> tuple[_LunaHFTrainer, ProgressCallback]:
        steps = _steps_per_epoch(train, arguments)
        progress = ProgressCallback(train.tokens / steps, self.show_progress)
        metrics = MetricsCallback(self.folder / "training" / "metrics.jsonl")
        trainer = _LunaHFTrainer(
            model=self.model,
            args=arguments,
            train_dataset=train,
            eval_dataset=valid,
            callbacks=[progress, metrics, *callbacks],
        )
        trainer.ssm_lr_scale = self.config.training.ssm_lr_scale
        set_dropout(self.model, self._dropout(arguments))
        for name in ("PrinterCallback", "ProgressCallback"):
            _drop_callback(trainer, name)
        self._trainer = trainer
        return trainer, progress

    def _finish(
        self,
        summary: TrainingSummary,
        train: PackedDataset,
        valid: PackedDataset | None,
        arguments: TrainingArguments,
        train_data: Sequence[str],
    ) -> None:
        """Salva primeiro; mede depois. Só o processo principal escreve."""
        self.model.eval()
        if is_main_process():
            self.model.save(self.folder)
            self._save_id = read_save_id(self.folder)
        self.last_summary = summary  # um Ctrl-C durante as medidas já encontra tudo salvo
        if not summary.interrupted:
            summary.after = self._measure(valid)
            summary.train = self._measure(train, TRAIN_SAMPLE_ROWS)
        if is_main_process():
            record_training(self.folder, self.model, summary, arguments, train_data)

    # ------------------------------------------------------------------ argumentos e dados

    def _context_length(self, asked: int | None) -> int:
        limit = self.model.config.n_positions
        if asked is None:
            return min(limit, self.settings.context_length)
        if not isinstance(asked, int) or asked < 2:
            raise UsageError(
                f"max_position_embeddings={asked!r}: esperado um inteiro de 2 a {limit}, "
                "o contexto deste modelo."
            )
        if asked > limit:
            logger.warning(
                "max_position_embeddings=%d passa do contexto deste modelo; usando %d.",
                asked,
                limit,
            )
        return min(asked, limit)

    def _dataset(self, data: Sequence[str], context: int) -> PackedDataset:
        if isinstance(data, str):
            data = [data]
        examples = build_examples(data, self.tokenizer, context, self.personas)
        return PackedDataset(examples, row_length(examples, context), self.tokenizer.eos_id)

    def _defaults(self, rows: int) -> dict[str, Any]:
        """Os argumentos do Trainer que valem quando ninguém escolheu outros."""
        training, settings = self.config.training, self.settings
        batch = min(settings.batch_size, rows)
        return {
            "num_train_epochs": training.num_epochs,
            "per_device_train_batch_size": batch,
            "per_device_eval_batch_size": batch,
            "gradient_accumulation_steps": settings.gradient_accumulation,
            "learning_rate": training.learning_rate or self.preset.learning_rate,
            "weight_decay": training.weight_decay,
            "max_grad_norm": training.max_grad_norm,
            "warmup_steps": training.warmup_fraction,
            "lr_scheduler_type": "cosine",
            "logging_steps": 10,
            "logging_first_step": True,
            "save_strategy": "no",
            "eval_strategy": "no",
            "prediction_loss_only": True,
            "report_to": [],
            "disable_tqdm": True,
            "remove_unused_columns": False,
            "dataloader_pin_memory": self.device == "cuda",
            "use_cpu": self.device == "cpu",
            "ddp_backend": "gloo" if self.device == "cpu" and world_size() > 1 else None,
            "ddp_find_unused_parameters": False,
            "seed": training.seed,
            "output_dir": str(self.folder / "checkpoints"),
        }

    def _arguments(self, train: PackedDataset, kwargs: dict[str, Any]) -> TrainingArguments:
        """Junta os padrões aos argumentos dados.

        Erros:
            UsageError: nome desconhecido ou valor recusado pelo transformers.
        """
        values = self._defaults(len(train)) | kwargs
        known = set(TrainingArguments.__dataclass_fields__)
        if self.settings.gradient_checkpointing:  # o nome mudou ao longo do transformers 5
            new, old = "activation_checkpointing", "gradient_checkpointing"
            values.setdefault(new if new in known else old, True)
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(
                f"train_supervised(): argumento desconhecido {unknown[0]!r}. São aceitos os de "
                "transformers.TrainingArguments, 'callbacks' e 'max_position_embeddings'."
            )
        self._check_numbers(values)
        try:
            arguments = TrainingArguments(**values)
        except (ValueError, TypeError) as error:
            raise UsageError(f"train_supervised(): argumento não aceito: {error}") from error
        steps: float = arguments.max_steps
        if steps <= 0:
            steps = arguments.num_train_epochs * _steps_per_epoch(train, arguments)
        if steps * arguments.warmup_steps < 1:  # o transformers arredonda para cima, e com um passo
            arguments.warmup_steps = 0  # só de aquecimento, à taxa zero, nada seria aprendido
        return arguments

    @staticmethod
    def _check_numbers(values: dict[str, Any]) -> None:
        for name in ("learning_rate", "weight_decay", "num_train_epochs", "max_grad_norm"):
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise UsageError(f"train_supervised(): {name}={value!r}: esperado um número >= 0.")

    def _dropout(self, arguments: TrainingArguments) -> float:
        """O dropout escolhido; senão 0, ou 0,1 quando os mesmos dados passam muitas vezes."""
        chosen = self.config.training.dropout
        if chosen is not None:
            return chosen
        return REPEATED_DROPOUT if arguments.num_train_epochs >= REPEATED_EPOCHS else 0.0

    # ------------------------------------------------------------------ avaliação e gravação

    def _measure(self, dataset: PackedDataset | None, max_rows: int | None = None) -> Any:
        """Avalia ``dataset`` (ou uma amostra de ``max_rows`` linhas) com o modelo atual."""
        if dataset is None:
            return None
        rows: Any = dataset
        if max_rows is not None and len(dataset) > max_rows:
            order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
            rows = torch.utils.data.Subset(dataset, order[:max_rows].tolist())
        self.model.to(self.device)
        training = self.model.training
        self.model.eval()
        batches = (
            {name: tensor.to(self.device) for name, tensor in batch.items()}
            for batch in DataLoader(rows, batch_size=self._eval_batch_size(dataset.length))
        )
        result = measure(self.model, batches, self._bytes_per_token)
        self.model.train(training)
        return result

    @cached_property
    def _bytes_per_token(self) -> torch.Tensor:
        return torch.tensor(self.tokenizer.bytes_per_token())

    def _eval_batch_size(self, length: int) -> int:
        """Linhas por lote na avaliação: até 8, com os logits [B, L, V] abaixo de 256 MB."""
        return max(1, min(8, MAX_EVAL_LOGITS // (length * self.model.config.vocab_size)))

    def eval(self, data: Sequence[str], max_position_embeddings: int | None = None) -> Likelihood:
        """Mede ``data`` (textos, conversas ou instruções) com o modelo atual.

        Em conversas contam só as respostas do assistente, como no treino.

        Returns:
            Likelihood: ``loss`` (nats por token), ``perplexity``, ``bits_per_byte``, ``tokens`` e
            ``bytes``.

        Erros:
            NoDataError: nada a avaliar.
        """
        context = self._context_length(max_position_embeddings)
        return self._measure(self._dataset(data, context))

    def save_checkpoint(self) -> Path:
        """Grava modelo e tokenizador atuais em ``checkpoints/step-N`` e devolve a pasta.

        N é o número de passos dados por este ``LunaTrainer``. São só os pesos: o otimizador e a
        posição nos dados não vão junto.

        Erros:
            StorageError: o disco recusou; nada fica pela metade.
        """
        folder = self.folder / "checkpoints" / f"step-{self.current_step}"
        self.model.save(folder)
        self.tokenizer.save(folder / "tokenizer")
        return folder

    @property
    def current_step(self) -> int:
        """Passos dados até agora, inclusive no treino em andamento."""
        running = int(self._trainer.state.global_step) if self._trainer else 0
        return self.steps_done + running


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Põe ``probability`` em todo dropout do caminho residual (o da atenção fica em zero)."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and not name.endswith("attn_dropout"):
            module.p = probability


def _steps_per_epoch(train: PackedDataset, arguments: TrainingArguments) -> int:
    """Atualizações por passada pelos dados, somados todos os processos."""
    rows_per_step = (
        arguments.per_device_train_batch_size
        * arguments.gradient_accumulation_steps
        * max(arguments.world_size, 1)
    )
    return max(-(-len(train) // rows_per_step), 1)


def _drop_callback(trainer: Trainer, name: str) -> None:
    """Tira o callback padrão ``name`` do transformers, que escreveria na saída do usuário."""
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ == name and type(callback).__module__.startswith("transformers"):
            trainer.remove_callback(callback)


__all__ = ["LunaError", "LunaTrainer", "TrainingSummary"]
