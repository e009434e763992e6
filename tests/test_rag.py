"""O contrato público do ``RAGRetriever``: o código da referência e o que ele promete."""

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from src.config.config import Config
from src.models.rag_retriever import UNUSED, RAGRetriever
from src.retrieval.types import DocumentRecord
from src.utils.errors import ConfigError, DataError, UsageError
from src.utils.file_utils import load_file_based_on_extension

ROOT = Path(__file__).resolve().parent.parent
DOCS = [
    "A inteligência artificial é o campo da ciência da computação que imita o raciocínio.",
    "Modelos de linguagem são sistemas treinados para predizer texto, palavra por palavra.",
    "O aprendizado profundo é uma subárea da aprendizagem de máquina com muitas camadas.",
]
QUESTION = "Como funcionam os modelos de linguagem?"


@pytest.fixture(scope="module")
def shipped() -> RAGRetriever:
    """Um índice com o codificador que vem junto; os testes que mudam o índice fazem o seu."""
    retriever = RAGRetriever(embedding_dim=768)
    retriever.add_documents(DOCS)
    return retriever


def words_only(**rag) -> RAGRetriever:
    """Um índice vazio só de palavras: instantâneo."""
    return RAGRetriever(sentence_transformer_model=UNUSED, config=Config(rag=rag))


# --- O que a referência mostra -------------------------------------------------------------------


def test_the_reference_snippet_runs_as_printed(shipped):
    docs_relevantes = shipped.retrieve(QUESTION, top_k=2)

    contexto = f"Pergunta: {QUESTION}\n\nInformações relevantes: {' '.join(docs_relevantes)}"

    assert docs_relevantes[0] == DOCS[1] and len(docs_relevantes) == 2
    assert contexto.endswith(f"{docs_relevantes[0]} {docs_relevantes[1]}")


def test_results_are_strings_that_know_where_they_come_from(shipped):
    best = shipped.retrieve(QUESTION)[0]

    assert isinstance(best, str) and best.source == best.file == "documento 2"
    assert best.metadata == {} and best.page is None and len(best.chunk_id) == 16
    assert 0 < best.relevance <= 1 and isinstance(best.score, float)


def test_the_dimension_of_the_encoder_wins_and_one_line_says_so(caplog):
    retriever = RAGRetriever(embedding_dim=768)
    with caplog.at_level(logging.INFO):
        retriever.add_documents(DOCS[:1])
        retriever.retrieve("inteligência")

    lines = [record.message for record in caplog.records if "embedding_dim=768" in record.message]
    assert len(lines) == 1 and "384" in lines[0]
    assert retriever.embedding_dim == retriever.stats()["dimension"] == 384


def test_the_reference_population_script_runs_as_printed(tmp_path):
    base = tmp_path / "knowledge_base"
    base.mkdir()
    (base / "a.txt").write_text("O museu abre de terça a domingo, das 10h às 17h.", "utf-8")
    (base / "b.csv").write_text("pergunta,resposta\nQuanto custa?,Custa dez reais.\n", "utf-8")
    documents = [load_file_based_on_extension(str(path)) for path in sorted(base.glob("*.*"))]

    retriever = RAGRetriever(embedding_dim=768)
    retriever.add_documents(documents)
    retriever.save(str(tmp_path / "models" / "LunaRAG" / "retriever"))

    again = RAGRetriever().load(tmp_path / "models" / "LunaRAG" / "retriever")
    assert "10h às 17h" in again.retrieve("A que horas abre o museu?", top_k=1)[0]
    assert again.stats()["documents"] == 2


# --- Buscar --------------------------------------------------------------------------------------


def test_there_is_no_threshold_unless_one_is_given(shipped):
    strange = "Qual é a cotação do dólar em Marte?"

    assert len(shipped.retrieve(strange, top_k=3)) == 3
    assert shipped.retrieve(strange, top_k=3, min_relevance=0.999) == []


