"""O refinamento no disco: ler as avaliações, refinar, guardar a versão, arquivar e relatar.

A ordem é a que uma queda em qualquer ponto aguenta: a versão nova só aparece inteira; o modelo que
responde só muda depois dela; as avaliações só são arquivadas depois que ele mudou. Quem chama tem a
trava do modelo, e por isso dois refinamentos do mesmo modelo nunca se misturam.
"""

import logging
import time
from typing import TYPE_CHECKING

from src.models.feedback_samples import training_samples
from src.models.feedback_system import FeedbackSystem
from src.models.luna_model import LunaModel
from src.models.model_files import new_save_id
from src.models.versions import VersionStore
from src.training import lora
from src.training.refine import Refinement, RefineResult, reports_folder
from src.training.refine_data import read_texts
from src.training.refine_fit import FitSettings
from src.training.refine_report import write_refine_report
from src.utils.numbers import counted

if TYPE_CHECKING:
    from src.training.trainer import LunaTrainer

logger = logging.getLogger(__name__)


def refine_model(
    trainer: "LunaTrainer", dry_run: bool = False, settings: FitSettings | None = None
) -> RefineResult:
    """Refina o modelo de ``trainer`` (``LunaTrainer.update_with_feedback``)."""
    started = time.perf_counter()
    config, folder = trainer.config, trainer.folder
    feedback = FeedbackSystem(config)
    records = feedback.pending(trainer.model_name)
    samples = training_samples(records)
    result = RefineResult(trainer.model_name, dry_run=dry_run)
    texts = read_texts(folder, config.training.max_file_mb, config.training.seed)
    trainer.model.to(trainer.device)
    refinement = Refinement(
        trainer.model,
        trainer.tokenizer,
        trainer.personas,
        samples,
        texts,
        settings or FitSettings(),
        result,
        config.chat.persona,
        config.training.seed,
        trainer.monitor.announce,
    )
    others = len(feedback.pending()) - len(records)
    if others > 0:
        are = counted(others, "avaliação é", "avaliações são")
        result.feedback["notes"].append(f"{are} de outros modelos e ficaram de fora.")
    wrapped = refinement.run()
    if wrapped is not None:
        _finish(trainer, wrapped, result, feedback)
    result.seconds = round(time.perf_counter() - started, 1)
    reports = reports_folder(folder)
    result.report = str(reports / f"{result.id}.html")
    write_refine_report(reports, result.to_dict())
    return result


def _finish(
    trainer: "LunaTrainer", wrapped: object, result: RefineResult, feedback: FeedbackSystem
) -> None:
    """Guarda a versão provada, faz dela a que responde e arquiva as avaliações usadas."""
    if result.dry_run:
        trainer.model = lora.discard_lora(wrapped)
        result.reason += " Era um ensaio (--dry_run): o modelo continua como estava."
        return
    store = VersionStore(trainer.folder)
    parent = store.keep_current()
    model: LunaModel = lora.merge_lora(wrapped)
    model.eval()
    trainer.model = model
    save_id = new_save_id()
    assert result.preference is not None and result.text is not None
    details = {
        "refinement": result.id,
        "feedback": result.feedback["ids"],
        "preference": result.preference.accuracy.to_dict(),
        "text_change": result.text["change"],
        "scale": result.scale,
    }
    version = store.add(model, save_id, parent, details)
    model.save(trainer.folder, save_id=save_id)
    trainer._save_id = save_id
    result.kept, result.version, result.parent = True, version.name, parent.name
    feedback.mark_processed(result.feedback["ids"], trainer.model_name, version.name)
    feedback.clear_processed_feedback()
