"""A leitura de arquivos: um por um, por padrões, e o relato do que ficou de fora."""

import csv
import json
import logging
import os
import subprocess
import sys
import tracemalloc
import zipfile

import docx
import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen import canvas

from src.utils import file_utils, readers
from src.utils.errors import DataError, NoDataError
from src.utils.file_utils import (
    SEGMENT_CHARS,
    SUPPORTED_EXTENSIONS,
    LoadReport,
    expand_patterns,
    iter_file_documents,
    load_data_from_patterns,
    load_documents,
    load_file_based_on_extension,
)
from src.utils.readers import csv_delimiter, html_text

ANSWERED = "Usuário: {0}\nLuna: resposta para {0}\n"


@pytest.fixture
def put(tmp_path):
    """Grava um arquivo (texto em UTF-8, ou bytes) e devolve o caminho."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def make_pdf(path, *lines):
    page = canvas.Canvas(str(path))
    for index, line in enumerate(lines):
        page.drawString(72, 750 - 20 * index, line)
    page.save()
    return path


def encrypt_pdf(path, user_password, owner_password="dono"):
    writer = PdfWriter(clone_from=PdfReader(path))
    writer.encrypt(user_password, owner_password, algorithm="AES-256")
    writer.write(path)
    return path


def read_all(path, **options):
    report = LoadReport()
    return list(iter_file_documents(path, report=report, **options)), report


def unique_text(number):
    return " ".join(f"{word}{number}" for word in ("lua", "sol", "mar", "rio", "céu", "chão"))


# --- Texto e codificações ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"]
)
@pytest.mark.parametrize("text", ["Ação", "não", "AÇÃO É JÁ", "Você já comeu? Pão é bom à beça."])
def test_portuguese_comes_out_right_in_every_encoding(put, encoding, text):
    assert load_file_based_on_extension(put("a.txt", text.encode(encoding))) == text


@pytest.mark.parametrize(
    "encoding, text",
    [
        ("cp1252", "“Não” — disse ele… custa € 5"),
        ("latin-1", "El niño comió una piña"),
        ("cp1251", "Привет, как дела? Это русский текст для проверки."),
        ("shift_jis", "これは日本語のテキストです。文字コードの判定を確認します。"),
    ],
)
def test_other_encodings_are_detected(put, encoding, text):
    assert load_file_based_on_extension(put("a.txt", text.encode(encoding))) == text


def test_accent_far_into_a_long_latin1_file_is_still_seen(put):
    text = "abcdefghi " * 300_000 + "coração"
    assert load_file_based_on_extension(put("a.txt", text.encode("latin-1"))).endswith("coração")


def test_a_few_broken_bytes_do_not_spoil_the_accents_of_utf8(put):
    path = put("a.txt", "Ação e ".encode() + b"\xff" + " reação, coração".encode())
    documents, report = read_all(path)
    assert documents == ["Ação e reação, coração"]
    assert "não são UTF-8" in report.notices[0][1]


def test_guessed_encoding_is_told_in_the_report(put):
    _, report = read_all(put("a.txt", "não há".encode("latin-1")))
    assert report.notices == [(report.files_read[0], "não está em UTF-8; lido como cp1252")]


@pytest.mark.parametrize(
    "content, found",
    [
        (b"\0" * 500, "500 bytes nulos"),
        ("texto em utf-16 sem marca".encode("utf-16-le"), "UTF-16 sem marca"),
        (bytes(range(1, 256)) * 20, "bytes de controle"),
        (b"%PDF-1.4 ...", "um PDF"),
        (b"PK\x03\x04....", "um ZIP"),
        (b"\x89PNG\r\n", "uma imagem PNG"),
        (b"\xff\xfea\x00b", "bytes que essa codificação"),
    ],
)
@pytest.mark.parametrize("extension", [".txt", ".csv", ".jsonl"])
def test_binary_content_under_a_text_extension_is_refused(put, content, found, extension):
    path = put("a" + extension, content)
    with pytest.raises(DataError, match=found) as caught:
        load_file_based_on_extension(path)
    assert str(path) in str(caught.value)


def test_unrecognised_encoding_is_refused(put, monkeypatch):
    monkeypatch.setattr("charset_normalizer.from_bytes", lambda sample: _NoMatch())
    with pytest.raises(DataError, match="não foi reconhecida"):
        load_file_based_on_extension(put("a.txt", "Привет".encode("cp1251")))


class _NoMatch:
    def best(self):
        return None


def test_text_is_cleaned(put):
    assert (
        load_file_based_on_extension(put("a.txt", "a\u00a0 b\r\n\r\n\r\n\r\nc\u200b")) == "a b\n\nc"
    )


# --- PDF ---------------------------------------------------------------------------------------


def test_pdf_text_is_read(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", "Olá, coração", "segunda linha")
    text = load_file_based_on_extension(path)
    assert "Olá, coração" in text and "segunda linha" in text
    assert read_all(path)[0][0].source == str(path)


def test_pypdf_reads_what_pdfminer_cannot(tmp_path, monkeypatch):
    def broken(path):
        raise TypeError("estragado")

    monkeypatch.setattr(readers, "_pdfminer_text", broken)
    assert "Olá" in load_file_based_on_extension(make_pdf(tmp_path / "a.pdf", "Olá"))


def test_pdf_without_text_says_it_was_probably_scanned(tmp_path):
    page = canvas.Canvas(str(tmp_path / "a.pdf"))
    page.rect(100, 100, 50, 50)
    page.save()
    with pytest.raises(DataError, match="sem camada de texto.*OCR"):
        load_file_based_on_extension(tmp_path / "a.pdf")


def test_pdf_with_a_password_is_refused(tmp_path, monkeypatch):
    path = encrypt_pdf(make_pdf(tmp_path / "a.pdf", "segredo"), "senha")
    with pytest.raises(DataError, match="protegido por senha"):
        load_file_based_on_extension(path)
    monkeypatch.setattr(readers, "_pdfminer_text", lambda path: "")
    with pytest.raises(DataError, match="protegido por senha"):
        load_file_based_on_extension(path)


def test_pdf_with_only_an_owner_password_is_read(tmp_path):
    path = encrypt_pdf(make_pdf(tmp_path / "a.pdf", "público"), "")
    assert "público" in load_file_based_on_extension(path)


def test_text_named_pdf_is_refused(put):
    with pytest.raises(DataError, match="não é um PDF.*%PDF-"):
        load_file_based_on_extension(put("a.pdf", "só texto"))


def test_damaged_pdf_is_refused(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", "Olá")
    path.write_bytes(b"%PDF-1.4\n" + b"lixo " * 50)
    with pytest.raises(DataError, match="danificado ou incompleto.*pypdf") as caught:
        load_file_based_on_extension(path)
    assert str(path) in str(caught.value)


def test_pdf_libraries_keep_quiet_and_their_loggers_are_left_as_they_were(put, caplog):
    level = logging.getLogger("pypdf").level
    with pytest.raises(DataError):
        load_file_based_on_extension(put("a.pdf", b"%PDF-1.4\nlixo"))
    assert not [r for r in caplog.records if r.name.startswith(("pypdf", "pdfminer"))]
    assert logging.getLogger("pypdf").level == level


# --- DOCX --------------------------------------------------------------------------------------


def make_docx(path):
    document = docx.Document()
    document.add_paragraph("Antes da tabela")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ("nome", "idade", "Ana", "30")):
        cell.text = text
    document.add_paragraph("Depois da tabela")
    document.save(path)
    return path


def test_docx_paragraphs_and_tables_come_in_document_order(tmp_path):
    text = load_file_based_on_extension(make_docx(tmp_path / "a.docx"))
    assert text == "Antes da tabela\n\nnome | idade\nAna | 30\n\nDepois da tabela"


def test_merged_docx_cells_are_read_once(tmp_path):
    document = docx.Document()
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "unida"
    document.save(tmp_path / "a.docx")
    assert load_file_based_on_extension(tmp_path / "a.docx") == "unida"


@pytest.mark.parametrize(
    "content, found",
    [
        (b"so texto", "não é um .docx"),
        (readers._OLE_MAGIC + "EncryptedPackage".encode("utf-16-le"), "protegido por senha"),
        (readers._OLE_MAGIC + b"WordDocument", "formato antigo"),
    ],
)
def test_what_is_not_a_docx_is_refused(put, content, found):
    with pytest.raises(DataError, match=found):
        load_file_based_on_extension(put("a.docx", content))


def test_zip_that_is_not_a_document_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("notas.txt", "x")
    with pytest.raises(DataError, match="não um documento do Word"):
        load_file_based_on_extension(tmp_path / "a.docx")


def test_damaged_docx_is_refused(tmp_path):
    path = make_docx(tmp_path / "a.docx")
    with zipfile.ZipFile(tmp_path / "b.docx", "w") as copy, zipfile.ZipFile(path) as source:
        for name in source.namelist():
            broken = name == "word/document.xml"
            copy.writestr(name, b"<w:document" if broken else source.read(name))
    with pytest.raises(DataError, match="danificado"):
        load_file_based_on_extension(tmp_path / "b.docx")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="incompleto"):
        load_file_based_on_extension(path)


def test_docx_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_MAX_DOCX_BYTES", 100)
    with pytest.raises(DataError, match="descomprimido"):
        load_file_based_on_extension(make_docx(tmp_path / "a.docx"))


# --- HTML --------------------------------------------------------------------------------------


def test_html_gives_only_the_visible_text_with_its_blocks():
    html = """<!DOCTYPE html><html><head><title>Título</title><style>s{}</style>
    <meta name="x"><script>s()</script></head><body><!-- nota --><h1>Olá <b>mundo</b></h1>
    <p>um
      dois<br>três</p><noscript>oculto</noscript><template>oculto</template>
    <div hidden>oculto <p>oculto</p></div><div style="Display: None">oculto</div>
    <script>oculto</script><ul><li>a</li> <li>b</li></ul><pre>x