def test_top_k_larger_than_the_index_returns_everything_once(shipped):
    found = shipped.retrieve(QUESTION, top_k=50)

    assert sorted(found) == sorted(DOCS)


def test_results_come_from_the_best_to_the_worst(shipped):
    scores = [item.score for item in shipped.retrieve(QUESTION, top_k=3)]

    assert scores == sorted(scores, reverse=True)


def test_an_empty_index_finds_nothing():
    assert words_only().retrieve("Oi?") == [] and words_only().answer("Oi?") is None


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.retrieve("  "),
        lambda r: r.retrieve(None),
        lambda r: r.retrieve("oi", top_k=0),
        lambda r: r.retrieve("oi", top_k=2.5),
        lambda r: r.retrieve("oi", max_per_document=0),
        lambda r: RAGRetriever(embedding_dim=0),
        lambda r: RAGRetriever(embedding_dim="768"),
    ],
)
def test_bad_arguments_are_told(shipped, call):
    with pytest.raises(UsageError):
        call(shipped)


def test_metadatas_must_be_one_per_document():
    with pytest.raises(ConfigError, match="metadatas"):
        words_only().add_documents(["a", "b"], [{}])


def test_metadata_come_back_as_given_and_filter():
    retriever = words_only()
    metadata = [{"autor": "Ana", "ano": 2021}, {"autor": "Bia", "ano": 2024}, {"ano": 2024}]
    retriever.add_documents([f"Relatório da horta, parte {n}." for n in "abc"], metadata)

    def years(filters):
        return {item.metadata["ano"] for item in retriever.retrieve("horta", 3, filters=filters)}

    assert [x.metadata for x in retriever.retrieve("horta", 3, filters={"autor": "Ana"})] == [
        metadata[0]
    ]
    assert years({"ano": [2021, 2022]}) == {2021}
    assert years({"ano": lambda year: year > 2022}) == {2024}
    assert years(lambda item: "autor" not in item) == {2024}
    assert retriever.retrieve("horta", 3, filters={"autor": "Caio"}) == []


def test_one_document_does_not_fill_the_result_while_others_have_something():
    retriever = words_only(chunk_words=20, chunk_overlap=0)
    long = " ".join(
        f"O viveiro de mudas número {n} fica aberto aos sábados de manhã." for n in range(9)
    )
    retriever.add_documents(
        [long, "Do viveiro cuida a Dona Zefa."], [{"source": "longo"}, {"source": "curto"}]
    )

    found = retriever.retrieve("viveiro de mudas", top_k=3)
    only_one = retriever.retrieve("viveiro de mudas", top_k=3, max_per_document=1)

    assert {item.source for item in found} == {"longo", "curto"}
    assert [item.source for item in only_one].count("longo") == 1


def test_a_lone_document_may_fill_the_result():
    retriever = words_only(chunk_words=20, chunk_overlap=0)
    retriever.add_documents(
        [
            " ".join(
                f"O viveiro de mudas número {n} fica aberto aos sábados de manhã." for n in range(9)
            )
        ]
    )

    assert len(retriever.retrieve("viveiro", top_k=3)) == 3


# --- Mudar ---------------------------------------------------------------------------------------


def test_documents_without_a_name_are_numbered_and_named_ones_replaced():
    retriever = words_only()
    retriever.add_documents(["A sede fica em Olinda."])
    retriever.add_documents(
        ["O curso dura dois anos.", "A taxa é de dez reais."], [None, {"fonte": "taxas"}]
    )
    retriever.add_documents(["A taxa é de vinte reais."], [{"source": "taxas"}])

    assert list(retriever.documents) == ["documento 1", "documento 2", "taxas"]
    assert "vinte" in retriever.retrieve("Qual é a taxa?", 1)[0]


