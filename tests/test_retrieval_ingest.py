"""A indexação de arquivos: o que é novo, o que mudou, o que falhou, e os processos auxiliares."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import unicodedata
import zipfile
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen import canvas

from src.config.errors import ConfigError
from src.retrieval import ingest as ingest_module
from src.retrieval import parsing
from src.retrieval.blocks import ReadLimits
from src.retrieval.ingest import documents_from_texts, file_digest, ingest
from src.retrieval.ingest_report import DuplicateCounter
from src.retrieval.parsing import ParserPool, ParseTask, parse_file
from src.retrieval.reach import reaches
from src.utils.documents import Document
from src.utils.errors import DataError, NoDataError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Grava um arquivo na pasta do teste, que é também a pasta corrente."""
    monkeypatch.chdir(tmp_path)

    def write(name, content="Um texto qualquer, com uma frase."):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return name

    return write


def make_pdf(path, pages):
    sheet = canvas.Canvas(str(path))
    for text in pages:
        sheet.drawString(72, 700, text)
        sheet.showPage()
    sheet.save()
    return str(path)


def run(patterns, known=None, **options):
    """O que a indexação deu, por arquivo, e o relato."""
    ingestion = ingest(patterns, known or {}, **options)
    results = {record.file: (record, chunks) for record, chunks in ingestion}
    return results, ingestion.report


def records(results):
    return {file: record for file, (record, _) in results.items()}


# --- Novos, iguais, mudados, removidos ---------------------------------------------------------


def test_new_files_come_in_order_with_their_chunks(put):
    put("docs/b.txt", "Segundo texto.")
    put("docs/a.txt", "Primeiro texto.")
    ingestion = ingest("docs", {})
    assert len(ingestion) == 2
    found = list(ingestion)
    assert [record.file for record, _ in found] == ["docs/a.txt", "docs/b.txt"]
    record, (chunk,) = found[0]
    assert (record.chunks, record.origin, record.digest) == (1, "file", file_digest("docs/a.txt"))
    assert (chunk.text, chunk.file) == ("Primeiro texto.", "docs/a.txt")
    report = ingestion.report
    assert report.added == ["docs/a.txt", "docs/b.txt"] and report.exit_code == 0
    assert (report.chunks, report.characters, report.seconds > 0) == (2, 29, True)


def test_unchanged_is_skipped_changed_is_replaced_and_new_is_added(put):
    put("a.txt")
    put("b.txt")
    results, _ = run("*.txt")
    put("b.txt", "Outro texto, agora diferente.")
    put("c.txt", "Mais um.")
    results, report = run("*.txt", records(results))
    assert list(results) == ["b.txt", "c.txt"]
    assert (report.unchanged, report.replaced, report.added) == (["a.txt"], ["b.txt"], ["c.txt"])


def test_unchanged_files_are_not_even_parsed(put, monkeypatch):
    put("a.txt")
    results, _ = run("a.txt")

    def forbidden(task):
        raise AssertionError("leu um arquivo que não mudou")

    monkeypatch.setattr(ingest_module, "parse_file", forbidden)
    assert run("a.txt", records(results))[1].unchanged == ["a.txt"]


def test_another_chunk_size_reads_everything_again(put):
    put("a.txt")
    results, _ = run("a.txt")
    assert run("a.txt", records(results), budget=50)[1].replaced == ["a.txt"]


@pytest.mark.parametrize("pattern", ["docs", "docs/*.txt", "docs/**", ["docs/a.txt", "docs/b.txt"]])
def test_files_that_are_gone_are_missing_and_are_dropped_only_on_update(put, pattern):
    put("docs/a.txt")
    put("docs/b.txt")
    put("outro.txt")
    known = records(run(["docs", "outro.txt"])[0])
    os.remove("docs/b.txt")
    os.remove("outro.txt")  # fora do alcance dos padrões
    report = run(pattern, known)[1]
    assert (report.missing, report.removed) == (["docs/b.txt"], [])
    assert any("docs/b.txt" in line and "--update" in line for line in report.lines())
    ingestion = ingest(pattern, known, update=True)
    assert ingestion.report.removed == ["docs/b.txt"]  # já antes de começar
    assert list(ingestion) == [] and ingestion.report.missing == []


def test_folder_that_is_gone_is_removed_whole(put):
    put("docs/a.txt")
    known = records(run("docs")[0])
    os.remove("docs/a.txt")
    os.rmdir("docs")
    report = run("docs", known, update=True)[1]
    assert report.removed == ["docs/a.txt"] and report.exit_code == 0