y</pre></body></html>"""
    assert html_text(html) == "Título\n\nOlá mundo\n\num dois\ntrês\n\na\nb\n\nx\ny"


def test_html_table_rows_are_lines():
    html = "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
    assert html_text(html) == "a | b\n1 | 2"


def test_html_breaks_are_as_large_as_the_blocks_ask():
    assert html_text("<div>a</div> <div>b</div><p>c<p>d<br>e<br><br>f") == "a\nb\n\nc\n\nd\ne\n\nf"


def test_deeply_nested_html_is_read():
    assert html_text("<div>" * 5000 + "fundo") == "fundo"


@pytest.mark.parametrize("name", ["a.html", "a.HTM"])
def test_html_in_the_declared_encoding_is_read(put, name):
    russian = "<meta charset='windows-1251'><p>Привет</p>".encode("cp1251")
    assert load_file_based_on_extension(put(name, russian)) == "Привет"
    latin = '<meta http-equiv="x" content="text/html; charset=iso-8859-1"><p>“ação”</p>'
    assert load_file_based_on_extension(put(name, latin.encode("cp1252"))) == "“ação”"


@pytest.mark.parametrize("declared", ["utf-8", "utf-16", "inventada", "hex"])
def test_wrong_declared_encoding_is_not_believed(put, declared):
    html = f"<meta charset={declared}><p>não é só pão</p>".encode("latin-1")
    assert load_file_based_on_extension(put("a.html", html)) == "não é só pão"


# --- JSON, JSONL, CSV --------------------------------------------------------------------------


def test_json_may_hold_one_object_a_list_or_strings(put):
    pair = {"prompt": "p", "response": "r"}
    assert read_all(put("a.json", json.dumps(pair)))[0][0].source.endswith("a.json")
    documents, _ = read_all(put("b.json", json.dumps([pair, "texto", {"text": "outro"}])))
    assert documents == ["Usuário: p\nLuna: r", "texto", "outro"]
    assert [os.path.basename(d.source) for d in documents] == ["b.json#1", "b.json#2", "b.json#3"]
    assert {os.path.basename(d.file) for d in documents} == {"b.json"}


@pytest.mark.parametrize(
    "content, found",
    [
        ('{"a": ', "linha 1: não é JSON válido"),
        ('{"a": 1}\n{"a": 2}', r"mude a extensão para \.jsonl"),
        ("[" * 100_000, "não pôde ser lido"),
        ("", "não é JSON válido"),
    ],
)
def test_invalid_json_says_where_and_what_to_do(put, content, found):
    with pytest.raises(DataError, match=found):
        load_file_based_on_extension(put("a.json", content))


def test_bad_jsonl_lines_are_reported_with_file_and_line_and_the_rest_is_used(put):
    lines = ['{"text": "um"}', "", "{quebrado", '{"nome": "x"}', "[" * 100_000, '{"text": "dois"}']
    path = put("a.jsonl", "\ufeff" + "\n".join(lines))
    documents, report = read_all(path)
    assert documents == ["um", "dois"] and documents[1].source == f"{path}:6"
    assert [source for source, _ in report.bad_records] == [f"{path}:{n}" for n in (3, 4, 5)]
    for key in ("messages", "conversations", "instruction", "prompt", "pergunta", "text"):
        assert all(f'"{key}"' in reason for _, reason in report.bad_records)


def test_jsonl_line_separators_inside_a_text_do_not_break_the_line(put):
    text = json.dumps({"text": "a\u2028b\u0085c"}, ensure_ascii=False)
    assert read_all(put("a.jsonl", text))[0] == ["a\nb\nc"]


def test_indented_json_named_jsonl_is_refused(put):
    with pytest.raises(DataError, match=r"Mude a extensão para \.json\."):
        read_all(put("a.jsonl", json.dumps({"text": "x"}, indent=2)))


def test_unknown_objects_are_still_content_for_the_whole_file_reader(put):
    assert (
        load_file_based_on_extension(put("a.json", '{"nome": "Ação"}')) == '{\n "nome": "Ação"\n}'
    )
    path = put("a.jsonl", '{"text": "x"}\nruim\n{"pergunta": "p", "resposta": "r"}')
    assert load_file_based_on_extension(path) == "x\n\nUsuário: p\nLuna: r"


def test_file_with_only_bad_lines_is_an_error_for_the_whole_file_reader(put):
    path = put("a.jsonl", "ruim\npior")
    with pytest.raises(DataError, match=r"nenhum registro.*a\.jsonl:1"):
        load_file_based_on_extension(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiter_is_discovered(put, delimiter):
    rows = [["Pergunta", "RESPOSTA"], ["Tudo bem; e aí, você?", "Sim, claro"], ["a|b", "c"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    documents, _ = read_all(put("a.csv", text))
    assert documents[0].messages[1] == {"role": "assistant", "content": "Sim, claro"}
    assert documents[1].source.endswith("a.csv:3")


def test_comma_in_the_text_does_not_beat_the_real_delimiter():
    lines = ["id;texto\n", "1;um, dois, três\n", "2;quatro, cinco\n", "3;seis\n"]
    assert csv_delimiter(lines) == ";"
    assert csv_delimiter(["texto\n", "só uma coluna\n"]) == csv_delimiter([]) == ","


def test_csv_text_column_is_plain_text_and_the_rest_is_metadata(put):
    documents, _ = read_all(put("a.csv", "id,Texto\n1,um\n2,\n"))
    assert documents == ["um"] and documents[0].metadata == {"id": "1"}


def test_any_other_table_becomes_column_value_pairs(put):
    path = put("a.csv", "nome,,nome,cidade\nAna,x,Silva,Recife\n,,,\nBia,,,Natal\n")
    expected = [
        "nome: Ana; coluna 2: x; nome (3): Silva; cidade: Recife",
        "nome: Bia; cidade: Natal",
    ]
    assert read_all(path)[0] == expected
    assert load_file_based_on_extension(path) == "\n".join(expected)


def test_csv_rows_with_too_many_columns_are_reported(put):
    documents, report = read_all(put("a.csv", "a,b\n1,2,3\n4,5,\n6\n"))
    assert documents == ["a: 4; b: 5", "a: 6"]
    assert report.bad_records[0][0].endswith("a.csv:2") and "3 colunas" in report.bad_records[0][1]


def test_csv_lines_inside_quotes_belong_to_the_row(put):
    documents, _ = read_all(put("a.csv", 'texto,n\n"um\n\ndois",1\ntrês,2\n'))
    assert documents == ["um\n\ndois", "três"]
    assert [d.source.rsplit(":", 1)[1] for d in documents] == ["2", "5"]


def test_csv_cell_of_megabytes_is_read(put):
    documents, _ = read_all(put("a.csv", "texto,n\n" + "palavra " * 50_000 + ",1\n"))
    assert len(documents[0]) == 50_000 * 8 - 1


def test_csv_that_the_parser_refuses_is_an_error(put, monkeypatch):
    monkeypatch.setattr(readers, "_CSV_FIELD_CHARS", 10)
    previous = csv.field_size_limit(10)
    try:
        with pytest.raises(DataError, match="CSV não pôde ser lido"):
            read_all(put("a.csv", "texto\n" + "x" * 50))
    finally:
        csv.field_size_limit(previous)


# --- Um arquivo --------------------------------------------------------------------------------


def test_unknown_extension_lists_the_supported_ones(put):
    with pytest.raises(DataError) as caught:
        load_file_based_on_extension(put("a.xyz", "x"))
    assert all(extension in str(caught.value) for extension in (".xyz", *SUPPORTED_EXTENSIONS))


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="não existe"):
        load_file_based_on_extension(tmp_path / "nada.txt")
    (tmp_path / "pasta.txt").mkdir()
    with pytest.raises(DataError, match="uma pasta"):
        list(iter_file_documents(tmp_path / "pasta.txt"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="o sistema não tem filas com nome")
def test_special_file_is_refused_instead_of_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "fila.txt")
    with pytest.raises(DataError, match="arquivo especial"):
        load_file_based_on_extension(tmp_path / "fila.txt")


def test_refusal_of_the_system_is_translated(put, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(file_utils, "detect_encoding", refuse)
    with pytest.raises(DataError, match="não foi possível ler.*permissão"):
        load_file_based_on_extension(put("a.txt", "x"))


@pytest.mark.parametrize(
    "text, count, messages",
    [
        ("\n\nUsuário: a\nLuna: b\n---\nUsuário: c\nLuna: d", 2, 2),
        ("[INSTRUÇÃO] a\n[RESPOSTA] b", 1, 2),
        ("[TÍTULO] a\n[CONTEÚDO] b", 1, 0),
        ("Era uma vez\n\num texto", 1, 0),
        ("", 0, 0),
    ],
)
def test_txt_is_read_by_the_format_of_its_first_line(put, text, count, messages):
    documents, _ = read_all(put("a.txt", text))
    assert len(documents) == count
    assert all(len(document.messages or []) == messages for document in documents)


def test_independent_pairs_are_told_in_the_report(put):
    text = "\n".join(ANSWERED.format(i) for i in range(9))
    documents, report = read_all(put("a.txt", text))
    assert len(documents) == 9
    assert "9 blocos" in report.notices[0][1] and "independentes" in report.summary()


def test_long_text_is_cut_into_consecutive_documents(put):
    paragraphs = [f"Parágrafo {i}. " + "palavra " * 100 for i in range(50)]
    path = put("a.txt", "\n\n".join(paragraphs))
    documents, _ = read_all(path)
    assert len(documents) > 4 and max(map(len, documents)) <= SEGMENT_CHARS
    assert "\n\n".join(documents) == load_file_based_on_extension(path)
    assert {document.source for document in documents} == {str(path)}


def test_large_txt_is_never_loaded_whole(put):
    path = put("a.txt", ("palavra " * 20 + "\n") * 60_000)  # 9,7 MB
    tracemalloc.start()
    try:
        total = sum(len(document) for document in iter_file_documents(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total > 9_000_000 and peak < 4_000_000


def test_file_above_the_limit_is_skipped_and_the_flag_is_named(put, caplog):
    path = put("a.txt", "x" * 3000)
    documents, report = read_all(path, max_file_mb=0.001)
    assert documents == [] and report.files_read == []
    assert report.files_skipped[0][0] == str(path) and "--max_file_mb" in report.summary()
    assert list(iter_file_documents(path, max_file_mb=0.001)) == []
    assert "--max_file_mb" in caplog.text


# --- Padrões -----------------------------------------------------------------------------------


def test_patterns_are_expanded_sorted_and_unique(put, tmp_path, monkeypatch):
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/mais/d.txt", "nota[1].txt"):
        put(name, "x")
    monkeypatch.chdir(tmp_path)
    assert [str(p) for p in expand_patterns("*.txt")] == ["a.txt", "b.txt", "nota[1].txt"]
    assert [p.name for p in expand_patterns("**/*.txt")] == [
        "a.txt",
        "b.txt",
        "nota[1].txt",
        "c.txt",
        "d.txt",
    ]
    assert len(expand_patterns(["a.txt", "*.txt", tmp_path / "a.txt"])) == 3
    assert expand_patterns("nota[1].txt")[0].name == "nota[1].txt"


def test_tilde_is_the_home_folder(put, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(put("a.txt", "x").parent))
    assert expand_patterns("~/*.txt") == [tmp_path / "a.txt"]


def test_folder_gives_every_supported_file_below_it(put, tmp_path):
    for name in ("a.txt", "sub/b.JSONL", "c.py", ".oculto/d.txt", ".e.txt"):
        put(name, "x")
    assert [p.name for p in expand_patterns(tmp_path)] == ["a.txt", "b.JSONL"]


def test_pattern_without_matches_names_itself_and_the_folder(put, tmp_path, monkeypatch):
    put("a.txt", "x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoDataError) as caught:
        load_documents(["a.txt", "nada/*.csv"])
    assert "'nada/*.csv'" in str(caught.value) and f"'{tmp_path}'" in str(caught.value)
    assert "a pasta 'nada' não existe" in str(caught.value) and caught.value.exit_code == 2
    with pytest.raises(NoDataError, match=f"a partir de '{tmp_path}'"):
        expand_patterns(f"{tmp_path}/**/*.csv")


def test_unmatched_pattern_is_raised_before_anything_is_read(put, monkeypatch):
    monkeypatch.setattr(file_utils, "iter_file_documents", lambda *a, **k: pytest.fail("leu"))
    with pytest.raises(NoDataError):
        load_documents([put("a.txt", "x"), "nada-disso-*.txt"])


@pytest.mark.parametrize("patterns", [[], "", "x" * 5000 + "/*.txt"])
def test_senseless_patterns_are_no_data(patterns):
    with pytest.raises(NoDataError):
        expand_patterns(patterns)


def test_empty_folder_is_no_data(tmp_path):
    with pytest.raises(NoDataError, match="não tem nenhum arquivo"):
        expand_patterns(tmp_path)


# --- Muitos arquivos ---------------------------------------------------------------------------


def test_one_bad_file_never_stops_the_rest(put, tmp_path):
    put("a.txt", "um texto bom")
    put("b.pdf", "não é PDF")
    put("c.md", "x")
    put("d.txt", b"\xff\xfe" + b"a\0" * 10 + b"b")
    os.symlink(tmp_path / "sumiu", tmp_path / "e.txt")
    documents, report = load_documents(str(tmp_path / "*"))
    assert documents == ["um texto bom"] and len(report.files_read) == 1
    names = [os.path.basename(path) for path, _ in report.files_skipped]
    assert names == ["b.pdf", "c.md", "d.txt", "e.txt"]
    assert report.summary().startswith("Arquivo ignorado: ")


def test_nothing_readable_lists_the_reason_of_each_file(put, tmp_path):
    put("a.pdf", "x")
    put("b.txt", "x" * 5000)
    with pytest.raises(
        DataError, match=r"(?s)a\.pdf: não é um PDF.*b\.txt.*--max_file_mb"
    ) as caught:
        load_documents(tmp_path, max_file_mb=0.001)
    assert not isinstance(caught.value, NoDataError) and caught.value.exit_code == 1


def test_files_without_usable_text_are_no_data(put, tmp_path):
    put("a.txt", "  \n\u200b\n")
    put("b.jsonl", "\n".join(["ruim"] * 12))
    with pytest.raises(NoDataError, match=r"(?s)Nenhum texto aproveitável.*b\.jsonl:1.*mais 2"):
        load_documents(tmp_path)


def test_file_without_text_beside_a_good_one_is_told(put, tmp_path):
    put("a.txt", "")
    put("b.txt", "texto")
    _, report = load_documents(tmp_path)
    assert report.notices == [(str(tmp_path / "a.txt"), "nenhum texto aproveitável")]


def test_duplicates_are_dropped_and_counted_unless_asked_not_to(put, tmp_path):
    base = " ".join(f"p{i}" for i in range(60))
    put("a.txt", base)
    put("b.txt", base.upper())
    put("c.txt", base + " fim")
    documents, report = load_documents(tmp_path)
    assert documents == [base] and (report.exact_duplicates, report.near_duplicates) == (1, 1)
    assert (report.documents, report.characters) == (1, len(base))
    assert len(load_documents(tmp_path, deduplicate=False)[0]) == 3


def test_load_data_from_patterns_splits_and_logs(put, tmp_path, caplog):
    for number in range(20):
        put(f"{number}.txt", unique_text(number))
    put("ruim.pdf", "x")
    report = LoadReport()
    with caplog.at_level(logging.INFO):
        train, valid = load_data_from_patterns(
            str(tmp_path / "*"), valid_fraction=0.2, report=report
        )
    assert (len(train), len(valid)) == (16, 4) and report.documents == 20
    levels = {record.levelname: record.getMessage() for record in caplog.records}
    assert "ruim.pdf" in levels["WARNING"] and "20 arquivos lidos" in levels["INFO"]
    again = load_data_from_patterns([str(tmp_path / "*.txt")], valid_fraction=0.2)
    assert again == (train, valid)


def test_load_data_from_patterns_without_split_gives_one_list(put):
    documents = load_data_from_patterns(put("a.txt", ANSWERED.format("oi")), auto_split=False)
    assert documents == ["Usuário: oi\nLuna: resposta para oi"]


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, src.utils.file_utils\n"
        "heavy = {'numpy', 'pdfminer', 'pypdf', 'docx', 'bs4', 'charset_normalizer', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
