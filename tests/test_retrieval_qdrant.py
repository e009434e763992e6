"""O Qdrant faz o mesmo que uma lista de trechos com o BM25 e o produto interno escritos à mão.

O contrato roda no motor local (memória e pasta) e, por HTTP, contra um servidor de mentira que
entrega cada pedido ao motor local: os pedidos são os de verdade; o servidor, não.
"""

import json
import math
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

qdrant_client = pytest.importorskip("qdrant_client")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from qdrant_client import models  # noqa: E402

from src.config.config import Config  # noqa: E402
from src.models.rag_retriever import RAGRetriever  # noqa: E402
from src.retrieval import qdrant_backend, qdrant_schema  # noqa: E402
from src.retrieval.lexical import LexicalIndex  # noqa: E402
from src.retrieval.portuguese import terms  # noqa: E402
from src.retrieval.qdrant_backend import QdrantBackend  # noqa: E402
from src.retrieval.types import Chunk, DocumentRecord  # noqa: E402
from src.utils.errors import DataError, DependencyError, LunaError, UsageError  # noqa: E402

D = 6
KEY = "chave-secreta-123"
TEXTS = [
    "A água do rio corre devagar até o mar.",
    "O computador guarda os dados na memória, e a memória guarda os dados do computador.",
    "Amanhã vamos à feira comprar maçãs, pães e café.",
    "O cão late e o gato dorme no sofá da sala.",
    "O rio enche quando chove na serra; a água leva a terra e a ponte.",
    "Café com pão e manteiga.",
    "O trem parte às dez e meia da estação perto do rio.",
    "Gatos e cães dormem muito.",
]
QUERIES = ["água do rio", "gato dorme", "memória do computador memória", "café", "xadrez", "o de"]


def make_chunks(file, texts, start=0, **changes):
    """Trechos de um arquivo, com números de ``start`` em diante."""
    return [
        replace(
            Chunk(
                chunk_id=f"{file}-{position}-{text[:20]}",
                text=text,
                source=f"{file}:{position}",
                file=file,
                position=position,
                title="Título" if position else "",
                section="Um > Dois",
                page=position or None,
                metadata={"parity": position % 2, "tags": ["a", "b"]},
            ),
            **changes,
        )
        for position, text in enumerate(texts, start)
    ]