def test_pattern_that_finds_nothing_at_all_is_refused_before_reading(put):
    put("a.txt")
    with pytest.raises(NoDataError, match="nada/"):
        ingest(["a.txt", "nada/*.txt"], {})
    with pytest.raises(NoDataError):
        ingest([], {})


def test_texts_given_in_memory_are_never_missing(put):
    put("docs/a.txt")
    ((memory, _),) = documents_from_texts(["Um texto."], [{"source": "docs/b.txt"}])
    assert run("docs", {memory.file: memory}, update=True)[1].removed == []


def test_file_that_became_empty_leaves_the_index(put):
    put("a.txt")
    known = records(run("a.txt")[0])
    put("a.txt", "  \n ")
    results, report = run("a.txt", known)
    assert (results, report.removed) == ({}, ["a.txt"])
    assert ("a.txt", "nenhum texto aproveitável") in report.warnings


def test_same_file_through_two_patterns_or_names_is_read_once(put, tmp_path):
    put("docs/a.txt")
    os.symlink("a.txt", "docs/z.txt")
    results, report = run(["docs", "./docs/a.txt", str(tmp_path / "docs" / "*.txt"), "docs//a.txt"])
    assert list(results) == ["docs/a.txt"]
    again = run(str(tmp_path / "docs" / "a.txt"), records(results))[1]
    assert again.unchanged == ["docs/a.txt"]  # pelo nome que o índice conhece


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_with_accents_are_kept_as_they_are(put, form):
    name = unicodedata.normalize(form, "ação/coração.txt")
    put(name)
    results, _ = run(unicodedata.normalize(form, "ação"))
    assert list(results) == [name]
    assert run(unicodedata.normalize(form, "ação"), records(results))[1].unchanged == [name]


def test_file_that_changes_while_it_is_read_is_read_again(put, monkeypatch):
    put("a.txt", "Antes.")
    changes = iter(["Durante.", None])
    real = parsing.parse_file

    def meddled(task):
        parsed = real(task)
        if text := next(changes):
            put("a.txt", text)
        return parsed

    monkeypatch.setattr(ingest_module, "parse_file", meddled)
    results, _ = run("a.txt")
    record, (chunk,) = results["a.txt"]
    assert (chunk.text, record.digest) == ("Durante.", file_digest("a.txt"))


# --- O que falha -------------------------------------------------------------------------------


def test_one_bad_file_never_stops_the_rest(put):
    put("a.txt", "Bom.")
    put("b.pdf", "não é PDF")
    put("c.docx", b"PK\x03\x04 quebrado")
    put("d.txt", b"\x00\x01\x02" * 100)
    put("e.json", "{")
    put("f.jsonl", '{"text": "Bom."}\n{ruim\n')
    put("g.txt", "")
    put("h.txt", "Também bom, em outra codificação: ação.".encode("cp1252"))
    results, report = run("*")
    assert list(results) == ["a.txt", "f.jsonl", "h.txt"]
    failed = sorted(file for file, _ in report.failed)
    assert failed == ["b.pdf", "c.docx", "d.txt", "e.json"]
    assert not any(reason.startswith("'") for _, reason in report.failed)
    warned = [where for where, _ in report.warnings]
    assert "f.jsonl:2" in warned and "g.txt" in warned
    assert report.exit_code == 0
    assert report.lines()[0].startswith("Arquivo ignorado: ")


def test_nothing_readable_exits_with_1(put):
    put("a.pdf", "não é PDF")
    report = run("a.pdf")[1]
    assert report.exit_code == 1
    values = json.loads(json.dumps(report.to_dict()))
    assert values["failed"][0][0] == "a.pdf" and values["exit_code"] == 1


@pytest.mark.parametrize("name", ["a.pdf", "a.txt", "a.docx"])
def test_file_above_the_limit_fails_without_being_read(put, name):
    put(name, "x" * 3000)
    report = run(name, max_file_mb=0.001)[1]
    assert "máximo é 0.001 MB" in report.failed[0][1]


def test_unexpected_errors_fail_only_their_file(put, monkeypatch):
    put("a.txt")
    put("b.txt")
    real = parsing.parse_file

    def broken(task):
        if task.file == "a.txt":
            raise KeyError("surpresa")
        return real(task)

    monkeypatch.setattr(ingest_module, "parse_file", broken)
    results, report = run("*.txt")
    assert list(results) == ["b.txt"]
    assert "KeyError" in report.failed[0][1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="o root lê tudo")
