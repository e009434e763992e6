"""A avaliação de um modelo, ou de dois lado a lado: tudo o que ``main.py evaluate`` mede.

Os dados viram três grupos: textos corridos (``texts``), conversas (``conversations``) e perguntas
(``questions``). De todos se mede a verossimilhança; às conversas e às perguntas o modelo responde,
e as respostas são comparadas às de referência. Dois modelos veem os mesmos trechos e as mesmas
perguntas, e as diferenças têm o seu próprio intervalo.
"""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from src.config.personas import PERSONAS, Personas
from src.evaluation import intervals, text_metrics
from src.evaluation.comparison import Measured, differences
from src.evaluation.data import GROUPS, EvaluationData
from src.evaluation.intervals import Estimate
from src.evaluation.latency import measure_latency
from src.evaluation.likelihood import Encoded, UnitScores, score
from src.evaluation.memory import measure_memory
from src.evaluation.questions import (
    ACCURACY_NAMES,
    Answer,
    Answered,
    Question,
    answer_all,
    as_json,
    grades,
)
from src.evaluation.subject import MAX_WINDOW, Subject
from src.models.chat_format import with_persona
from src.utils.documents import Document
from src.utils.errors import ContextLengthError, LunaError, UsageError

logger = logging.getLogger(__name__)

ANSWER_TOKENS = 64  # o máximo de cada resposta
LATENCY_TOKENS, LATENCY_PROMPTS = 32, 20
FERTILITY_CHARS = 500_000
LOSSLESS_CHARS = 20_000  # de cada documento, para ver se o tokenizador perde texto
LOSSY = (
    "O tokenizador de '%s' não devolve o texto que recebeu (tokens desconhecidos, acentos ou "
    "maiúsculas perdidos): os seus bits por byte não se comparam com os de outro modelo."
)

Progress = Callable[[str], object]


def silent(text: str) -> None:
    """O andamento de quem não o quer ver."""


# ---------------------------------------------------------------------- verossimilhança


def read_by(
    subject: Subject,
    data: EvaluationData,
    window: int | None = None,
    stride: int | None = None,
    personas: Personas = PERSONAS,
    progress: Progress = silent,
) -> dict[str, UnitScores]:
    """A informação de cada trecho, por grupo, e de todos em ``all``.

    Args:
        window, stride: em tokens; o contexto do modelo e metade da janela, se não ditos.

    Erros:
        UsageError: não cabem no modelo.
    """
    window, stride = window_and_stride(subject, window, stride)
    encoded = [_encode(subject, document, personas) for document in data.documents]
    total, done = sum(item.tokens for item in encoded), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(f"{subject.name}: lidos {100 * done // max(total, 1)} % dos tokens")

    nats = score(
        subject.model,
        encoded,
        window,
        stride,
        subject.vocab_size,
        subject.device,
        on_progress=advance,
    )
    if not all(np.isfinite(values).all() for values in nats):
        raise LunaError(
            f"'{subject.name}' deu uma perda que não é um número: os pesos têm NaN ou infinito. "
            "Recupere uma cópia do modelo."
        )
    found = {"all": UnitScores.collect(encoded, nats)}
    for group in GROUPS:
        places = [index for index, name in enumerate(data.groups) if name == group]
        if places:
            found[group] = UnitScores.collect(
                [encoded[i] for i in places], [nats[i] for i in places]
            )
    return found


def _encode(subject: Subject, document: Document, personas: Personas) -> Encoded:
    if document.messages is None:
        return subject.text(str(document))
    return subject.conversation(with_persona(document.messages, document.persona, personas))