def make_vectors(count, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def record_of(file, digest="x", **changes):
    return DocumentRecord(file=file, digest=digest, chunks=0, title=f"T {file}", **changes)


class Reference:
    """Um ``ChunkBackend`` lento e óbvio.

    ``average``: a média de termos do BM25; ``None`` é a dos trechos que lá estão.
    """

    def __init__(self, average=None):
        self.average, self.rows, self.records, self.next = average, [], {}, 0

    def __len__(self):
        return len(self.rows)

    @property
    def documents(self):
        return self.records

    def add(self, record, chunks, vectors):
        self.remove(record.file)
        for place, chunk in enumerate(chunks):
            vector = None if vectors is None else vectors[place]
            self.rows.append((self.next, record.file, chunk, vector))
            self.next += 1
        self.records[record.file] = replace(record, chunks=len(chunks))

    def remove(self, file):
        before = len(self.rows)
        self.rows = [row for row in self.rows if row[1] != file]
        self.records.pop(file, None)
        return before - len(self.rows)

    def clear(self):
        self.rows, self.records = [], {}

    def chunk(self, index):
        return next(chunk for number, _, chunk, _ in self.rows if number == index)

    def idf(self, names):
        texts = [terms(chunk.indexed_text) for _, _, chunk, _ in self.rows]
        found = {name: sum(name in text for text in texts) for name in names}
        return {n: math.log(1 + (len(texts) - k + 0.5) / (k + 0.5)) for n, k in found.items()}

    def _bm25(self, query):
        texts = [terms(chunk.indexed_text) for _, _, chunk, _ in self.rows]
        idf = self.idf(terms(query))
        average = self.average or sum(map(len, texts)) / max(1, len(texts))
        scores = []
        for text in texts:
            score = 0.0
            for term in terms(query):
                tf = text.count(term)
                score += idf[term] * tf / (tf + 1.2 * (1 - 0.75 + 0.75 * len(text) / average))
            scores.append(score)
        return scores

    def _best(self, scores, limit, keep, floor=-math.inf):
        found = [
            (-np.float32(score), number)
            for score, (number, _, chunk, _) in zip(scores, self.rows)
            if score > floor and (keep is None or keep(chunk.metadata))
        ]
        return [(number, -score) for score, number in sorted(found)[:limit]]

    def search_lexical(self, query, limit, keep=None):
        return self._best(self._bm25(query), limit, keep, 0.0)

    def search_dense(self, vector, limit, keep=None):
        scores = [float(row @ vector) for *_, row in self.rows if row is not None]
        return self._best(scores, limit, keep)


# --- Um servidor de mentira -----------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    """Entrega ao motor local o que o cliente pede por HTTP."""

    def log_message(self, *args):
        """Sem registro."""

    def _reply(self, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or b"{}")
        server = self.server
        if self.headers.get("api-key") != server.key:
            return self._reply(401, {"status": {"error": "Must provide an API key"}})
        path = self.path.partition("?")[0]
        server.seen.append((self.command, path, body))
        _, _, name, *rest = path.split("/")
        result = _route(server.local, self.command, name, "/".join(rest), body)
        plain = json.loads(json.dumps(result, default=lambda item: item.model_dump(mode="json")))
        return self._reply(200, {"result": plain, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer


def _route(local, command, name, rest, body):
    if rest == "exists":
        return {"exists": local.collection_exists(name)}
    if rest == "":
        if command == "GET":
            return local.get_collection(name)
        if command == "DELETE":
            return local.delete_collection(name)
        if command == "PATCH":
            return local.update_collection(name, metadata=models.UpdateCollection(**body).metadata)
        config = models.CreateCollection(**body)
        return local.create_collection(
            name, config.vectors, config.sparse_vectors, metadata=config.metadata
        )
    done = {"operation_id": 0, "status": "completed"}
    if rest == "index":
        return done
    if rest == "points" and command == "PUT":
        local.upsert(name, models.PointsList(**body).points)
        return done
    if rest == "points":
        ask = models.PointRequest(**body)
        return local.retrieve(name, ask.ids, ask.with_payload, ask.with_vector or False)
    if rest == "points/delete":
        kind = models.FilterSelector if "filter" in body else models.PointIdsList
        local.delete(name, kind(**body))
        return done
    if rest == "points/count":
        return local.count(name, models.CountRequest(**body).filter)
    if rest == "points/scroll":
        ask = models.ScrollRequest(**body)
        points, after = local.scroll(
            name, ask.filter, ask.limit, ask.order_by, ask.offset, ask.with_payload
        )
        return {"points": points, "next_page_offset": after}
    if rest == "points/query/batch":
        return [_query(local, name, models.QueryRequest(**each)) for each in body["searches"]]
    assert rest == "points/query", rest
    return _query(local, name, models.QueryRequest(**body))


def _query(local, name, ask):
    return local.query_points(
        name,
        ask.query,
        using=ask.using,
        query_filter=ask.filter,
        limit=ask.limit,
        with_payload=ask.with_payload or False,
        with_vectors=ask.with_vector or False,
    )


@pytest.fixture
def server():
    """Um servidor de mentira; ``url``, ``key``, ``seen`` (os pedidos) e ``local``."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    running.local = qdrant_client.QdrantClient(":memory:")
    running.key, running.seen = KEY, []
    running.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(params=["memory", "folder", "server"])
def open_backend(request, tmp_path):
    """Abre um armazém em cada lugar; fecha todos no fim."""
    places = {"memory": lambda: ":memory:", "folder": lambda: tmp_path / "q"}
    if request.param == "server":
        url = request.getfixturevalue("server").url
        places["server"] = lambda: url
    opened = []

    def opener(**options):
        backend = QdrantBackend(places[request.param](), api_key=KEY, **options)
        opened.append(backend)
        return backend

    opener.kind = request.param
    yield opener
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(open_backend):
    return open_backend()


def assert_same(backend, reference, queries=QUERIES, limit=5, keep=None):
    """As mesmas contagens, documentos, buscas e notas que a referência."""
    assert len(backend) == len(reference)
    assert list(backend.documents.items()) == list(reference.documents.items())
    assert len(backend.documents) == len(reference.documents)
    for query in queries:
        hits = backend.search_lexical(query, limit, keep)
        _assert_hits(backend, hits, reference, reference.search_lexical(query, limit, keep))
        np.testing.assert_allclose(backend.lexical_scores(query, hits.ids), hits.scores, rtol=1e-5)
    names = ["agu", *(term for query in queries for term in terms(query))]
    assert backend.idf(names) == pytest.approx(reference.idf(names), rel=1e-5)
    vector = make_vectors(1, seed=99)[0]
    hits = backend.search_dense(vector, limit, keep)
    _assert_hits(backend, hits, reference, reference.search_dense(vector, limit, keep))
    np.testing.assert_allclose(backend.dense_scores(vector, hits.ids), hits.scores, atol=1e-6)


def _assert_hits(backend, hits, reference, expected):
    found = [backend.chunk(number) for number in hits.ids]
    assert found == [reference.chunk(number) for number, _ in expected]
    # float32 dos dois lados, somado em outra ordem
    np.testing.assert_allclose(hits.scores, [score for _, score in expected], rtol=1e-5, atol=1e-6)
    assert hits.ids.dtype == np.int64 and hits.scores.dtype == np.float32


def fill(*backends, dense=True, files=("a.txt", "b.txt")):
    """Põe os mesmos dois arquivos em todos."""
    half = len(TEXTS) // len(files)
    for place, file in enumerate(files):
        texts = TEXTS[place * half : (place + 1) * half]
        vectors = make_vectors(half, seed=place) if dense else None
        for backend in backends:
            backend.add(record_of(file), make_chunks(file, texts), vectors)


# --- O contrato -----------------------------------------------------------------------------------


def test_empty_backend_finds_nothing(backend):
    assert len(backend) == 0 and not backend.documents and backend.dimension == 0
    assert backend.remove("a.txt") == 0
    assert "a.txt" not in backend.documents and list(backend.documents) == []
    for hits in (backend.search_lexical("rio", 5), backend.search_dense(np.ones(D), 5)):
        assert hits.ids.shape == hits.scores.shape == (0,)
    assert backend.vectors(np.array([], dtype=np.int64)) is None
    backend.clear()
    with pytest.raises(DataError, match="número 3"):
        backend.chunk(3)


def test_searches_equal_exact_bm25_and_dot_products(open_backend):
    texts = [chunk.indexed_text for chunk in make_chunks("a.txt", TEXTS[:4])]
    texts += [chunk.indexed_text for chunk in make_chunks("b.txt", TEXTS[4:])]
    mean = float(np.mean([len(terms(text)) for text in texts]))
    backend, reference = open_backend(average_terms=mean), Reference()
    fill(backend, reference)
    assert backend.dimension == D
    for limit in (1, 3, 100):
        assert_same(backend, reference, limit=limit)
    index = LexicalIndex()  # a referência é a mesma fórmula da busca local
    index.add(index.encode(texts))
    local = index.search("água do rio", 3)
    np.testing.assert_allclose(backend.search_lexical("água do rio", 3).scores, local.scores, 1e-5)


def test_changes_leave_the_same_as_the_reference(backend):
    reference = Reference(qdrant_schema.AVERAGE_TERMS)
    fill(backend, reference)
    new = make_chunks("a.txt", TEXTS[2:5])  # parte dos trechos antigos fica, e há um novo
    for target in (backend, reference):
        target.add(record_of("a.txt", "y"), new, make_vectors(3, seed=7))
    assert_same(backend, reference)
    assert backend.remove("b.txt") == reference.remove("b.txt") == 4
    assert backend.remove("b.txt") == 0
    assert_same(backend, reference)
    backend.clear(), reference.clear()
    assert_same(backend, reference)
    fill(backend, reference, dense=False)
    assert backend.dimension == 0
    assert_same(backend, reference)


def test_filters_apply_before_the_limit(backend):
    reference = Reference(qdrant_schema.AVERAGE_TERMS)
    fill(backend, reference)
    for wanted in (0, 1, 2):
        assert_same(backend, reference, limit=2, keep=lambda data: data["parity"] == wanted)


def test_filters_read_pages_until_the_limit_is_met(monkeypatch):
    monkeypatch.setattr(qdrant_backend, "_MARGIN", 1)
    backend, reference = QdrantBackend(":memory:"), Reference(qdrant_schema.AVERAGE_TERMS)
    chunks = make_chunks("a.txt", [f"rio {'mar ' * n}" for n in range(60)])
    for target in (backend, reference):
        target.add(record_of("a.txt"), chunks, make_vectors(60))
    assert_same(backend, reference, ["rio", "mar"], limit=2, keep=lambda data: data["parity"] == 1)
    only = {"parity": 0, "tags": ["a", "b"]}
    assert_same(backend, reference, ["rio"], limit=40, keep=lambda data: data == only)


def test_ties_come_in_insertion_order_whatever_the_limit(backend):
    count = 3 * qdrant_backend._MARGIN
    rows = np.repeat(make_vectors(1), count, axis=0)
    chunks = make_chunks("a.txt", ["o mesmo rio"] * count, title="", metadata={})
    chunks = [replace(chunk, chunk_id=f"c{place}") for place, chunk in enumerate(chunks)]
    backend.add(record_of("a.txt"), chunks, rows)
    for limit in (1, 5, count, 2 * count):
        for hits in (backend.search_lexical("rio", limit), backend.search_dense(rows[0], limit)):
            positions = [backend.chunk(number).position for number in hits.ids]
            assert positions == list(range(min(limit, count)))


def test_scores_and_vectors_follow_the_ids_given(backend):
    fill(backend)
    rows = np.concatenate([make_vectors(4, seed=0), make_vectors(4, seed=1)])
    ids = np.sort(backend.search_dense(rows[0], 100).ids)
    backend._forget()  # como depois de reabrir: os pontos têm de ser procurados pelo número
    order = ids[[5, 0, 5, 2]]
    np.testing.assert_array_equal(backend.vectors(order), rows[[5, 0, 5, 2]])
    np.testing.assert_allclose(
        backend.dense_scores(rows[3], order), rows[[5, 0, 5, 2]] @ rows[3], atol=1e-6
    )
    scores = backend.lexical_scores("café", order)
    assert scores[0] == scores[2] > 0 and scores[1] == 0 and scores[3] > 0
    assert backend.lexical_scores("café", ids[:0]).shape == (0,)
    assert backend.vectors(ids[:0]).shape == (0, D)
    with pytest.raises(DataError, match="número 999"):
        backend.vectors(np.array([999]))


def test_large_files_go_in_batches(backend, monkeypatch):
    monkeypatch.setattr(qdrant_backend, "BATCH", 3)
    reference = Reference(qdrant_schema.AVERAGE_TERMS)
    for target in (backend, reference):
        target.add(record_of("a.txt"), make_chunks("a.txt", TEXTS), make_vectors(len(TEXTS)))
    assert_same(backend, reference, limit=8)


def test_chunks_and_records_come_back_whole(backend):
    odd = Chunk("id", "linha um\nlinha dois 🌙", "f:1", "f", 3, "T", "A > B", 7, {"ano": 2024})
    record = DocumentRecord("f", "d" * 64, 99, "T", "memory")
    backend.add(record, [odd], None)
    number = backend.search_lexical("linha", 1).ids[0]
    assert backend.chunk(number) == odd
    assert backend.documents["f"] == replace(record, chunks=1)


def test_values_that_json_lacks_become_text(backend):
    name = "arquivo\udce1.txt"  # um nome que não é UTF-8
    chunk = make_chunks(name, ["texto \ud800 solto"], metadata={"when": {1, 1}})[0]
    backend.add(record_of(name), [chunk], None)
    found = backend.chunk(backend.search_lexical("texto", 1).ids[0])
    assert found.text == "texto ? solto" and found.metadata == {"when": "{1}"}
    assert name in backend.documents and backend.remove(name) == 1


def test_file_without_chunks_is_recorded(backend):
    backend.add(record_of("vazio.txt"), [], None)
    assert len(backend) == 0 and backend.documents["vazio.txt"].chunks == 0
    fill(backend)
    backend.add(record_of("vazio2.txt"), [], None)
    assert list(backend.documents) == ["vazio.txt", "a.txt", "b.txt", "vazio2.txt"]
    assert backend.remove("vazio.txt") == 0 and "vazio.txt" not in backend.documents


@pytest.mark.parametrize("open_backend", ["folder", "server"], indirect=True)
def test_reopening_gives_the_same_answers(open_backend):
    backend, reference = open_backend(), Reference(qdrant_schema.AVERAGE_TERMS)
    fill(backend, reference)
    backend.write_extra({"encoder": "um", "patterns": ["docs"]})
    backend.close()
    again = open_backend(dimension=D, average_terms=5.0)  # a média é a da coleção
    assert again.dimension == D and again.extra["encoder"] == "um"
    assert_same(again, reference)
    for target in (again, reference):
        target.add(record_of("c.txt"), make_chunks("c.txt", TEXTS[:2]), make_vectors(2, seed=5))
    assert_same(again, reference)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.lists(st.sampled_from(TEXTS), max_size=4, unique=True),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_any_sequence_of_changes_equals_the_reference(changes):
    backend, reference = QdrantBackend(":memory:"), Reference(qdrant_schema.AVERAGE_TERMS)
    for step, (file, texts, adds) in enumerate(changes):
        for target in (backend, reference):
            if adds:
                vectors = make_vectors(len(texts), seed=step)
                target.add(record_of(file, str(step)), make_chunks(file, texts), vectors)
            else:
                target.remove(file)
    assert_same(backend, reference, QUERIES[:3])


# --- O que dá errado ------------------------------------------------------------------------------


class Broken(Exception):
    """A falta de luz no meio de uma gravação."""


def test_stopping_midway_loses_nothing(monkeypatch):
    backend = QdrantBackend(":memory:")
    backend.add(record_of("a.txt"), make_chunks("a.txt", TEXTS[:3]), None)

    def stop(*args, **kwargs):
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(backend, "_delete", stop)
        with pytest.raises(Broken):
            backend.add(record_of("a.txt", "new"), make_chunks("a.txt", TEXTS[3:6]), None)
    assert backend.documents["a.txt"].digest == "x"  # quem atualiza vê que é preciso refazer
    assert len(backend.search_lexical("água", 5).ids) == 2
    backend.add(record_of("a.txt", "new"), make_chunks("a.txt", TEXTS[3:6]), None)
    reference = Reference(qdrant_schema.AVERAGE_TERMS)
    reference.add(record_of("a.txt", "new"), make_chunks("a.txt", TEXTS[3:6]), None)
    assert_same(backend, reference)


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        (None, "sem vetores"),
        (make_vectors(1), "1 vetores para 2 trechos"),
        (np.ones((2, D + 1)), "o índice espera"),
        (np.full((2, D), np.nan), "infinitos"),
    ],
)
def test_wrong_vectors_are_refused_and_nothing_changes(vectors, says):
    backend, reference = QdrantBackend(":memory:"), Reference(qdrant_schema.AVERAGE_TERMS)
    fill(backend, reference)
    with pytest.raises(DataError, match=says):
        backend.add(record_of("a.txt"), make_chunks("a.txt", TEXTS[:2]), vectors)
    assert_same(backend, reference)


def test_words_only_collection_refuses_vectors_until_emptied():
    backend = QdrantBackend(":memory:")
    fill(backend, dense=False)
    with pytest.raises(DataError, match="só tem palavras"):
        backend.add(record_of("c.txt"), make_chunks("c.txt", TEXTS[:1]), make_vectors(1))
    assert backend.remove("a.txt") == backend.remove("b.txt") == 4
    backend.add(record_of("c.txt"), make_chunks("c.txt", TEXTS[:1]), make_vectors(1))
    assert backend.dimension == D


def test_another_dimension_is_refused_when_opening(tmp_path):
    backend = QdrantBackend(tmp_path / "q")
    fill(backend)
    with pytest.raises(DataError, match="o índice espera"):
        backend.search_dense(np.ones(D + 1), 3)
    backend.close()
    with pytest.raises(DataError, match=f"dimensão {D};.*dimensão 9"):
        QdrantBackend(tmp_path / "q", dimension=9)
    QdrantBackend(tmp_path / "q", dimension=D).close()  # a pasta não ficou presa


def test_collections_are_separate_and_foreign_ones_are_refused(tmp_path):
    client = qdrant_client.QdrantClient(path=str(tmp_path / "q"))
    client.create_collection("alheia", vectors_config={})
    client.close()
    with pytest.raises(DataError, match="não é do LunaGPT"):
        QdrantBackend(tmp_path / "q", collection="alheia")
    backend = QdrantBackend(tmp_path / "q", collection="um")
    fill(backend)
    backend.close()
    other = QdrantBackend(tmp_path / "q", collection="dois")
    assert len(other) == 0 and not other.documents
    other.close()


def test_folder_in_use_or_damaged_is_explained(tmp_path):
    backend = QdrantBackend(tmp_path / "q")
    with pytest.raises(LunaError, match="em uso por outro processo"):
        QdrantBackend(tmp_path / "q")
    backend.close()
    (tmp_path / "q" / "meta.json").write_text("{quebrado", encoding="utf-8")
    with pytest.raises(DataError, match="danificada"):
        QdrantBackend(tmp_path / "q")
    (tmp_path / "arquivo").write_text("", encoding="utf-8")
    with pytest.raises(LunaError, match="arquivo"):
        QdrantBackend(tmp_path / "arquivo")


class Payload:
    """Um ponto que executa código ao ser lido."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("kind", ["code", "garbage"])
def test_folder_that_carries_code_is_not_opened(tmp_path, kind):
    backend = QdrantBackend(tmp_path / "q")
    fill(backend)
    backend.close()
    mark = tmp_path / "executado"
    point = pickle.dumps(Payload(mark)) if kind == "code" else b"\x80garbage"
    with closing(sqlite3.connect(tmp_path / "q" / "collection" / "luna" / "storage.sqlite")) as db:
        db.execute("UPDATE points SET point = ? WHERE rowid = 2", (point,))
        db.commit()
    with pytest.raises(DataError, match="não foi aberto"):
        QdrantBackend(tmp_path / "q")
    assert not mark.exists()


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(DependencyError, match=r'pip install -e "\.\[qdrant\]"'):
        QdrantBackend(":memory:")


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, src.retrieval.qdrant_backend; "
        "print([m for m in ('qdrant_client', 'numpy', 'torch', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- O servidor -----------------------------------------------------------------------------------


def test_server_gets_the_layout_and_the_payload_indexes(server, monkeypatch):
    monkeypatch.setenv("LUNA_QDRANT_API_KEY", KEY)
    backend = QdrantBackend(server.url, shard_number=6, replication_factor=2)
    fill(backend)
    created = {path: body for kind, path, body in server.seen if kind == "PUT"}
    for name in ("/collections/luna", "/collections/luna_files"):
        assert created[name]["shard_number"] == 6 and created[name]["replication_factor"] == 2
    assert created["/collections/luna"]["vectors"] == {"dense": {"size": D, "distance": "Dot"}}
    assert created["/collections/luna"]["sparse_vectors"] == {"terms": {"modifier": "idf"}}
    indexes = Counter(
        (path, body["field_name"]) for _, path, body in server.seen if path.endswith("/index")
    )
    assert set(indexes) == {
        (f"/collections/{name}/index", field)
        for name in ("luna", "luna_files")
        for field in ("order", "file")
    }
    backend.close()


def test_collection_created_ahead_is_filled_and_not_created_twice(server):
    QdrantBackend(server.url, api_key=KEY, shard_number=6).create(D)
    parts = server.local.get_collection
    server.local.get_collection = lambda name: _with_shards(parts(name), 6)
    backend, reference = QdrantBackend(server.url, api_key=KEY), Reference(80.0)
    fill(backend, reference)
    assert_same(backend, reference)
    backend.clear()
    fill(backend)  # refeita, com as mesmas partes
    created = [b for kind, path, b in server.seen if (kind, path) == ("PUT", "/collections/luna")]
    assert [body.get("shard_number") for body in created] == [6, 6]
    with pytest.raises(DataError, match="já existe"):
        backend.create(D)


def _with_shards(info, count):
    info.config.params.shard_number = count
    return info


@pytest.mark.parametrize("key", [None, "chave-errada-456"])
def test_refused_key_is_explained_and_never_shown(server, monkeypatch, caplog, key):
    monkeypatch.delenv("LUNA_QDRANT_API_KEY", raising=False)
    with pytest.raises(LunaError, match="LUNA_QDRANT_API_KEY") as caught:
        QdrantBackend(server.url, api_key=key)
    assert "401" in str(caught.value)
    assert str(key) not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


def test_unreachable_server_is_explained(server):
    backend = QdrantBackend(server.url, api_key=KEY)
    fill(backend)
    server.shutdown()
    server.server_close()
    with pytest.raises(LunaError, match=f"{server.url} não respondeu"):
        backend.search_lexical("rio", 3)
    with pytest.raises(LunaError, match="no ar"):
        QdrantBackend(server.url)


def test_answers_that_are_not_of_a_qdrant_are_explained(server, monkeypatch):
    for status, body, says in [
        (500, {"status": {"error": "disco cheio"}}, "HTTP 500: disco cheio"),
        (404, ["outra coisa"], "HTTP 404: Not Found"),
        (200, {"result": 5}, "não respondeu como esperado"),
        (200, b"<html>", "não é um Qdrant"),
    ]:
        monkeypatch.setattr(_Handler, "do_GET", lambda self: self._reply(status, body))
        with pytest.raises(LunaError, match=says):
            QdrantBackend(server.url, api_key=KEY)


def test_key_revoked_midway_is_explained(server):
    backend = QdrantBackend(server.url, api_key=KEY)
    fill(backend)
    server.key = "outra"
    with pytest.raises(LunaError, match="recusou o acesso"):
        len(backend)
    with pytest.raises(LunaError, match="recusou o acesso"):
        list(backend.documents)


@pytest.mark.parametrize(
    "address", ["http://ana:senha@exemplo.org", "http://", "http://x:porta", "https://x/?k=senha"]
)
def test_bad_addresses_are_refused_without_quoting_secrets(address):
    with pytest.raises(UsageError, match="LUNA_QDRANT_API_KEY") as caught:
        QdrantBackend(address)
    assert "senha@" not in str(caught.value) and "k=senha" not in str(caught.value)


def test_key_is_not_written_to_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LUNA_QDRANT_API_KEY", KEY)
    backend = QdrantBackend(tmp_path / "q", api_key=KEY)
    fill(backend)
    backend.close()
    for file in (tmp_path / "q").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_plain_http_to_another_machine_is_warned(caplog):
    with pytest.raises(LunaError):
        QdrantBackend("http://192.0.2.1:6333", api_key=KEY, timeout_s=1)
    assert "sem cifra" in caplog.text and KEY not in caplog.text


# --- O BM25 como vetor esparso --------------------------------------------------------------------


def test_term_numbers_are_fixed_32_bit_hashes():
    assert qdrant_schema.term_number("agu") == 3225210131  # gravado nas coleções: não pode mudar
    assert all(0 <= qdrant_schema.term_number(str(n)) < 2**32 for n in range(100))


def test_terms_that_collide_count_as_one(monkeypatch):
    monkeypatch.setattr(qdrant_schema, "term_number", lambda term: 7)
    numbers, weights = qdrant_schema.term_weights("rio mar serra", 3.0)
    assert numbers == [7] and weights == [pytest.approx(3 / (3 + 1.2))]


def test_vectors_of_another_encoder_are_not_mixed(tmp_path, caplog):
    config = Config.from_dict({"rag": {"backend": "qdrant", "qdrant_url": str(tmp_path / "q")}})
    retriever = RAGRetriever.open(config, tmp_path)
    retriever.add_documents(["O museu abre às nove."])
    retriever.index_encoder = "outro codificador"
    retriever.save(tmp_path)
    retriever.backend.close()

    again = RAGRetriever.open(config, tmp_path)
    with pytest.raises(DataError, match="outro codificador.*rag.qdrant_collection"):
        again.add_documents(["A multa é de dez reais."])
    assert [str(found) for found in again.retrieve("museu")] == ["O museu abre às nove."]
    assert "usa só as palavras" in caplog.text and len(again) == 1
    again.backend.close()
