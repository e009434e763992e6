"""``LunaTrainer``: treina um modelo salvo, sobre o ``Trainer`` do transformers."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments, set_seed

from src.config.config import Config
from src.config.personas import load_personas
from src.config.presets import Preset, nearest_preset
from src.evaluation.likelihood import Likelihood, measure
from src.models.luna_model import LunaModel
from src.models.model_files import new_save_id, read_save_id
from src.models.tokenizer import LunaTokenizer
from src.training import finetune, lora
from src.training.checkpoints import find_checkpoint
from src.training.conditions import conditions_of
from src.training.corpus import CorpusDataset
from src.training.curriculum import parse_stages, plan_stages
from src.training.engine import refuse_sharding
from src.training.examples import Example, build_examples
from src.training.packing import PackedDataset, row_length
from src.training.records import record_training
from src.training.refine import RefineResult
from src.training.refine_fit import FitSettings
from src.training.refine_run import refine_model
from src.training.report import write_training_report
from src.training.request import Monitor, Request, RunOptions
from src.training.run import TrainingRun
from src.training.run_file import RunFile, check_same_data, data_fingerprint, require_unfinished
from src.training.stages import Stage
from src.training.stream import StreamStage, steps_for
from src.training.summary import TrainingSummary
from src.training.tracking import log_wandb_artifacts, tracking_arguments
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
SAMPLE_TOKENS = 40  # de cada resposta ao longo do caminho
VALID_SAMPLE_ROWS = 32  # linhas da validação medidas a cada avaliação ao longo do treino
MAX_EVAL_LOGITS = 2**26  # números em ponto flutuante
#: O fim da queda da taxa: a parte dos passos em que ela desce até zero (docs/LOG.md).
DECAY_FRACTION = 0.4


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
        self.device, self._any_device = resolve_device(device), device == "auto"
        self.monitor = Monitor(show_progress=show_progress)
        self.tokenizer = LunaTokenizer(self.config).load(self.folder / "tokenizer")
        self._save_id = read_save_id(self.folder)  # antes dos pesos: uma gravação no meio aparece
        self.model: Any = LunaModel.from_pretrained(self.folder)
        self.hardware = detect_hardware()
        self.settings = self._hardware_settings()
        self.last_summary: TrainingSummary | None = None
        self.steps_done = 0
        self.record: RunFile | None = None  # o último treino que começou, ou foi retomado
        self._run: TrainingRun | None = None

    @property
    def preset(self) -> Preset:
        """O tamanho pronto de largura mais próxima, de onde vêm taxa e lote não escolhidos."""
        return nearest_preset(self.model.config.n_embd)

    def _hardware_settings(self) -> TrainingSettings:
        """Lote, acumulação, threads e contexto para esta máquina; nunca a forma dos pesos."""
        training, model = self.config.training, self.model.config
        settings = training_settings(
            self.hardware,
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

    # ------------------------------------------------------------------ refinamento

    def update_with_feedback(
        self, dry_run: bool = False, settings: FitSettings | None = None
    ) -> RefineResult:
        """Refina o modelo com as avaliações novas dele, se ficar provado que melhora.

        As avaliações são as de ``config.feedback.path``; o que se relê, e o texto em que se prova,
        são os dados de que o modelo veio. Provado, o modelo vira outra versão (``versions/``), que
        passa a responder, e as avaliações usadas vão para o arquivo-morto; se não, nada muda. Deixa
        um relatório em ``training/refinements/``.

        Args:
            dry_run: faz tudo, menos mudar o modelo e arquivar as avaliações.
            settings: os números do treino; ``None`` são os de sempre.

        Returns:
            RefineResult: ``kept``, ``reason``, ``version`` e o resto do relatório.

        Erros:
            LunaError: o modelo está em uso por outro processo, ou mudou desde que foi carregado.
            StorageError: o disco recusou; o modelo que responde é o de antes.
        """
        with self._writing():
            return refine_model(self, dry_run, settings)

    # ------------------------------------------------------------------ treino

    def train_supervised(
        self, train_data: Any, valid_data: Sequence[str] | None = None, **kwargs: Any
    ) -> TrainingSummary:
        """Treina e, no fim, salva na pasta do modelo.

        Args:
            train_data: textos corridos, conversas (``Usuário:``/``Luna:``) ou instruções; ou um
                ``CorpusDataset`` já pronto, para o que não cabe na memória.
            valid_data: textos para medir antes e depois; ``None`` não mede.
            **kwargs: nomes de ``TrainingArguments`` (``num_train_epochs``,
                ``per_device_train_batch_size``, ``learning_rate``...), e os de Luna:
                ``max_position_embeddings``: o comprimento do contexto neste treino;
                ``callbacks``: os seus (``src/training/callbacks.py``);
                ``max_minutes``: quanto pode durar, no lugar de passadas;
                ``resume``: ``"auto"`` ou um checkpoint, de um treino interrompido;
                ``replay_data`` e ``replay_fraction``: textos antigos a reler, e que parte;
                ``lora``: ``True``, ou um dicionário com ``rank``, ``alpha`` e ``dropout``.

        Returns:
            TrainingSummary.

        Erros:
            UsageError: argumento desconhecido ou contexto fora do que o modelo aceita.
            NoDataError: nada a aprender em ``train_data``. LunaError: não há o que retomar, ou os
                dados mudaram.
            KeyboardInterrupt: Ctrl-C, no fim do passo; o que se aprendeu até ali já foi salvo, e o
                resumo está em ``self.last_summary``. O segundo para já, e não salva nada.
        """
        return self._train(train_data, valid_data, None, kwargs)

    def train_curriculum(
        self,
        train_data: Sequence[str],
        valid_data: Sequence[str] | None = None,
        stages: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> TrainingSummary:
        """Treina por estágios, do fácil ao difícil, num treino só.

        O otimizador e o plano da taxa atravessam os estágios. Ver ``src/training/stages.py``.

        Args:
            train_data, valid_data, **kwargs: os de ``train_supervised``.
            stages: dicionários com ``context_length``, ``batch_size``, ``epochs``, ``difficulty``,
                ``by``, ``learning_rate_scale``, ``name``; ``None`` usa os três padrões.

        Erros:
            os de ``train_supervised``; UsageError: um estágio não é aceito.
        """
        epochs = kwargs.get("num_train_epochs", self.config.training.num_epochs)
        limit = self._context_length(kwargs.get("max_position_embeddings"))
        if isinstance(epochs, bool) or not isinstance(epochs, (int, float)) or epochs <= 0:
            raise UsageError(f"num_train_epochs={epochs!r}: esperado um número maior que zero.")
        return self._train(train_data, valid_data, parse_stages(stages, limit, epochs), kwargs)

    def _train(
        self, train_data: Any, valid_data: Any, stages: list[Stage] | None, kwargs: dict[str, Any]
    ) -> TrainingSummary:
        kwargs = dict(kwargs)
        refuse_sharding(kwargs)
        callbacks, resume = list(kwargs.pop("callbacks", [])), kwargs.pop("resume", None)
        self.record = record = self._unfinished() if resume else None
        context = self._context_length(kwargs.pop("max_position_embeddings", None))
        request = Request(**record.request) if record else Request.take(kwargs, context, stages)
        replay_data = kwargs.pop("replay_data", None)
        if kwargs.get("eval_strategy", "no") != "no" and not valid_data:
            raise UsageError("eval_strategy pede dados de validação: informe valid_data.")
        values = record.options["arguments"] if record else self._values(kwargs, bool(valid_data))
        set_seed(values["seed"])
        valid = self._dataset(valid_data, request.context) if valid_data else None
        if record is not None and record.final_save_id == self._save_id is not None:
            return self._mark_finished(record, valid, train_data)
        replay_data, held_out = finetune.hold_out(replay_data, values["seed"])
        old = self._dataset(held_out or replay_data, request.context) if replay_data else None
        run_stages = self._stages(train_data, replay_data, request, values)
        lock = self._writing() if is_main_process() else nullcontext()
        with lock:
            if record is None:
                options = self._options(values, run_stages)
            else:
                check_same_data(record, data_fingerprint([stage.rows for stage in run_stages]))
                options = RunOptions(**record.options)
            setup = _Setup(run_stages, options, request, valid, old, callbacks, record)
            setup.held_out = bool(held_out)
            if record is not None:
                setup.checkpoint = self._checkpoint(record, resume)
            return self._execute(setup, train_data)

    def _execute(self, setup: "_Setup", train_data: Any) -> TrainingSummary:
        """Mede, treina, salva, mede de novo e registra."""
        setup.before = self._measure(setup.valid)
        old_before = self._measure(setup.old, VALID_SAMPLE_ROWS)
        try:
            run = self._start(setup)
            outcome = run.execute()
        except BaseException:  # o que não volta em ``outcome`` não deixa nada para gravar
            self._drop_adapter()
            raise
        finally:
            self._run = None
        summary = TrainingSummary(
            steps=outcome.steps,
            tokens=outcome.tokens,
            seconds=outcome.seconds,
            train_loss=outcome.loss,
            before=setup.before,
            interrupted=outcome.interruption is not None,
            notes=list(self.settings.notes),
            plan=outcome.plan,
            stages=outcome.stages,
        )
        self.steps_done = run.first_step + run.step
        self._save(run, summary.interrupted)
        self.last_summary = summary  # um Ctrl-C durante as medidas já encontra tudo salvo
        if not summary.interrupted:
            summary.after = self._measure(setup.valid)
            summary.train = self._measure(setup.stages[-1].rows, TRAIN_SAMPLE_ROWS)
            if old_before is not None:
                old_after = self._measure(setup.old, VALID_SAMPLE_ROWS)
                summary.forgetting = finetune.Forgetting.between(
                    old_before, old_after, setup.held_out
                )
        if is_main_process():
            record_training(self.folder, self.model, summary, run.trainer.args, train_data)
            write_training_report(self.folder)
            if self.monitor.use_wandb:
                log_wandb_artifacts(self.folder, self.model_name)
        if outcome.interruption is not None:
            raise outcome.interruption
        return summary

    def _start(self, setup: "_Setup") -> TrainingRun:
        """Põe o modelo como o treino o quer, ou como o checkpoint o deixou, e monta o treino."""
        options = setup.options
        if self.device == "cpu":
            torch.set_num_threads(options.threads)
        self._load_checkpoint(setup)
        set_seed(options.arguments["seed"])
        self.monitor.generate = self._sample_answer
        run = TrainingRun(
            self.folder,
            self.model,
            self.tokenizer,
            setup.stages,
            options,
            setup.request,
            setup.callbacks,
            self.monitor,
            (lambda: self._measure(setup.valid, VALID_SAMPLE_ROWS)) if setup.valid else None,
            self._save_id,
            self.steps_done,
            setup.checkpoint,
            setup.record,
        )
        run.watcher.before = setup.before.bits_per_byte if setup.before else None
        self._run, self.record = run, run.record
        return run

    def _save(self, run: TrainingRun, interrupted: bool) -> None:
        """Grava os pesos, e só então marca o treino como terminado."""
        if lora.has_lora(self.model):
            if is_main_process():
                adapter = self.folder / "training" / "adapter"
                lora.save_adapter(self.model, adapter, self._save_id)
            if interrupted:  # o modelo fica como era; o adaptador continua do checkpoint
                self._drop_adapter()
                return
            self.model = lora.merge_lora(self.model)
        self.model.eval()
        if self.model.config.origin in ("random", "bigram"):
            self.model.config.origin = "trained"
        if is_main_process():
            self._write_model(run.record, final=not interrupted)

    def _write_model(self, record: RunFile, final: bool) -> None:
        """Grava os pesos; os finais com a marca de antes e a de depois (``_mark_finished``)."""
        save_id = new_save_id()
        if final:
            record.final_save_id = save_id
            record.write(self.folder)
        self.model.save(self.folder, save_id=save_id)
        self._save_id = save_id
        if final:
            record.finished = True
            record.write(self.folder)

    def _mark_finished(self, record: RunFile, valid: Any, train_data: Any) -> TrainingSummary:
        """Um treino que morreu entre a gravação final e a marca de terminado: só falta a marca."""
        self.monitor.announce("O treino já tinha acabado, e está salvo: faltava só anotar isso.")
        summary = TrainingSummary(steps=0, tokens=0, seconds=0.0, after=self._measure(valid))
        if is_main_process():
            with self._writing():
                record.finished = True
                record.write(self.folder)
                arguments = TrainingArguments(**record.options["arguments"])
                record_training(self.folder, self.model, summary, arguments, train_data)
                write_training_report(self.folder)
        self.last_summary = summary
        return summary

    def _drop_adapter(self) -> None:
        if lora.has_lora(self.model):
            self.model = lora.discard_lora(self.model)

    # ------------------------------------------------------------------ retomar

    def _unfinished(self) -> RunFile:
        """O treino por retomar, no dispositivo em que começou, se não se pediu outro.

        Erros:
            LunaError: não há nenhum.
        """
        found = require_unfinished(self.folder)
        arguments = found.options["arguments"]
        if self._any_device and arguments["use_cpu"]:
            self.device = "cpu"
        arguments["use_cpu"] = self.device == "cpu"
        return found

    def _checkpoint(self, record: RunFile, asked: Any) -> Path | None:
        """O checkpoint de onde continuar; ``None`` recomeça do modelo de que o treino partiu.

        Erros:
            LunaError: o pedido não existe, ou já não há de onde recomeçar.
        """
        wanted = "auto" if asked is True else str(asked)
        found = find_checkpoint(self.folder / "checkpoints", wanted, record.run)
        if found is None and self._save_id != record.base_save_id:
            raise LunaError(
                f"--resume: o treino interrompido de '{self.model_name}' não deixou checkpoint, e "
                "o modelo mudou depois. Treine sem --resume: parte-se do que ele já sabe."
            )
        return found

    def _load_checkpoint(self, setup: "_Setup") -> None:
        """Os pesos do checkpoint, se há um, e o adaptador, se se pediu."""
        adapter = setup.request.lora is not None
        if setup.checkpoint is not None and not adapter:
            self.model = LunaModel.from_pretrained(setup.checkpoint)
        elif setup.checkpoint is not None:
            path = setup.checkpoint / "adapter"
            self.model = lora.load_adapter(self.model, path, self._save_id)
        elif adapter:
            set_seed(setup.options.arguments["seed"])
            self.model = lora.add_lora(self.model, **(setup.request.lora or {}))
            logger.info(lora.lora_line(self.model))

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

    def _examples(self, data: Any, context: int) -> list[Example]:
        texts = [data] if isinstance(data, str) else data
        emotion = conditions_of(self.model.config).with_emotion
        return build_examples(texts, self.tokenizer, context, self.personas, emotion)

    def _packed(self, examples: Sequence[Example], context: int) -> PackedDataset:
        length = row_length(examples, context)
        conditions = conditions_of(self.model.config)._asdict()
        return PackedDataset(examples, length, self.tokenizer.eos_id, **conditions)

    def _dataset(self, data: Any, context: int) -> PackedDataset:
        return self._packed(self._examples(data, context), context)

    def _stages(
        self, train_data: Any, replay_data: Any, request: Request, values: dict[str, Any]
    ) -> list[StreamStage]:
        """Os trechos do treino: um só, ou os do currículo.

        Erros:
            UsageError: um ``CorpusDataset`` com currículo, releitura ou vetores que ele não tem.
        """
        batch = values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
        if isinstance(train_data, CorpusDataset):
            self._check_corpus(train_data, request)
            return [self._one_stage(train_data, batch, values)]

        def build(context: int) -> list[Example]:
            examples = self._examples(train_data, context)
            if not replay_data:
                return examples
            fraction, seed = request.replay_fraction, values["seed"]
            wanted = finetune.replay_tokens(examples, fraction)
            old = self._examples(finetune.sample_texts(replay_data, wanted, seed), context)
            return finetune.mix_replay(examples, old, fraction, seed)

        if request.curriculum is None:
            rows = self._packed(build(request.context), request.context)
            return [self._one_stage(rows, batch, values)]
        world = max(world_size(), 1)
        plans = plan_stages(
            request.curriculum,
            build,
            request.context,
            batch * world,
            self.tokenizer.eos_id,
            **conditions_of(self.model.config)._asdict(),
        )
        found = []
        for plan in plans:
            per_step = max(world, plan.rows_per_step - plan.rows_per_step % world)
            steps = steps_for(plan.stage.epochs, len(plan.dataset), per_step)
            found.append(StreamStage(plan.dataset, steps, per_step, plan.stage))
        return found

    def _one_stage(self, rows: Any, batch: int, values: dict[str, Any]) -> StreamStage:
        world = max(world_size(), 1)
        per_step = min(batch, max(1, len(rows) // world)) * world
        steps = values["max_steps"]
        if steps <= 0:
            steps = steps_for(values["num_train_epochs"], len(rows), per_step)
        return StreamStage(rows, steps, per_step)

    @staticmethod
    def _check_corpus(corpus: CorpusDataset, request: Request) -> None:
        if corpus.length > request.context:
            raise UsageError(
                f"O corpus foi cortado em linhas de {corpus.length} tokens, e o contexto deste "
                f"treino é de {request.context}. Prepare-o com esse comprimento."
            )
        if request.stages is not None or request.replay_fraction:
            raise UsageError(
                f"Um corpus de {len(corpus)} linhas em disco não aceita currículo nem releitura: "
                "esses arranjos pedem os exemplos na memória. Use menos dados, ou treine sem eles."
            )

    def _options(self, values: dict[str, Any], stages: list[StreamStage]) -> RunOptions:
        """Tudo o que decide o resultado, já resolvido."""
        training = self.config.training
        values = values | {"max_steps": sum(stage.steps for stage in stages)}
        own = "lr_scheduler_type" not in values
        return RunOptions(
            arguments=values,
            micro_rows=values["per_device_train_batch_size"],
            dropout=training.dropout,
            ssm_lr_scale=training.ssm_lr_scale,
            low_precision=self._low_precision(values),
            threads=torch.get_num_threads(),
            schedule={"kind": "wsd", "decay_fraction": DECAY_FRACTION} if own else None,
            warmup_fraction=training.warmup_fraction,
            start_passes=None if training.bigram_start else 0,
            start_pairs=training.pair_vectors,
        )

    def _low_precision(self, values: dict[str, Any]) -> bool:
        """bf16 se foi escolhido ou, em ``auto``, se este dispositivo o multiplica em hardware."""
        chosen = self.config.training.precision
        if values.get("bf16") or values.get("fp16"):
            return False  # quem escolheu o do transformers fica com ele
        if chosen != "auto":
            return chosen == "bf16"
        return self.device in ("cpu", "cuda") and self.hardware.supports_bf16

    def _defaults(self) -> dict[str, Any]:
        """Os argumentos do Trainer que valem quando ninguém escolheu outros."""
        training, settings = self.config.training, self.settings
        return {
            "num_train_epochs": training.num_epochs,
            "max_steps": -1,
            "per_device_train_batch_size": settings.batch_size,
            "gradient_accumulation_steps": settings.gradient_accumulation,
            "learning_rate": training.learning_rate or self.preset.learning_rate,
            "weight_decay": training.weight_decay,
            "max_grad_norm": training.max_grad_norm,
            "logging_steps": 10,
            "logging_first_step": True,
            "save_strategy": "no",
            "prediction_loss_only": True,
            "disable_tqdm": True,
            "remove_unused_columns": False,
            "dataloader_pin_memory": self.device == "cuda",
            "use_cpu": self.device == "cpu",
            "ddp_backend": "gloo" if self.device == "cpu" and world_size() > 1 else None,
            "ddp_find_unused_parameters": False,
            "ddp_broadcast_buffers": False,  # a tabela de pares não muda no treino
            "seed": training.seed,
            "output_dir": str(self.folder / "checkpoints"),
        }

    def _values(self, kwargs: dict[str, Any], has_valid: bool) -> dict[str, Any]:
        """Os padrões com os argumentos dados por cima, conferidos.

        Erros:
            UsageError: nome desconhecido ou valor recusado pelo transformers.
        """
        tracking = tracking_arguments(self.monitor.use_wandb, self.folder, kwargs.get("run_name"))
        values = self._defaults() | {"eval_strategy": "steps" if has_valid else "no"}
        values |= tracking | kwargs
        known = set(TrainingArguments.__dataclass_fields__)
        if self.settings.gradient_checkpointing:  # o nome mudou ao longo do transformers 5
            new, old = "activation_checkpointing", "gradient_checkpointing"
            values.setdefault(new if new in known else old, True)
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(
                f"train_supervised(): argumento desconhecido {unknown[0]!r}. São aceitos os de "
                "transformers.TrainingArguments e os que a documentação do método lista."
            )
        self._check_numbers(values)
        try:
            TrainingArguments(**values)
        except (ValueError, TypeError) as error:
            raise UsageError(f"train_supervised(): argumento não aceito: {error}") from error
        return values

    @staticmethod
    def _check_numbers(values: dict[str, Any]) -> None:
        for name in ("learning_rate", "weight_decay", "num_train_epochs", "max_grad_norm"):
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise UsageError(f"train_supervised(): {name}={value!r}: esperado um número >= 0.")
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(
                    f"train_supervised(): {name}={value!r}: esperado um inteiro a partir de 1."
                )

    def _sample_answer(self, prompt: str) -> str:
        """Uma resposta curta e gulosa do modelo em treino, para acompanhar."""
        messages = [{"role": "user", "content": prompt}]
        ids = self.tokenizer.encode_chat(messages, add_generation_prompt=True)
        device = next(self.model.parameters()).device
        output = self.model.generate(
            input_ids=torch.tensor([ids], device=device),
            max_new_tokens=SAMPLE_TOKENS,
            do_sample=False,
            eos_token_id=self.tokenizer.eos_id,
            pad_token_id=self.tokenizer.eos_id,
        )
        return self.tokenizer.decode(output[0, len(ids) :].tolist()).strip()

    # ------------------------------------------------------------------ avaliação e gravação

    def _measure(self, dataset: Any, max_rows: int | None = None) -> Any:
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
        loader = DataLoader(
            rows, batch_size=self._eval_batch_size(dataset.length), generator=torch.Generator()
        )
        batches = (
            {name: tensor.to(self.device) for name, tensor in batch.items()} for batch in loader
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
        result: Likelihood = self._measure(self._dataset(data, context))
        return result

    def save_checkpoint(self) -> Path:
        """Grava o modelo e o tokenizador atuais em ``checkpoints/step-N`` e devolve a pasta.

        N é o número de passos dados por este ``LunaTrainer``. Durante um treino (de um callback), o
        checkpoint é retomável; fora dele são só os pesos.

        Erros:
            StorageError: o disco recusou; nada fica pela metade.
        """
        if self._run is not None:
            return self._run.save_checkpoint()
        folder = self.folder / "checkpoints" / f"step-{self.current_step}"
        self.model.save(folder)
        self.tokenizer.save(folder / "tokenizer")
        return folder

    @property
    def current_step(self) -> int:
        """Passos dados até agora, inclusive no treino em andamento."""
        return self._run.first_step + self._run.step if self._run else self.steps_done


@dataclass
class _Setup:
    """Um treino pronto para começar."""

    stages: list[StreamStage]
    options: RunOptions
    request: Request
    valid: PackedDataset | None
    old: PackedDataset | None
    callbacks: list[TrainerCallback]
    record: RunFile | None
    checkpoint: Path | None = None
    before: Likelihood | None = None
    held_out: bool = True  # se as linhas de ``old`` não são relidas


__all__ = ["LunaError", "LunaTrainer", "TrainingSummary"]