def test_file_without_permission_fails(put):
    put("a.txt")
    os.chmod("a.txt", 0)
    assert "permissão" in run("a.txt")[1].failed[0][1]


def test_refusal_of_the_system_fails_only_the_file(put, monkeypatch):
    put("a.txt")
    put("b.txt")
    real = ingest_module.file_digest

    def refused(file, *sizes):
        if file == "a.txt":
            raise PermissionError(13, "Permission denied")
        return real(file, *sizes)

    monkeypatch.setattr(ingest_module, "file_digest", refused)
    results, report = run("*.txt")
    assert list(results) == ["b.txt"] and "permissão" in report.failed[0][1]


def test_links_in_circles_special_files_and_folders_are_not_followed(put):
    put("docs/a.txt")
    os.symlink("volta.txt", "docs/volta.txt")
    os.symlink(".", "docs/eu")
    assert list(run("docs")[0]) == ["docs/a.txt"]
    assert "não existe" in run("docs/volta.txt")[1].failed[0][1]
    if hasattr(os, "mkfifo"):
        os.mkfifo("docs/fila.txt")
        assert "especial" in run("docs/fila.txt")[1].failed[0][1]


def test_name_that_is_not_utf8_fails_with_advice(put):
    try:
        Path(os.fsdecode(b"a\xff.txt")).write_text("Oi.")
    except OSError:
        pytest.skip("o sistema recusa o nome")
    report = run(".")[1]
    assert "Renomeie" in report.failed[0][1]


def test_pdf_with_password_and_without_text_say_what_to_do(put, tmp_path):
    make_pdf("a.pdf", ["segredo"])
    writer = PdfWriter(clone_from=PdfReader("a.pdf"))
    writer.encrypt("senha", "dono", algorithm="AES-256")
    writer.write("a.pdf")
    make_pdf("b.pdf", [""])
    reasons = dict(run("*.pdf")[1].failed)
    assert "protegido por senha" in reasons["a.pdf"] and "OCR" in reasons["b.pdf"]


def test_zip_bomb_is_refused_before_it_is_opened(put):
    with zipfile.ZipFile("a.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", "<a/>")
        archive.writestr("word/media/bomba.bin", b"\0" * (1 << 26))
    assert os.path.getsize("a.docx") < 1 << 20
    assert "bomba" in run("a.docx")[1].failed[0][1]


def test_csv_rows_are_whole_and_cited_by_line(put):
    put("a.csv", "produto;preço\nCafé;10\n;\nPão;2\n")
    _, chunks = run("a.csv")[0]["a.csv"]
    assert [(chunk.source, chunk.text) for chunk in chunks] == [
        ("a.csv:2", "produto: Café; preço: 10"),
        ("a.csv:4", "produto: Pão; preço: 2"),
    ]
    assert [chunk.position for chunk in chunks] == [0, 1]


# --- Relato e andamento ------------------------------------------------------------------------