def window_and_stride(subject: Subject, window: int | None, stride: int | None) -> tuple[int, int]:
    """A janela e o avanço, em tokens, conferidos.

    Erros:
        UsageError: não cabem no contexto do modelo, ou o avanço não cabe na janela.
    """
    if window is None:
        window = subject.context
    elif not 2 <= window <= subject.context:
        raise UsageError(
            f"--window {window}: com '{subject.name}', esperado de 2 a {subject.context} (o "
            f"contexto dele; no máximo {MAX_WINDOW})."
        )
    if stride is None:
        stride = max(1, window // 2)
    elif not 1 <= stride < window:
        raise UsageError(f"--stride {stride}: esperado de 1 a {window - 1}, menos que a janela.")
    return window, stride


def likelihood_json(scores: dict[str, UnitScores]) -> dict[str, Any]:
    """Por grupo, as medidas e o intervalo dos bits por byte."""
    return {
        group: found.total().to_dict()
        | {"interval": bits_per_byte(found).to_dict(), "units": len(found.bytes)}
        for group, found in scores.items()
        if found.bytes.sum()
    }


def bits_per_byte(scores: UnitScores) -> Estimate:
    """Bits por byte, com o intervalo de reamostrar os trechos."""
    return intervals.ratio(scores.bits, scores.bytes)


# ---------------------------------------------------------------------- respostas


def greedy_answer(subject: Subject, max_new_tokens: int = ANSWER_TOKENS) -> Answer:
    """Como um modelo responde sem sorteio e sem nada além do prompt."""

    @torch.inference_mode()
    def answer(question: Question) -> str:
        room = max(subject.context - max_new_tokens, subject.context // 2)
        ids = subject.prompt(question.messages)
        if len(ids) > room:  # ficam o começo e o fim do prompt
            ids = [ids[0], *ids[len(ids) - room + 1 :]]
        inputs = torch.tensor([ids], device=subject.device)
        output: Any = subject.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=min(max_new_tokens, subject.context - len(ids)),
            do_sample=False,
            num_beams=1,
            eos_token_id=subject.stop_ids or None,
            pad_token_id=subject.prefix_id,
        )
        return subject.answer(output[0, len(ids) :].tolist())

    return answer


def sample(questions: Sequence[Question], limit: int) -> list[Question]:
    """Até ``limit`` perguntas, sorteadas sempre do mesmo modo, na ordem em que estavam."""
    if len(questions) <= limit:
        return list(questions)
    chosen = random.Random(0).sample(range(len(questions)), limit)
    return [questions[index] for index in sorted(chosen)]


def answered_by(
    name: str,
    answer: Answer,
    questions: Sequence[Question],
    progress: Progress = silent,
    what: str = "",
) -> list[Answered]:
    """Responde às perguntas; a que não cabe no contexto fica com a resposta vazia."""
    done = 0

    def reply(question: Question) -> str:
        nonlocal done
        try:
            return answer(question)
        except ContextLengthError as error:
            logger.warning("%s: sem resposta: %s", question.source, error)
            return ""
        finally:
            done += 1
            progress(f"{name}: {done} de {len(questions)} respostas {what}")

    return answer_all(questions, reply)


def answers_json(turns: Sequence[Answered]) -> dict[str, Any]:
    """As medidas das respostas às conversas."""
    answers = [item.answer for item in turns]
    references = [item.question.references[0] for item in turns]
    found = text_metrics.similarity(answers, references)
    return {
        "count": len(turns),
        **{name: value.to_dict() for name, value in found.items()},
        **text_metrics.variety(answers),
    }


def questions_json(graded: Sequence[Answered]) -> dict[str, Any]:
    """As medidas das respostas aos conjuntos de perguntas."""
    found: dict[str, Any] = {"count": len(graded)}
    for name in ACCURACY_NAMES:
        values = grades(graded, name)
        if values:
            measure = intervals.mean if name == "f1" else intervals.proportion  # o resto é 0 ou 1
            found[name] = measure(values).to_dict() | {"count": len(values)}
    return found | text_metrics.variety([item.answer for item in graded])


# ---------------------------------------------------------------------- tokenizador e recursos


def fertility(subject: Subject, texts: Sequence[str]) -> dict[str, Any]:
    """Quantos tokens o tokenizador gasta: por palavra (o que há entre espaços) e por byte.

    De um texto maior que ``FERTILITY_CHARS`` vale o começo.
    """
    texts = [text[:FERTILITY_CHARS] for text in texts]
    tokens = sum(len(subject.encode(text)[0]) for text in texts)
    word_count = sum(len(text.split()) for text in texts)
    byte_count = sum(len(text.encode("utf-8")) for text in texts)
    return {
        "vocab_size": subject.vocab_size,
        "tokens": tokens,
        "tokens_per_word": tokens / word_count if word_count else None,
        "bytes_per_token": byte_count / tokens if tokens else None,
    }


def latency_prompts(subject: Subject, data: EvaluationData, count: int) -> list[list[int]]:
    """Prompts para medir latência: perguntas dos dados; sem elas, começos dos textos."""
    room = max(1, subject.context - LATENCY_TOKENS)
    asked = [*data.questions, *data.turns]
    if asked:
        prompts = [subject.prompt(question.messages) for question in asked[:count]]
    else:
        prompts = [subject.text(text[:400]).ids.tolist() for text in data.documents[:count]]
    return [prompts[i % len(prompts)][-room:] for i in range(count)]


# ---------------------------------------------------------------------- tudo


@dataclass(frozen=True)
class Contestant:
    """Um modelo e como ele responde."""

    subject: Subject
    answer: Answer


@dataclass(frozen=True)
class Settings:
    """Até onde medir. answers: respostas por grupo. quick: menos rodadas e sem memória."""

    answers: int = 100
    window: int | None = None
    stride: int | None = None
    quick: bool = False


@dataclass(frozen=True)
class Evaluation:
    """O resultado.

    result: pronto para JSON; o primeiro modelo na raiz (``bits_per_byte``, ``perplexity``,
    ``tokens``, ``bytes`` e as seções), o segundo em ``compare`` e as diferenças em ``differences``.
    units: por modelo, os bits por byte de cada trecho, na mesma ordem; para os gráficos.
    """

    result: dict[str, Any]
    units: list[list[float]]


def evaluate(
    contestants: Sequence[Contestant],
    data: EvaluationData,
    settings: Settings = Settings(),
    personas: Personas = PERSONAS,
    progress: Progress = silent,
) -> Evaluation:
    """Mede um modelo, ou dois e a diferença deles.

    Erros:
        UsageError: a janela pedida não cabe num dos modelos.
    """
    for item in contestants:
        window_and_stride(item.subject, settings.window, settings.stride)  # antes do trabalho
    found = [_measure(item, data, settings, personas, progress) for item in contestants]
    names = unique_names([item.subject.name for item in contestants])
    count = 5 if settings.quick else LATENCY_PROMPTS
    progress("medindo a latência")
    latencies = measure_latency(
        {name: item.subject.model for name, item in zip(names, contestants)},
        {
            name: latency_prompts(item.subject, data, count)
            for name, item in zip(names, contestants)
        },
        min(LATENCY_TOKENS, *(item.subject.context - 1 for item in contestants)),
    )
    for name, measured, contestant in zip(names, found, contestants):
        measured.result["latency"] = latencies[name]
        measured.result["memory"] = None
        if not settings.quick:
            progress(f"medindo a memória de {name}")
            measured.result["memory"] = _memory(contestant.subject)
    result = found[0].result
    if len(found) > 1:
        result["compare"] = found[1].result
        result["differences"] = differences(found[0], found[1])
    return Evaluation(result, [_unit_bits(measured.scores) for measured in found])


def _memory(subject: Subject) -> dict[str, float | None] | None:
    """A memória do modelo; se a medida falha, o resto da avaliação não se perde."""
    try:
        return measure_memory(subject.folder, subject.device)
    except LunaError as error:
        logger.warning("%s", error)
        return None


def measured_models(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Nome -> o que se mediu dele: o modelo do resultado e, se há, o da comparação."""
    models = [result, *([result["compare"]] if result.get("compare") else [])]
    return dict(zip(unique_names([model["model"] for model in models]), models))


def unique_names(names: Sequence[str]) -> list[str]:
    """Os nomes, com um sufixo onde dois modelos se chamam igual."""
    return [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _measure(
    contestant: Contestant,
    data: EvaluationData,
    settings: Settings,
    personas: Personas,
    progress: Progress,
) -> Measured:
    subject = contestant.subject
    scores = read_by(subject, data, settings.window, settings.stride, personas, progress)
    turns, graded = (
        answered_by(
            subject.name, contestant.answer, sample(asked, settings.answers), progress, what
        )
        for asked, what in ((data.turns, "às conversas"), (data.questions, "às perguntas"))
    )
    window, stride = window_and_stride(subject, settings.window, settings.stride)
    lossless = subject.is_lossless(str(text)[:LOSSLESS_CHARS] for text in data.documents)
    if not lossless:
        logger.warning(LOSSY, subject.name)
    likelihood = likelihood_json(scores)
    total = likelihood.get("all", {})
    result: dict[str, Any] = {
        "model": subject.name,
        "folder": str(subject.folder),
        "parameters": subject.parameters,
        **{name: total.get(name) for name in ("bits_per_byte", "perplexity", "tokens", "bytes")},
        "likelihood": likelihood,
        "protocol": {"window": window, "stride": stride, "prefix_id": subject.prefix_id},
        "tokenizer": fertility(subject, [str(document) for document in data.documents])
        | {"lossless": lossless},
        "answers": answers_json(turns) if turns else None,
        "questions": questions_json(graded) if graded else None,
        "samples": {
            "questions": [as_json(item) for item in graded],
            "answers": [as_json(item) for item in turns],
        },
    }
    return Measured(scores, turns, graded, result)


def _unit_bits(scores: dict[str, UnitScores]) -> list[float]:
    """Bits por byte de cada trecho que tem texto."""
    found = scores["all"]
    kept = found.bytes > 0
    return [float(v) for v in found.bits[kept] / found.bytes[kept]]
