"""O ``Trainer`` do transformers, com o que o treino de Luna faz de seu jeito.

- Cada item do fluxo de dados é o lote inteiro de uma atualização; aqui ele é dividido em partes de
  ``micro_rows`` linhas. A perda é dividida pelo total de tokens do lote, e por isso 1 parte de 8
  linhas e 8 partes de 1 dão o mesmo gradiente, a menos do arredondamento; não o dropout, sorteado
  em cada parte, nem o balanço do MoE, que mede os especialistas dentro de cada uma.
- Sem memória, as partes caem pela metade e a atualização é refeita do começo.
- Um gradiente que não é finito não atualiza nada; três seguidos param o treino.
- A perda sai da entropia cruzada em pedaços, sem os logits inteiros (``src/models/loss.py``).
"""

import contextlib
import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from src.evaluation.likelihood import Likelihood
from src.training.decisions import after_out_of_memory
from src.training.optim import build_optimizer
from src.training.packing import IGNORED
from src.training.schedule import build_scheduler
from src.training.stream import TrainingStream
from src.utils.errors import LunaError, UsageError
from src.utils.processes import world_size

logger = logging.getLogger(__name__)

#: O que saiu das contagens anda devagar: um lote sabe menos que o corpus inteiro (docs/LOG.md).
#: Tudo, num modelo com vetores de pares; e, ainda mais, a projeção de quem partiu de bigramas.
PAIRS_SCALE, STARTED_HEAD_SCALE = 0.3, 0.15
MAX_SKIPPED = 3  # atualizações seguidas com gradiente não finito
OUT_OF_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