def test_progress_counts_every_file(put):
    for name in "abc":
        put(f"{name}.txt", f"Texto {name}.")
    put("d.pdf", "não é PDF")
    calls = []
    run("*", progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == [1, 2, 3, 4]
    assert {total for _, total, _ in calls} == {4}
    assert sorted(file for _, _, file in calls) == ["a.txt", "b.txt", "c.txt", "d.pdf"]


def test_duplicates_are_counted_and_kept(put):
    words = " ".join(f"palavra{n}" for n in range(60))
    put("a.txt", f"{words} fim.")
    put("b.txt", f"{words.upper()}   fim.")
    put("c.txt", f"{words} começo.")
    put("d.txt", "Coisa bem diferente.")
    results, report = run("*.txt")
    assert len(results) == 4
    assert (report.exact_duplicates, report.near_duplicates) == (1, 1)
    assert any("1 idêntico e 1 quase idêntico" in line for line in report.lines())


def test_near_duplicates_are_not_sought_beyond_the_limit():
    counter = DuplicateCounter(max_chars=10)
    for text in ("a" * 8, "b" * 8, "b" * 8):
        counter.add(text)
    assert (counter.exact, counter.complete, counter.near()) == (1, False, 0)


@pytest.mark.parametrize(
    "options", [{"timeout_s": 0}, {"workers": -1}, {"budget": 0}, {"max_file_mb": 0}]
)
def test_senseless_options_are_refused(put, options):
    put("a.txt")
    with pytest.raises(ConfigError, match="esperado"):
        ingest("a.txt", {}, **options)


@pytest.mark.parametrize(
    "pattern, name, reached",
    [
        ("docs", "docs/a/b.txt", True),
        ("docs", "docs2/a.txt", False),
        ("docs/", "docs/a.txt", True),
        ("docs/*.txt", "docs/a.txt", True),
        ("docs/*.txt", "docs/a/b.txt", False),
        ("docs/**/*.txt", "docs/a.txt", True),
        ("docs/**/*.txt", "docs/x/y/a.txt", True),
        ("docs/[ab]?.txt", "docs/b1.txt", True),
        ("docs/[!ab]?.txt", "docs/b1.txt", False),
        ("./a.txt", "a.txt", True),
        ("a.txt", "b.txt", False),
    ],
)
def test_reach_of_a_pattern(pattern, name, reached):
    assert reaches(pattern)(name) is reached


def test_an_unchanged_folder_is_hashed_and_never_parsed(put, monkeypatch):
    for number in range(20):
        put(f"docs/{number}.txt", f"Documento {number}. Uma frase comum.")
    known = records(run("docs")[0])
    monkeypatch.setattr(
        "src.retrieval.ingest.parse_file", lambda *args, **kwargs: pytest.fail("leu de novo")
    )

    found, report = run("docs", known)

    assert found == {} and len(report.unchanged) == 20


# --- Processos auxiliares ----------------------------------------------------------------------


@pytest.fixture
def pool():
    with ParserPool(1, timeout_s=20) as pool:
        yield pool


def test_process_gives_the_same_as_reading_here(put, pool):
    put("a.csv", "text,autor\n" + "".join(f"Texto {n}.,Ana\n" for n in range(1203)))
    put("b.pdf", b"")
    make_pdf("b.pdf", ["Primeira página.", "Segunda página."])
    for file in ("a.csv", "b.pdf"):
        task = ParseTask(file)
        assert pool.submit(task).result() == parse_file(task)


def test_errors_cross_the_pipe(put, pool):
    put("a.pdf", "não é PDF")
    with pytest.raises(DataError, match="não é um PDF"):
        pool.submit(ParseTask("a.pdf")).result()


def test_pages_beyond_the_limit_are_left_out_with_a_warning(put, pool):
    make_pdf("a.pdf", [f"Texto da página {n}." for n in range(12)])
    parsed = pool.submit(ParseTask("a.pdf", ReadLimits(max_pages=5))).result()
    assert parsed.pages == 5 and "12 páginas" in parsed.warnings[0][1]
    assert "página 4" in parsed.chunks[-1].text and "página 5" not in parsed.chunks[-1].text


HOSTILE = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from src.retrieval import parsing
real = parsing.parse_file
def hostile(task, send=None):
    if "dorme" in task.file: time.sleep(60)
    if "morre" in task.file: os._exit(9)
    if "enche" in task.file: b"x" * (8 << 30)
    if "fala" in task.file: print("lixo na saída"); os.write(1, b"lixo")
    return real(task, send)
parsing.parse_file = hostile
parsing.serve()
"""


@pytest.mark.parametrize(
    "name, reason",
    [("dorme.txt", "passou de 1 segundo"), ("morre.txt", "código 9"), ("enche.txt", "memória")],
)
def test_process_that_hangs_or_dies_fails_only_its_file(put, monkeypatch, name, reason):
    monkeypatch.setattr(parsing, "_COMMAND", HOSTILE)
    put(name)
    put("bom.txt")
    with ParserPool(1, timeout_s=1) as pool:
        with pytest.raises(DataError, match=reason):
            pool.submit(ParseTask(name)).result()
        assert pool.submit(ParseTask("bom.txt")).result().chunks


def test_what_a_library_prints_does_not_spoil_the_messages(put, monkeypatch):
    monkeypatch.setattr(parsing, "_COMMAND", HOSTILE)
    put("fala.txt")
    with ParserPool(1) as pool:
        assert pool.submit(ParseTask("fala.txt")).result().chunks


def test_process_that_does_not_open_means_reading_here(put, monkeypatch, caplog):
    monkeypatch.setattr(parsing, "_COMMAND", "raise SystemExit(1)")
    make_pdf("a.pdf", ["Um texto."])
    with caplog.at_level(logging.WARNING):
        assert list(run("a.pdf")[0]) == ["a.pdf"]
    assert "auxiliar" in caplog.text


def test_stopping_half_way_kills_the_processes(put, monkeypatch):
    for number in range(3):
        make_pdf(f"{number}.pdf", [f"Texto {number}."])
    started = []
    real = subprocess.Popen

    class Watched(real):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(parsing.subprocess, "Popen", Watched)
    results = iter(ingest("*.pdf", {}))
    next(results)
    results.close()
    assert started and all(process.poll() is not None for process in started)


def test_script_without_a_main_guard_may_index_pdfs(put, tmp_path):
    make_pdf("a.pdf", ["Um texto de PDF."])
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from src.retrieval.ingest import ingest\n"
        "for record, chunks in ingest('a.pdf', {}): print(record.chunks, chunks[0].text)\n"
    )
    Path("script.py").write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "1 Um texto de PDF.", done.stderr


@pytest.mark.skipif(os.name == "nt", reason="os sinais do Windows são outros")
def test_control_c_stops_at_once_and_leaves_no_process(put):
    make_pdf("dorme.pdf", ["Um texto."])
    hostile = HOSTILE.replace("time.sleep", "open('pid', 'w').write(str(os.getpid())); time.sleep")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from src.retrieval import parsing\nfrom src.retrieval.ingest import ingest\n"
        f"parsing._COMMAND = {hostile!r}\n"
        "list(ingest('dorme.pdf', {}))\n"
    )
    Path("script.py").write_text(script.replace("morre", "nunca"), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "script.py"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not (os.path.exists("pid") and Path("pid").read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert errors.rstrip().endswith("KeyboardInterrupt") and process.returncode != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


def test_importing_loads_nothing_heavy():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import src.retrieval.ingest; "
        "print([m for m in 'numpy torch bs4 lxml docx pdfminer pypdf'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# --- Textos em memória -------------------------------------------------------------------------


def test_texts_are_named_by_their_metadata_or_numbered():
    texts = ["Um.", Document("Dois.", "notas.txt"), "Três.", "Quatro."]
    given = [None, None, {"fonte": "livro"}, {"source": "site", "autor": "Ana"}]
    found = documents_from_texts(texts, given, start=7)
    assert [record.file for record, _ in found] == ["documento 7", "notas.txt", "livro", "site"]
    assert {record.origin for record, _ in found} == {"memory"}
    assert found[3][1][0].metadata == {"source": "site", "autor": "Ana"}


def test_knowledge_texts_give_title_and_metadata():
    text = '[TÍTULO] O sol\n\n[CONTEÚDO] O sol é uma estrela.\n\n[METADADOS] {"autor": "Ana"}'
    ((record, (chunk,)),) = documents_from_texts([text], [{"ano": 2020}])
    assert (record.title, chunk.title, chunk.text) == ("O sol", "O sol", "O sol é uma estrela.")
    assert chunk.metadata == {"autor": "Ana", "título": "O sol", "ano": 2020}


@pytest.mark.parametrize("key", ["title", "título", "titulo"])
def test_title_of_a_text_comes_from_the_metadata(key):
    ((record, (chunk,)),) = documents_from_texts(["Abre às 8h."], [{key: "Horário"}])
    assert record.title == chunk.title == "Horário" and chunk.text == "Abre às 8h."


def test_texts_of_one_source_are_one_record_with_unique_chunks():
    texts = ["Primeiro.", "Segundo.", "Primeiro."]
    ((record, chunks),) = documents_from_texts(texts, [{"source": "wiki"}] * 3)
    assert [chunk.text for chunk in chunks] == texts
    assert len({chunk.chunk_id for chunk in chunks}) == 3 and record.chunks == 3


def test_empty_texts_are_skipped_with_a_warning(caplog):
    found = documents_from_texts(["", "  \n", "Bom."])
    assert [record.file for record, _ in found] == ["documento 3"]
    assert "documento 1: o texto está vazio" in caplog.text


def test_digest_of_a_text_follows_its_content_and_metadata():
    def digest(text, metadata):
        return documents_from_texts([text], [metadata])[0][0].digest

    assert digest("Um.", {"a": 1}) == digest("Um.", {"a": 1})
    assert len({digest("Um.", {"a": 1}), digest("Um.", {"a": 2}), digest("Dois.", {"a": 1})}) == 3


def test_wrong_types_and_sizes_are_refused():
    with pytest.raises(ConfigError, match="1 itens para 2 textos"):
        documents_from_texts(["a", "b"], [{}])
    with pytest.raises(DataError, match="int; esperado um texto"):
        documents_from_texts([3])
    with pytest.raises(DataError, match="list; esperado um dicionário"):
        documents_from_texts(["a"], [[]])