def test_updating_replaces_and_removing_is_immediate():
    retriever = words_only()
    retriever.add_documents(["O prazo é de três dias.", "A multa é de um real."])

    retriever.update_document("documento 1", "O prazo é de oito dias.", {"versao": 2})
    best = retriever.retrieve("Qual é o prazo?", 1)[0]
    assert "oito" in best and best.metadata["versao"] == 2

    assert retriever.remove_document("documento 1") == 1
    assert retriever.remove_document("documento 1") == 0
    assert "prazo" not in " ".join(retriever.retrieve("Qual é o prazo?", 3))


def test_removing_gives_the_results_of_an_index_that_never_had_it(shipped):
    retriever = RAGRetriever()
    retriever.add_documents([*DOCS, "Modelos de linguagem são o assunto deste texto intruso."])
    retriever.remove_document("documento 4")

    ours, theirs = (r.retrieve(QUESTION, 3) for r in (retriever, shipped))
    assert ours == theirs and [x.score for x in ours] == pytest.approx([x.score for x in theirs])


def test_clearing_leaves_nothing():
    retriever = words_only()
    retriever.add_documents(DOCS)
    retriever.clear_index()

    assert len(retriever) == 0 and retriever.retrieve("linguagem") == []


def test_files_are_indexed_once_and_only_what_changed_is_read_again(tmp_path):
    (tmp_path / "a.txt").write_text("O forno apita ao chegar a 180 graus.", "utf-8")
    (tmp_path / "b.txt").write_text("A garantia cobre dois anos.", "utf-8")
    retriever = words_only()
    retriever.add_files([tmp_path])

    same = retriever.add_files([tmp_path])
    (tmp_path / "a.txt").write_text("O forno apita ao chegar a 200 graus.", "utf-8")
    (tmp_path / "b.txt").unlink()
    changed = retriever.add_files([tmp_path], update=True)

    assert (len(same.unchanged), len(same.added)) == (2, 0)
    assert len(changed.replaced) == len(changed.removed) == 1
    assert list(retriever.documents) == [str(tmp_path / "a.txt")]
    assert "200" in retriever.retrieve("forno", 1)[0]


# --- Gravar e ler --------------------------------------------------------------------------------


def test_a_loaded_index_answers_like_the_saved_one(shipped, tmp_path):
    shipped.save(tmp_path / "retriever")
    loaded = RAGRetriever().load(tmp_path / "retriever")

    ours, theirs = (r.retrieve(QUESTION, 3) for r in (loaded, shipped))
    assert ours == theirs and [x.score for x in ours] == [x.score for x in theirs]
    assert loaded.stats()["encoder"] == shipped.encoder.identity


def test_damaged_vectors_are_told_and_made_again_from_the_chunks(shipped, tmp_path, caplog):
    shipped.save(tmp_path)
    for path in tmp_path.glob("data-*/vectors.npy"):
        path.write_bytes(b"lixo")

    with caplog.at_level(logging.WARNING):
        loaded = RAGRetriever().load(tmp_path)
        found = loaded.retrieve(QUESTION, 3)

    assert "vectors.npy" in caplog.text
    assert [x.score for x in found] == pytest.approx(
        [x.score for x in shipped.retrieve(QUESTION, 3)], abs=1e-4
    )


def test_vectors_of_another_encoder_are_never_compared(shipped, tmp_path, caplog, monkeypatch):
    shipped.save(tmp_path)
    loaded = RAGRetriever().load(tmp_path)
    loaded.index_encoder = "outro-modelo"
    monkeypatch.setattr("src.models.rag_retriever.QUICK_REFRESH", 0)

    with caplog.at_level(logging.WARNING):
        found = loaded.retrieve(QUESTION, 3)
    assert found[0] == DOCS[1] and "index --model" in caplog.text

    assert loaded.refresh_vectors() == 3 and loaded.refresh_vectors() == 0
    assert loaded.index_encoder == loaded.encoder.identity


def test_loading_what_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="Indexe"):
        RAGRetriever().load(tmp_path / "nada")