class LunaHFTrainer(Trainer):
    """O Trainer de Luna.

    Args:
        stream: os lotes, na ordem em que serão lidos.
        micro_rows: linhas por parte, neste processo.
        measure: mede a validação; ``None`` se não há.
        on_event: recebe o nome de um acontecimento (``oom``, ``skipped``) para as métricas.
        ssm_lr_scale: taxa das matrizes A e B do SSM, relativa.
        own_schedule: se a taxa segue o plano de Luna (``src/training/schedule.py``), ou o que
            ``lr_scheduler_type`` pede ao transformers.
        low_precision: faz as contas grandes em bf16; pesos e otimizador ficam em fp32.
        own_optimizer: se o otimizador é o de Luna, ou o que ``optim`` pede ao transformers.
        **kwargs: os de ``transformers.Trainer``.
    """

    def __init__(
        self,
        stream: TrainingStream,
        micro_rows: int,
        measure: Callable[[], Likelihood | None] | None = None,
        on_event: Callable[[str], None] | None = None,
        ssm_lr_scale: float = 0.1,
        own_schedule: dict[str, Any] | None = None,
        low_precision: bool = False,
        own_optimizer: bool = True,
        **kwargs: Any,
    ) -> None:
        use_one_gpu(kwargs["args"])
        super().__init__(train_dataset=stream, **kwargs)
        self.stream, self.micro_rows = stream, micro_rows
        self.measure, self.on_event = measure, on_event or (lambda name: None)
        self.ssm_lr_scale, self.own_schedule = ssm_lr_scale, own_schedule
        self.low_precision, self.own_optimizer = low_precision, own_optimizer
        self.skipped = 0  # seguidas
        self.observe_noise: Callable[[float, float, int, int], None] | None = None

    # ------------------------------------------------------------------ peças

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Muon nas matrizes, AdamW no resto (``src/training/optim.py``), ou o escolhido."""
        if self.optimizer is None:
            self.optimizer = self.fresh_optimizer(model)
        return self.optimizer

    def fresh_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Um otimizador novo, do tipo e com os números deste treino."""
        if not self.own_optimizer:
            return self._chosen_optimizer(model)
        target: Any = model if model is not None else self.model
        pairs = getattr(target.config, "pair_rows", 0) > 0
        started = pairs or getattr(target.config, "origin", "") == "bigram"
        return build_optimizer(
            target,
            self.args.learning_rate * (PAIRS_SCALE if pairs else 1.0),
            self.args.weight_decay,
            self.ssm_lr_scale,
            STARTED_HEAD_SCALE if started else 1.0,
            self.low_precision,
        )

    def _chosen_optimizer(self, model: Any) -> torch.optim.Optimizer:
        kept, self.optimizer = self.optimizer, None
        try:
            return super().create_optimizer(model)
        finally:
            self.optimizer = kept

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        """bf16 onde se escolheu; com ``bf16=True`` nos argumentos, quem o faz é o accelerate."""
        if not self.low_precision:
            return contextlib.nullcontext()
        return torch.autocast(self.args.device.type, torch.bfloat16, cache_enabled=cache_enabled)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """O plano da taxa: o de Luna, ou o do transformers quando foi escolhido."""
        if self.own_schedule is None:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            self.lr_scheduler = build_scheduler(
                optimizer or self.optimizer,  # type: ignore[arg-type]
                num_training_steps,
                **self.own_schedule,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        """O fluxo já vem em lotes, só a parte deste processo; não gasta os sorteios do treino."""
        return DataLoader(self.stream, batch_size=None, generator=torch.Generator())

    # ------------------------------------------------------------------ um passo

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Ida e volta do lote de uma atualização, em partes; devolve a perda (nats por token)."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        while True:
            try:
                return self._accumulate(model, inputs, num_items_in_batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or world_size() > 1:
                    raise
            model.zero_grad()
            self.micro_rows = after_out_of_memory(self._part_rows(_rows(inputs)))
            _release_memory()
            self.on_event("oom")
            logger.warning(
                "Faltou memória: as partes do lote caem para %d linha(s), e o treino segue.",
                self.micro_rows,
            )

    def _part_rows(self, rows: int) -> int:
        """Linhas por parte; para comparar dois tamanhos de lote são precisas duas partes."""
        most = rows if self.observe_noise is None else max(1, rows // 2)
        return min(self.micro_rows, most)

    def _accumulate(self, model: nn.Module, inputs: dict[str, Any], items: Any) -> Tensor:
        rows, total = _rows(inputs), torch.zeros((), device=self.args.device)
        size = self._part_rows(rows)
        first: float | None = None  # norma da primeira parte, como se ela fosse o lote
        for start in range(0, rows, size):
            part = {name: value[start : start + size] for name, value in inputs.items()}
            last = start + size >= rows
            waiting = contextlib.nullcontext() if last else self.accelerator.no_sync(model=model)
            with waiting:
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, part, num_items_in_batch=items)
                self.accelerator.backward(loss)
            total += loss.detach()
            if self.observe_noise is not None and start == 0 and not last:
                share = float(learned_tokens(part) / items)
                first = squared_norm(model) / share**2 if share else None
        if first is not None and self.observe_noise is not None:
            self.observe_noise(first, squared_norm(model), size, rows)
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """A perda do transformers, sem os logits."""
        if not return_outputs:
            inputs = inputs | {"return_logits": False}
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Corta a norma; se ela não é finita, joga o gradiente fora.

        Depois da sincronização todos os processos têm a mesma norma, e decidem igual.

        Erros:
            LunaError: ``MAX_SKIPPED`` atualizações seguidas sem um gradiente finito.
        """
        norm = super()._clip_grad_norm(model)
        if math.isfinite(float(norm)):
            self.skipped = 0
            return norm
        model.zero_grad()  # sem gradiente, o otimizador não toca em nada
        self.skipped += 1
        self.on_event("skipped")
        if self.skipped >= MAX_SKIPPED:
            rate = self.args.learning_rate
            raise LunaError(
                f"A perda deixou de ser um número em {MAX_SKIPPED} atualizações seguidas (passo "
                f"{self.state.global_step + 1}): o treino parou, e o modelo está como antes dele. "
                "Confira os dados e treine outra vez com a taxa de aprendizado (agora "
                f'{rate:g}) pela metade: "learning_rate": {rate / 2:g} na seção training da '
                "configuração (--config). Sem --resume, que repetiria a mesma taxa."
            )
        logger.warning("Gradiente não finito no passo %d: pulado.", self.state.global_step + 1)
        return torch.zeros(())

    # ------------------------------------------------------------------ validação

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Mede a validação como ``LunaTrainer.eval``; o resultado vai às métricas e callbacks."""
        result = self.measure() if self.measure is not None else None
        if result is None:
            raise LunaError("Não há dados de validação para medir.")
        metrics = {
            f"{metric_key_prefix}_loss": result.loss,
            f"{metric_key_prefix}_bits_per_byte": result.bits_per_byte,
        }
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def use_one_gpu(arguments: TrainingArguments) -> None:
    """Um processo usa uma GPU só: com várias, o transformers dividiria o lote outra vez."""
    if arguments.n_gpu > 1:
        logger.warning(
            "Há %d GPUs, e este processo usa uma. Para usar todas: torchrun --nproc_per_node %d "
            "main.py train ...",
            arguments.n_gpu,
            arguments.n_gpu,
        )
        arguments._n_gpu = 1


def refuse_sharding(values: dict[str, Any]) -> None:
    """Recusa o FSDP: nem o Muon nem os checkpoints sabem juntar pesos repartidos.

    Args:
        values: os argumentos pedidos; o ``accelerate launch`` o pede pelo ambiente.

    Erros:
        UsageError: foi pedido.
    """
    if values.get("fsdp") or parse_flag_from_env("ACCELERATE_USE_FSDP"):
        raise UsageError(
            "FSDP: Luna não treina com os pesos repartidos entre as GPUs. Use DDP (torchrun "
            "--nproc_per_node N main.py train ...), em que cada GPU tem o modelo inteiro."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Se ``error`` é falta de memória, na GPU ou na CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY_WORDS)


def learned_tokens(inputs: dict[str, Any]) -> Tensor:
    """Quantos tokens do lote contam na perda."""
    return (inputs["labels"] != IGNORED).sum()


def squared_norm(model: nn.Module) -> float:
    """O quadrado da norma do gradiente acumulado até aqui."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    squares = [g.detach().float().square().sum() for g in gradients]
    return float(torch.stack(squares).sum()) if squares else 0.0


def _rows(inputs: dict[str, Any]) -> int:
    return int(inputs["input_ids"].shape[0])


def _release_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
