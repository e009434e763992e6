"""Um índice pequeno, o que se pode perguntar a ele, e como danificá-lo."""

import hashlib

import numpy as np

from src.retrieval.local_backend import LocalBackend
from src.retrieval.storage import load_index
from src.retrieval.types import Chunk, DocumentRecord

TEXTS = ["gato no sofá", "o rato e o gato", "cão no jardim", "chuva na cidade", "a lei do gato", ""]
QUERIES = ["gato", "rato jardim", "chuva de lei"]
D = 6


def vector(text):
    """Um vetor de norma 1 que só depende do texto."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    values = np.random.default_rng(seed).standard_normal(D).astype(np.float32)
    return values / np.linalg.norm(values)


def encode(texts):
    return np.stack([vector(text) for text in texts]) if texts else np.empty((0, D), np.float32)


def chunks_of(file, texts, metadata=None):
    return [
        Chunk(f"{file}#{n}:{text}", text, file, file, n, metadata=metadata or {"arquivo": file})
        for n, text in enumerate(texts)
    ]


def put(backend, file, texts, dense=True, metadata=None):
    chunks = chunks_of(file, texts, metadata)
    record = DocumentRecord(file, f"digest-{'|'.join(texts)}", -1, title=f"Título de {file}")
    backend.add(record, chunks, encode([c.indexed_text for c in chunks]) if dense else None)


def built(files, dense=True, use_faiss=False):
    backend = LocalBackend(use_faiss)
    for file, texts in files.items():
        put(backend, file, texts, dense)
    return backend


def contents(backend):
    """Tudo o que se pode perguntar a um armazém."""
    ids = np.arange(len(backend))
    found = {"chunks": [backend.chunk(row) for row in ids], "documents": dict(backend.documents)}
    found["order"] = list(backend.documents)
    for query in QUERIES:
        found[f"lexical {query}"] = [x.tolist() for x in backend.search_lexical(query, 100)]
        found[f"scores {query}"] = backend.lexical_scores(query, ids).tolist()
        found[f"dense {query}"] = [x.tolist() for x in backend.search_dense(vector(query), 100)]
        found[f"products {query}"] = backend.dense_scores(vector(query), ids).tolist()
    vectors = backend.vectors(ids)
    found["vectors"] = None if vectors is None else vectors.tolist()
    return found


class Counting:
    """Um modelo de vetores que anota o que lhe pediram."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.append(texts)
        return encode(texts)


FILES = {"a.txt": TEXTS[:3], "vazio.txt": [], "ação 🎉.md": TEXTS[3:5]}
EXTRA = {"encoder": {"nome": "modelo-α", "versão": 2}, "settings": {"k": 3}, "patterns": ["*.txt"]}
DATA = ["chunks.jsonl", "documents.json", "rows.npy", "terms.json", "term_ids.npy"]
DATA += ["term_counts.npy", "vectors.npy"]
LEXICAL = ["terms.json", "term_ids.npy", "term_counts.npy"]


def data_folder(folder):
    (found,) = folder.glob("data-*")
    return found


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def load(folder, **options):
    return load_index(folder, use_faiss=False, **options)


def flip(path, place=0.5):
    """Troca um byte."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0xFF
    path.write_bytes(data)


DAMAGE = {
    "flipped": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "garbage": lambda path: path.write_bytes(b"\x80\x04lixo\n" * 20),
}
