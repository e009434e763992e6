"""Aprende os pesos da ordem final, da relevância e da citação (``src/retrieval/ranking.json``).

Usa o que o ajuste do codificador não leu: os artigos reservados de ``--pairs`` e os documentos
reservados de ``data/eval/busca_treino.jsonl`` (um em cada cinco, pelo título). Aprende três coisas,
com e sem vetores:

- a ordem: softmax sobre os candidatos de cada pergunta, com a passagem certa como alvo;
- a relevância: regressão logística; positivas são as passagens certas, e negativas a melhor
  passagem quando a certa (ou o artigo todo) foi retirada do índice, e a melhor para as perguntas
  que os documentos não respondem;
- a citação: softmax sobre as frases das passagens achadas, com a que responde como alvo.

    python scripts/train_retrieval_ranking.py --pairs squadpt_train
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from train_retrieval_encoder import DOCUMENTS_FILE, held_out, kept_apart, read_jsonl

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.evaluation.answers import has_term  # noqa: E402
from src.models.rag_retriever import UNUSED, RAGRetriever  # noqa: E402
from src.retrieval.chunking import chunk_document  # noqa: E402
from src.retrieval.encoder import LunaEncoder  # noqa: E402
from src.retrieval.quoting import (  # noqa: E402
    PASSAGES_READ,
    SENTENCE_FEATURES,
    answer_features,
    candidate_sentences,
    sentence_features,
)
from src.retrieval.ranking import FEATURES, _learned, learned_key  # noqa: E402
from src.retrieval.search import read_candidates  # noqa: E402
from src.retrieval.types import Block, Chunk, SourceDocument, by_file  # noqa: E402
from src.utils.atomic_io import write_text  # noqa: E402

logger = logging.getLogger("train_retrieval_ranking")

OUT = ROOT / "src" / "retrieval" / "ranking.json"
PENALTY = 1e-3  # do quadrado dos pesos, nos softmax
DECLINED = 0.6  # das perguntas de fora, quase todas de assunto vizinho, a parte que se recusa
DENSE = FEATURES.index("dense")
VECTOR_FEATURES = [SENTENCE_FEATURES.index(name) for name in ("cosine", "late")]


@dataclass
class Question:
    """Uma pergunta, os trechos que a respondem e o que a frase certa contém."""

    text: str
    chunks: set[str]
    group: str  # o artigo ou documento
    answer: str = ""  # texto que a frase certa contém


@dataclass
class Collection:
    """Trechos e as perguntas sobre eles; ``outside`` são as que eles não respondem."""

    chunks: list[Chunk]
    questions: list[Question]
    outside: list[str] = field(default_factory=list)


def read_pairs(folder: Path) -> Collection:
    """Os artigos reservados de ``--pairs``; cada parágrafo é um trecho."""
    corpus, asked = read_jsonl(folder / "corpus.jsonl"), read_jsonl(folder / "queries.jsonl")
    kept = {item["id"]: item for item in corpus if held_out(item["title"])}
    chunks = [Chunk(name, item["text"], name, name) for name, item in kept.items()]
    questions = [
        Question(
            item["text"], set(item["relevant"]), kept[item["relevant"][0]]["title"], item["answer"]
        )
        for item in asked
        if item["relevant"][0] in kept
    ]
    return Collection(chunks, questions)


def read_documents(path: Path) -> Collection:
    """Os documentos reservados, cortados como a indexação corta."""
    found = Collection([], [])
    for item in read_jsonl(path):
        title, sentences = item["titulo"], item["frases"]
        if not kept_apart(item):
            continue
        paragraphs = [" ".join(sentences[i : i + 4]) for i in range(0, len(sentences), 4)]
        document = SourceDocument(title, title, [Block(text) for text in paragraphs], title)
        chunks = chunk_document(document)
        found.chunks += chunks
        found.outside += item["fora"]
        for asked in item["perguntas"]:
            right = sentences[asked["frase"]]
            own = {c.chunk_id for c in chunks if right in " ".join(c.text.split())}
            found.questions.append(Question(asked["pergunta"], own, title, right))
    return found


# --- As medidas ----------------------------------------------------------------------------------


class RememberingEncoder:
    """Um codificador que não lê o mesmo texto duas vezes: as perguntas repetem as frases."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.identity, self.dimension = encoder, encoder.identity, encoder.dimension
        self.known: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}

    def encode(self, texts: Sequence[str], kind: str = "passage") -> np.ndarray:
        """Ver ``Encoder``."""
        return self.read(texts, kind)[0]

    def read(
        self, texts: Sequence[str], kind: str = "passage"
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Ver ``Encoder``."""
        missing = [t for t in dict.fromkeys(texts) if (kind, t) not in self.known]
        if missing:
            vectors, states = self.encoder.read(missing, kind)
            for text, row, state in zip(missing, vectors, states):
                self.known[kind, text] = row, state.astype(np.float16)  # são muitos
        found = [self.known[kind, text] for text in texts]
        return np.stack([row for row, _ in found]), [s.astype(np.float32) for _, s in found]


@lru_cache(maxsize=1)
def shipped() -> RememberingEncoder:
    """O codificador que vem junto, aberto uma vez."""
    return RememberingEncoder(LunaEncoder())


def index_of(chunks: Sequence[Chunk], model: str | None) -> RAGRetriever:
    """Um índice destes trechos."""
    retriever = RAGRetriever(sentence_transformer_model=model)
    if model is None:
        retriever._encoder = shipped()
    retriever.add_chunks(by_file(chunks))
    return retriever


@dataclass
class Examples:
    """Grupos de linhas e quais delas são certas: um softmax por grupo."""

    rows: list[np.ndarray] = field(default_factory=list)  # [K, F] de cada grupo
    right: list[np.ndarray] = field(default_factory=list)  # [K] bool

    def add(self, rows: np.ndarray, right: Sequence[bool]) -> None:
        """Um grupo, se nele há ao menos uma certa e uma errada."""
        if any(right) and not all(right):
            self.rows.append(rows)
            self.right.append(np.array(right))


def rank_examples(retriever: RAGRetriever, collection: Collection) -> Examples:
    """Os candidatos de cada pergunta."""
    examples = Examples()
    for question in collection.questions:
        found = read_candidates(retriever.backend, _encoder(retriever), question.text, 10)
        examples.add(found.features, [c.chunk_id in question.chunks for c in found.chunks])
    return examples


def _encoder(retriever: RAGRetriever) -> Any:
    return retriever.encoder if retriever.has_vectors else None


def relevance_rows(
    retriever: RAGRetriever, collection: Collection, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(medidas do melhor candidato [N, F], se ele responde [N]).

    Com tudo no índice, a melhor passagem certa; sem as certas e, outra vez, sem o artigo, a melhor
    das que restam; e a melhor para as perguntas de fora.
    """
    group_of = {name: q.group for q in collection.questions for name in q.chunks}
    rows, labels = [], []
    for question in collection.questions:
        found = read_candidates(retriever.backend, _encoder(retriever), question.text, 10)
        scores = found.features @ weights
        own = np.array([c.chunk_id in question.chunks for c in found.chunks])
        same = np.array([group_of.get(c.chunk_id) == question.group for c in found.chunks])
        for mask, label in ((own, 1), (~own & same, 0), (~same, 0)):
            if mask.any():
                rows.append(found.features[mask][np.argmax(scores[mask])])
                labels.append(label)
    for text in collection.outside:
        found = read_candidates(retriever.backend, _encoder(retriever), text, 10)
        rows.append(found.features[np.argmax(found.features @ weights)])
        labels.append(0)
    return np.array(rows), np.array(labels)


def answer_rows(retriever: RAGRetriever, collection: Collection) -> tuple[np.ndarray, np.ndarray]:
    """(medidas da resposta inteira [N, 4], se os documentos respondem [N]).

    Positivas, as perguntas, quando a passagem certa foi achada; negativas, as mesmas sem o artigo,
    e as de fora.
    """
    group_of = {name: q.group for q in collection.questions for name in q.chunks}
    rows, labels = [], []

    def add(text: str, passages: Sequence[Any], label: int) -> None:
        if passages:
            sentences = candidate_sentences(passages)
            idf, encoder = retriever.backend.idf, _encoder(retriever)
            found = sentence_features(text, passages, sentences, encoder, idf)
            rows.append(answer_features(passages, found))
            labels.append(label)

    for question in collection.questions:
        passages = retriever.retrieve(question.text, 20)
        if any(p.chunk_id in question.chunks for p in passages[:PASSAGES_READ]):
            add(question.text, passages[:PASSAGES_READ], 1)
        others = [p for p in passages if group_of.get(p.chunk_id) != question.group]
        add(question.text, others[:PASSAGES_READ], 0)
    for text in collection.outside:
        add(text, retriever.retrieve(text, PASSAGES_READ), 0)
    return np.array(rows), np.array(labels)


def quote_examples(retriever: RAGRetriever, collection: Collection) -> Examples:
    """As frases das passagens achadas."""
    examples = Examples()
    for question in collection.questions:
        passages = retriever.retrieve(question.text, PASSAGES_READ)
        sentences = candidate_sentences(passages)
        encoder = _encoder(retriever)
        rows = sentence_features(question.text, passages, sentences, encoder, retriever.backend.idf)
        right = [
            passages[s.passage].chunk_id in question.chunks and _holds(s.text, question.answer)
            for s in sentences
        ]
        examples.add(rows, right)
    return examples


def _holds(sentence: str, answer: str) -> bool:
    answer = answer.strip()
    plain = re.sub(r"\W+", "", answer)
    return bool(plain) and (answer == sentence or has_term(sentence, answer))


# --- O aprendizado -------------------------------------------------------------------------------


def fit_softmax(examples: Examples, fixed: Sequence[int] = ()) -> np.ndarray:
    """Os pesos que mais dão às certas a chance do grupo; os de ``fixed`` ficam em 0."""
    width = max(len(rows) for rows in examples.rows)
    count, features = len(examples.rows), examples.rows[0].shape[1]
    values = torch.zeros(count, width, features)
    absent = torch.ones(count, width, dtype=torch.bool)
    wrong = torch.ones(count, width, dtype=torch.bool)
    for group, (rows, right) in enumerate(zip(examples.rows, examples.right)):
        values[group, : len(rows)] = torch.from_numpy(rows)
        absent[group, : len(rows)] = False
        wrong[group, : len(rows)] = torch.from_numpy(~right)
    values[:, :, list(fixed)] = 0
    weights = torch.zeros(features, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        scores = torch.log_softmax((values @ weights).masked_fill(absent, -1e9), dim=1)
        mass = torch.logsumexp(scores.masked_fill(wrong, -1e9), dim=1)
        value = -mass.mean() + PENALTY * (weights / 10).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach().numpy()


def first_right(examples: Examples, weights: np.ndarray) -> float:
    """Em que parte dos grupos a primeira é certa."""
    pairs = zip(examples.rows, examples.right)
    return float(np.mean([right[np.argmax(rows @ weights)] for rows, right in pairs]))


def fit_relevance(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """(pesos e termo constante, limiar que recusa ``DECLINED`` das negativas)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0, class_weight="balanced", max_iter=5000)
    model.fit(rows, labels)
    chances = model.predict_proba(rows)[:, 1]
    threshold = float(np.quantile(chances[labels == 0], DECLINED))
    return np.concatenate([model.coef_[0], model.intercept_]), threshold


def learn(collections: Sequence[Collection], model: str | None) -> dict[str, list[float]]:
    """Os pesos de um dos dois modos; ``model`` é o que ``RAGRetriever`` recebe."""
    fixed = [DENSE] if model else []
    built = [(index_of(collection.chunks, model), collection) for collection in collections]
    found: dict[str, list[float]] = {}

    def keep(key: str, values: np.ndarray) -> None:
        stored = learned_key(key, with_vectors=model is None)
        found[stored] = [round(float(value), 4) for value in values]
        _learned()[stored] = found[stored]  # o passo seguinte já o usa

    groups = Examples()
    for retriever, collection in built:
        own = rank_examples(retriever, collection)
        groups.rows += own.rows
        groups.right += own.right
    weights = fit_softmax(groups, fixed)
    keep("rank", weights)
    logger.info(
        "%s: %s; primeira certa em %.3f",
        "sem vetores" if model else "com vetores",
        weights.round(2),
        first_right(groups, weights),
    )
    parts = [relevance_rows(retriever, collection, weights) for retriever, collection in built]
    rows, labels = (np.concatenate(part) for part in zip(*parts))
    relevance, threshold = fit_relevance(rows, labels)
    keep("relevance", relevance)
    keep("threshold", np.array([threshold]))
    groups = Examples()
    for retriever, collection in built:
        own = quote_examples(retriever, collection)
        groups.rows += own.rows
        groups.right += own.right
    weights = fit_softmax(groups, VECTOR_FEATURES if model else [])
    keep("quote", weights)
    parts = [answer_rows(retriever, collection) for retriever, collection in built]
    rows, labels = (np.concatenate(part) for part in zip(*parts))
    if model:  # sem vetores, a cobertura só repete o que a relevância já diz
        rows[:, 1:] = 0
    answer, threshold = fit_relevance(rows, labels)
    keep("answer", answer)
    keep("answer_threshold", np.array([threshold]))
    logger.info("resposta: %s; limiar %.3f", answer.round(2), threshold)
    logger.info("citação: %s; certa em %.3f", weights.round(2), first_right(groups, weights))
    return found


def main() -> None:
    """Aprende e grava."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True, help="pasta de pares")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    collections = [read_pairs(args.pairs), read_documents(ROOT / DOCUMENTS_FILE)]
    weights = learn(collections, None) | learn(collections, UNUSED)
    write_text(args.out, json.dumps(weights, indent=1) + "\n")


if __name__ == "__main__":
    main()
