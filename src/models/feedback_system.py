"""``FeedbackSystem``: guarda as avaliações das respostas e diz o que aprender com elas.

Cada avaliação é uma linha de ``feedback.jsonl`` (os campos: ``feedback_records``), que só se
acrescenta. Desfazer e marcar como usada também são linhas, e o que vale é o que resta depois de ler
todas (``feedback_ledger``). A trava e os arquivos estão em ``feedback_store``; o arquivo-morto e o
apagar de vez, em ``feedback_upkeep``.
"""

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from src.config.config import Config
from src.config.options import quoted
from src.models.feedback_ledger import Ledger, build_ledger, merged
from src.models.feedback_records import Record, event, is_judgement, new_record
from src.models.feedback_stats import feedback_stats
from src.models.feedback_store import FeedbackStore, encode_line
from src.models.feedback_upkeep import (
    Criterion,
    archive_processed,
    damaged_lines,
    purge_files,
    purge_plan,
)
from src.utils.errors import UsageError

if TYPE_CHECKING:
    from src.models.feedback_samples import TrainingSample

logger = logging.getLogger(__name__)
_SHOWN = 5  # problemas por extenso num aviso


class FeedbackSystem:
    """As avaliações de um arquivo.

    Vários processos podem gravar e ler ao mesmo tempo. Uma avaliação cujo ``add_feedback`` voltou
    está inteira no disco.

    Args:
        config: de onde vêm ``feedback.path`` e ``feedback.min_new``; ``None`` usa a padrão.
        path: o arquivo, no lugar do da configuração.
        sync: descarrega cada gravação para o disco (``fsync``). Sem isto, o que se gravou ainda
            sobrevive à morte do processo, mas não a uma queda de energia; serve a quem grava muito.

    Atributos:
        path, archive_path: o arquivo e o do que já foi usado, ao lado dele.
        problems: o que a última leitura pulou, uma frase por linha danificada.
    """

    def __init__(
        self,
        config: Config | None = None,
        path: str | os.PathLike | None = None,
        sync: bool = True,
    ) -> None:
        self.config = config or Config()
        self._store = FeedbackStore(path or self.config.feedback.path, sync=sync)
        self.path, self.archive_path = self._store.path, self._store.archive_path
        self.problems: list[str] = []
        self._warned: set[str] = set()

    # ------------------------------------------------------------------ guardar e desfazer

    def add_feedback(
        self, prompt: str, response: str, rating: int | None, timestamp: Any = None, **extra: Any
    ) -> str:
        """Guarda uma avaliação e devolve o id dela.

        Args:
            prompt, response: o que se perguntou e o que o modelo respondeu.
            rating: de 1 (ruim) a 5 (excelente); ``None`` só com um aspecto, NPS ou correção.
            timestamp: ``datetime``, segundos desde 1970 ou texto ISO 8601; ``None`` é agora.
            extra: ``aspects`` (ou ``precisao``, ``relevancia`` e ``tom``, de 1 a 5), ``nps`` (de 0
                a 10), ``correction``, ``persona``, ``session``, ``model``, ``model_version``,
                ``sources``, ``history`` (as falas de antes), ``replaces`` (o id da que esta troca)
                e o que mais couber em JSON.

        Erros:
            UsageError: um campo tem um valor que não se aceita. StorageError: o disco recusou, e
            nada foi gravado.
        """
        record = new_record(prompt, response, rating, timestamp, extra)
        older = record.get("replaces")
        if older is not None and older not in self._everything().records:
            raise UsageError(f"replaces={quoted(older)}: não há avaliação com esse id.")
        self._append(record)
        return record["id"]

    def add_records(self, records: Iterable[Record]) -> int:
        """Guarda, todas ou nenhuma, avaliações já prontas (``feedback_formats.import_csv``).

        Returns:
            Quantas entraram; as de um id que já se conhece, valha ou não, são deixadas.

        Erros:
            StorageError: o disco recusou, e nada foi gravado.
        """
        with self._store.locked():
            known = self._everything().records
            fresh = [record for record in records if record["id"] not in known]
            if fresh:
                self._store.append(self.path, map(encode_line, fresh))
        return len(fresh)

    def retract(self, id: str) -> None:
        """Desfaz uma avaliação: ela deixa de valer, e a que ela trocou volta a valer.

        Erros:
            UsageError: não há avaliação com esse id, ou ela já foi desfeita. StorageError: o disco
            recusou.
        """
        with self._store.locked():
            ledger = self._everything()
            if id not in ledger.records:
                raise UsageError(f"id={quoted(id)}: não há avaliação com esse id em '{self.path}'.")
            if id in ledger.retracted:
                raise UsageError(f"id={quoted(id)}: esta avaliação já foi desfeita.")
            self._append(event("retract", target=id))

    def _append(self, record: Record) -> None:
        self._store.append(self.path, [encode_line(record)])

    # ------------------------------------------------------------------ ler

    def get_all_feedback(self) -> list[Record]:
        """As avaliações que valem, fora as arquivadas, da mais antiga à mais nova."""
        return self._current().active()

    def get_filtered_feedback(
        self, min_rating: float | None = None, max_rating: float | None = None
    ) -> list[Record]:
        """As que valem e têm nota entre os dois limites, inclusive.

        Sem limites vêm todas; com algum, as que não têm nota ficam de fora.

        Erros:
            UsageError: um limite que não é número.
        """
        for name, bound in (("min_rating", min_rating), ("max_rating", max_rating)):
            if bound is not None and (
                isinstance(bound, bool) or not isinstance(bound, (int, float))
            ):
                raise UsageError(f"{name}={quoted(bound)}: esperado um número.")
        found = self.get_all_feedback()
        if min_rating is None and max_rating is None:
            return found
        low = 1 if min_rating is None else min_rating
        high = 5 if max_rating is None else max_rating
        return [record for record in found if low <= record.get("rating", -1) <= high]

    def pending(self, model: str | None = None) -> list[Record]:
        """As que valem e nenhum refinamento usou ainda.

        O NPS sozinho, que não diz nada de uma resposta, não espera refinamento e não aparece aqui.

        Args:
            model: só as deste modelo e as que não dizem de qual são.
        """
        ledger = self._current()
        return [
            record
            for record in _of_model(ledger.active(), model)
            if record["id"] not in ledger.processed and is_judgement(record)
        ]

    def needs_update(self, minimum: int | None = None) -> bool:
        """Se há avaliações novas que bastem para refinar.

        Args:
            minimum: quantas bastam; ``None`` usa ``config.feedback.min_new``.
        """
        enough = self.config.feedback.min_new if minimum is None else minimum
        return len(self.pending()) >= enough

    def get_training_samples(self, model: str | None = None) -> "list[TrainingSample]":
        """As amostras de treino que as avaliações pendentes dão (``feedback_samples``)."""
        from src.models.feedback_samples import training_samples

        return training_samples(self.pending(model)).samples

    def corrections(self, model: str | None = None) -> list[Record]:
        """As que valem e trazem uma correção, arquivadas inclusive, a mais nova por último."""
        found = _of_model(self._everything().active(), model)
        return [record for record in found if record.get("correction")]

    def archived(self) -> list[Record]:
        """As arquivadas que valem, da mais antiga à mais nova."""
        everything, current = self._both()
        active = everything.active()
        return [record for record in active if record["id"] not in current.records]

    def find(self, reference: str) -> Record:
        """A avaliação de id ``reference``, ou a única cujo id começa assim, valha ou não.

        Erros:
            UsageError: nenhuma, ou mais de uma.
        """
        records = self._everything().records
        if reference in records:
            return records[reference]
        found = [name for name in records if reference and name.startswith(reference)]
        if len(found) == 1:
            return records[found[0]]
        if found:
            raise UsageError(
                f"{quoted(reference)} é o começo de {len(found)} avaliações. Escreva mais do id."
            )
        raise UsageError(
            f"Não há avaliação {quoted(reference)} em '{self.path}'. Os ids: main.py feedback list"
        )

    def stats(self, model: str | None = None) -> dict[str, Any]:
        """Os números das avaliações que valem, prontos para JSON (``feedback_stats``)."""
        everything, current = self._both()
        active = _of_model(everything.active(), model)
        waiting = [
            record
            for record in active
            if record["id"] in current.records
            and record["id"] not in current.processed
            and is_judgement(record)
        ]
        archived = sum(record["id"] not in current.records for record in active)
        damaged = damaged_lines(self._store, everything)
        return feedback_stats(active, len(waiting), archived, len(damaged))

    # ------------------------------------------------------------------ depois de um refinamento

    def mark_processed(self, ids: Iterable[str], model: str = "", version: str = "") -> None:
        """Anota que um refinamento usou estas avaliações; as que não existem mais são deixadas.

        Erros:
            StorageError: o disco recusou.
        """
        wanted = [ids] if isinstance(ids, str) else list(ids)
        with self._store.locked():
            known = self._current().records
            targets = [name for name in dict.fromkeys(wanted) if name in known]
            if targets:
                self._append(event("processed", targets=targets, model=model, version=version))

    def clear_processed_feedback(self) -> int:
        """Leva ao arquivo-morto as já usadas e devolve quantas foram.

        Vão junto as que elas trocaram e os acontecimentos que só falam delas. Uma queda no meio não
        perde nem repete nada: o que já estiver no arquivo-morto não entra nele de novo.

        Erros:
            StorageError: o disco recusou; nada se perdeu.
        """
        return archive_processed(self._store)

    # ------------------------------------------------------------------ apagar

    def purge_count(
        self, id: str | None = None, session: str | None = None, text: str | None = None
    ) -> int:
        """Quanto ``purge`` apagaria com o mesmo critério, sem apagar nada.

        Erros:
            UsageError: nenhum critério, ou mais de um.
        """
        return purge_plan(self._store, Criterion.of(id, session, text)).count

    def purge(
        self, id: str | None = None, session: str | None = None, text: str | None = None
    ) -> int:
        """Apaga de vez o que atende ao critério, do arquivo, do arquivo-morto e das danificadas.

        Saem também as outras versões da mesma avaliação (a que ela trocou, a que a trocou) e os
        acontecimentos que falam delas.

        Args:
            id: uma avaliação. session: todas as de uma conversa.
            text: as que têm este trecho na pergunta, na resposta, na correção, no histórico, nas
                fontes ou num campo desconhecido, sem diferença de maiúsculas e acentos.

        Returns:
            Quantas avaliações e linhas danificadas saíram.

        Erros:
            UsageError: nenhum critério, ou mais de um. StorageError: o disco recusou.
        """
        return purge_files(self._store, Criterion.of(id, session, text))

    # ------------------------------------------------------------------ a leitura dos arquivos

    def _current(self) -> Ledger:
        """O estado do arquivo, sem o arquivo-morto."""
        ledger = build_ledger(self._store.read(self.path))
        self._report(ledger)
        return ledger

    def _both(self) -> tuple[Ledger, Ledger]:
        """O estado de tudo, com o arquivo-morto, e o do arquivo sozinho.

        O arquivo-morto é lido depois: o que mudar de um para o outro no meio aparece nos dois, e
        nunca em nenhum.
        """
        current = build_ledger(self._store.read(self.path))
        everything = merged(build_ledger(self._store.read(self.archive_path)), current)
        self._report(everything)
        return everything, current

    def _everything(self) -> Ledger:
        return self._both()[0]

    def _report(self, ledger: Ledger) -> None:
        """Guarda o que a leitura pulou e avisa do que ainda não se avisou."""
        self.problems = ledger.problems
        fresh = [text for text in ledger.problems if text not in self._warned]
        self._warned.update(fresh)
        if fresh:
            more = f" (e mais {len(fresh) - _SHOWN})" if len(fresh) > _SHOWN else ""
            logger.warning("%s%s", " ".join(fresh[:_SHOWN]), more)


def _of_model(records: list[Record], model: str | None) -> list[Record]:
    """As de um modelo e as que não dizem de qual são; ``None``: todas."""
    return [record for record in records if model is None or record.get("model", model) == model]