def test_only_the_missing_vectors_are_computed(tmp_path, monkeypatch):
    retriever = RAGRetriever()
    retriever.add_documents(DOCS)
    asked = []
    encode = retriever.encoder.encode
    monkeypatch.setattr(
        retriever.encoder,
        "encode",
        lambda texts, kind="passage": asked.extend(texts) or encode(texts, kind),
    )
    retriever.add_documents([DOCS[0], "Um texto novo."], [{"source": "a"}, {"source": "b"}])

    assert asked == ["Um texto novo."]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killing_a_save_leaves_the_old_index_whole(tmp_path):
    retriever = words_only()
    retriever.add_documents(DOCS)
    retriever.save(tmp_path)
    script = textwrap.dedent(f"""
        import os, signal, sys
        import src.retrieval.storage as storage
        from src.models.rag_retriever import RAGRetriever
        retriever = RAGRetriever(sentence_transformer_model="nenhum").load({str(tmp_path)!r})
        retriever.add_documents(["Este não chega ao disco."], [{{"source": "novo"}}])
        storage.write_bytes = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        retriever.save({str(tmp_path)!r})
        """)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert list(words_only().load(tmp_path).documents) == [f"documento {n}" for n in (1, 2, 3)]


# --- Responder -----------------------------------------------------------------------------------


def test_the_answer_quotes_the_documents_word_for_word():
    retriever = RAGRetriever()
    text = (
        "A piscina do clube Lagoa Rasa abre às sete da manhã. A carteirinha custa doze reais e "
        "vale por um ano. Crianças entram acompanhadas."
    )
    retriever.add_documents([text], [{"source": "regras.txt"}])

    quote = retriever.answer("Quanto custa a carteirinha?")

    assert "doze reais" in quote.text and quote.passage.source == "regras.txt" and quote.found
    assert all(part.text in text for part in quote.parts)


def test_min_relevance_of_the_configuration_decides_what_is_found():
    strict = words_only(min_relevance=1.0)
    strict.add_documents(["A carteirinha custa doze reais."])

    assert not strict.answer("Quanto custa a carteirinha?").found


# --- Sem as bibliotecas opcionais ----------------------------------------------------------------


@pytest.mark.parametrize("missing", ["faiss", "sentence_transformers"])
def test_the_workflow_runs_without(missing, tmp_path):
    script = textwrap.dedent(f"""
        import json, socket, sys
        sys.modules[{missing!r}] = None  # como se não estivesse instalada
        def refuse(*args, **kwargs): raise OSError("sem rede")
        socket.socket.connect = refuse
        from src.models.rag_retriever import RAGRetriever
        retriever = RAGRetriever(embedding_dim=768)
        retriever.add_documents({DOCS!r})
        retriever.save({str(tmp_path)!r})
        found = RAGRetriever().load({str(tmp_path)!r}).retrieve({QUESTION!r}, 3)
        print(json.dumps([list(found), [item.score for item in found]]))
        """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    texts, scores = json.loads(done.stdout)

    usual = RAGRetriever()
    usual.add_documents(DOCS)
    expected = usual.retrieve(QUESTION, 3)
    assert texts == expected and scores == pytest.approx([x.score for x in expected], abs=1e-3)


def test_opening_the_retriever_imports_no_heavy_library():
    script = (
        "import sys; from src.models.rag_retriever import RAGRetriever; "
        "r = RAGRetriever(sentence_transformer_model='nenhum'); r.add_documents(['Olá, mundo.']); "
        "r.retrieve('mundo'); "
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'faiss') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_records_may_be_added_already_cut():
    retriever = words_only()
    source = words_only()
    source.add_documents(["Um trecho qualquer."])
    chunk = source.backend.chunk(0)
    retriever.add_chunks([(DocumentRecord("x", "", 1), [chunk])])

    assert retriever.retrieve("trecho", 1) == ["Um trecho qualquer."]
