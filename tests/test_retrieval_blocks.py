"""De um arquivo a blocos: títulos, parágrafos inteiros, itens, tabelas e páginas."""

import json
import random
import re

import docx
import pytest
from docx.oxml import parse_xml
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfgen import canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    PageBreak,
    PageTemplate,
    Paragraph,
    SimpleDocTemplate,
    Table,
)

from src.retrieval import blocks as blocks_module
from src.retrieval.blocks import (
    ReadLimits,
    ReadReport,
    iter_source_documents,
    read_source_documents,
)
from src.retrieval.html_blocks import html_blocks
from src.retrieval.pdf_blocks import pypdf_blocks
from src.retrieval.text_blocks import join_lines, text_blocks, title_of
from src.retrieval.types import Block
from src.utils.errors import DataError

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
LONG = "Este parágrafo é comprido o bastante para que ninguém o tome por um título qualquer, não é?"


@pytest.fixture
def put(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def shapes(blocks):
    """(tipo e nível, texto) de cada bloco."""
    return [(block.kind[0] + str(block.level or ""), block.text) for block in blocks]


def read_one(path):
    (document,) = read_source_documents(path)
    return document


# --- Texto puro --------------------------------------------------------------------------------


def test_hard_wrapped_lines_are_rejoined_into_paragraphs():
    text = (
        "O rio nasce na serra e atravessa três estados antes de chegar ao\n"
        "mar. No caminho, recebe as águas de outros rios e move as turbinas\n"
        "de duas usinas.\n\n"
        "A pesca é proibida de novembro a fevereiro, quando os peixes\n"
        "sobem o rio para se reproduzir."
    )
    first, second = text_blocks(text)
    assert first.text == text.split("\n\n")[0].replace("\n", " ")
    assert second.text.endswith("quando os peixes sobem o rio para se reproduzir.")


def test_lines_broken_on_purpose_are_kept_apart():
    poem = "No meio do caminho\nTinha uma pedra\nTinha uma pedra\nNo meio do caminho do homem só"
    assert [block.text for block in text_blocks(poem)] == poem.split("\n")


def test_one_paragraph_per_line_is_one_block_per_line():
    text = "\n".join(f"{LONG} {LONG} Número {n}." for n in range(4))
    assert [block.text for block in text_blocks(text)] == text.split("\n")


@pytest.mark.parametrize(
    "first, second, joined",
    [
        ("o cami-", "nho é longo", "o caminho é longo"),
        ("abra o guarda-", "chuva", "abra o guarda-chuva"),
        ("ele disse-", "lhe tudo", "ele disse-lhe tudo"),
        ("podem matricular-", "se aqui", "podem matricular-se aqui"),
        ("toda a clas-", "se riu", "toda a classe riu"),
        ("foi à esco-", "la cedo", "foi à escola cedo"),
        ("vai comprá-", "lo hoje", "vai comprá-lo hoje"),
        ("na segunda-", "feira", "na segunda-feira"),
        ("o eixo Rio-", "São Paulo", "o eixo Rio-São Paulo"),
        ("entre 10-", "20 dias", "entre 10- 20 dias"),
        ("uma linha", "e outra", "uma linha e outra"),
    ],
)
def test_words_hyphenated_at_the_end_of_a_line_are_rejoined(first, second, joined):
    assert join_lines(first, second) == joined


def test_hyphen_seen_elsewhere_in_the_text_is_kept():
    assert join_lines("a micro-", "onda", frozenset({"micro-onda"})) == "a micro-onda"


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"# Guia\n\n## Uso\n{LONG}", [("h1", "Guia"), ("h2", "Uso"), ("p", LONG)]),
        (f"Guia\n====\n\n{LONG}", [("h1", "Guia"), ("p", LONG)]),
        (f"CAPÍTULO II\n\n{LONG}", [("h2", "CAPÍTULO II"), ("p", LONG)]),
        (f"Capítulo 3 - O mar\n\n{LONG}", [("h2", "Capítulo 3 - O mar"), ("p", LONG)]),
        (f"Art. 5º\n\n{LONG}", [("h2", "Art. 5º"), ("p", LONG)]),
        (f"2.1 Preparo da massa\n\n{LONG}", [("h2", "2.1 Preparo da massa"), ("p", LONG)]),
        (f"CAPÍTULO I\nDO PRAZO\n\n{LONG}", [("h2", "CAPÍTULO I - DO PRAZO"), ("p", LONG)]),
        (f"Título II\n\nDA MULTA\n\n{LONG}", [("h1", "Título II - DA MULTA"), ("p", LONG)]),
        (f"DISPOSIÇÕES GERAIS\n\n{LONG}", [("h1", "DISPOSIÇÕES GERAIS"), ("p", LONG)]),
        (f"Como se planta\n\n{LONG}", [("h2", "Como se planta"), ("p", LONG)]),
        (f"Abertura (15 minutos)\n{LONG}", [("h2", "Abertura (15 minutos)"), ("p", LONG)]),
    ],
)
def test_headings_are_recognised_by_what_they_declare_or_by_their_shape(text, expected):
    assert shapes(text_blocks(text)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "Uma frase curta com ponto.",
        "Uma pergunta?",
        "Os dias são estes:",
        "São Paulo, 12 de março de 2024",
        "com minúscula no começo",
        "Usuário: oi",
        "- um item",
        "1. Um item curto.",
        "Capítulo que não diz o número é o que se lê",
        "| uma | linha |",
        "Art. 5º Todos são iguais perante a lei, sem distinção de qualquer natureza, e é assim.",
    ],
)
def test_ordinary_lines_are_not_taken_for_headings(line):
    assert all(block.kind != "heading" for block in text_blocks(f"{line}\n\n{LONG}"))


def test_numbered_items_are_a_list_and_not_headings():
    text = "Lista:\n1. Maçã\n2. Pera\n3) Uva\na) Figo\n- Caju\n• Jaca\nI - Umbu\nII - Cajá"
    kinds = [block.kind for block in text_blocks(text)]
    assert kinds == ["paragraph"] + ["list"] * 8


def test_capitals_say_nothing_in_a_text_that_is_all_capitals():
    text = "\n\n".join(["AVISO AOS MORADORES", "A ÁGUA SERÁ CORTADA NA SEGUNDA", "ATÉ AS 18H"] * 2)
    assert all(block.kind == "paragraph" for block in text_blocks(text))


def test_markdown_code_and_tables_are_kept_line_by_line():
    text = "Rode:\n```bash\nmake demo\n\nmake test\n```\n| nome | preço |\n|---|---|\n| Café | 10 |"
    assert shapes(text_blocks(text)) == [
        ("p", "Rode:"),
        ("p", "make demo\n\nmake test"),
        ("t", "nome: Café; preço: 10"),
    ]


def test_title_is_the_first_heading_or_a_short_first_line():
    assert title_of(text_blocks(f"# Guia\n\n{LONG}")) == "Guia"
    assert title_of([Block("Nota curta"), Block("Outra nota.")]) == "Nota curta"
    assert title_of([Block("Só isto")]) == title_of([Block(LONG), Block(LONG)]) == ""
    assert title_of([]) == ""


@given(
    st.lists(st.sampled_from([LONG, "Um", "DOIS TRÊS", "1. Item", "", "", "- x", "a b.", "### T"]))
)
@settings(max_examples=100, deadline=None)
def test_no_word_of_a_text_is_lost(lines):
    def words(text):
        return re.findall(r"\w+", text)

    blocks = text_blocks("\n".join(lines))
    assert words(" ".join(block.text for block in blocks)) == words(" ".join(lines))


# --- Registros e formatos de texto -------------------------------------------------------------


def test_knowledge_blocks_are_documents_with_title_and_metadata(put):
    path = put(
        "a.txt",
        '[TÍTULO] O sol\n[CONTEÚDO] É uma estrela.\n\nAquece.\n[METADADOS] {"autor": "Ana"}\n\n'
        "[TÍTULO] A lua\n[CONTEÚDO] É um satélite.",
    )
    sun, moon = read_source_documents(path)
    assert (sun.title, sun.metadata["autor"], sun.file) == ("O sol", "Ana", str(path))
    assert [block.text for block in sun.blocks] == ["É uma estrela.", "Aquece."]
    assert (sun.source, moon.source) == (f"{path}:1", f"{path}:7")


def test_question_is_the_title_of_its_answer(put):
    (document,) = read_source_documents(put("a.txt", "[INSTRUÇÃO] O que é sol?\n[RESPOSTA] Luz."))
    assert document.title == "O que é sol?" and shapes(document.blocks) == [("p", "Luz.")]


def test_conversation_is_one_document_with_a_block_per_turn(put):
    text = "[PERSONA] Técnico\nUsuário: Oi\nLuna: Olá!\nUsuário: Tudo?\nLuna: Tudo.\n"
    document = read_one(put("a.txt", text))
    assert [block.text for block in document.blocks] == [
        "Usuário: Oi",
        "Luna: Olá!",
        "Usuário: Tudo?",
        "Luna: Tudo.",
    ]
    assert document.metadata == {"persona": "tecnico"}


def test_records_of_training_formats_and_any_other_are_read(put):
    records = [
        {"text": "Um texto.", "título": "Nota", "ano": 2020},
        {"pergunta": "Quando?", "resposta": "Hoje."},
        {"nome": "Café", "preço": 10, "tags": ["a", "b"], "dono": {"nome": "Zé"}, "vivo": True},
        "Um texto solto.",
    ]
    path = put("a.json", json.dumps(records))
    note, answer, product, loose = read_source_documents(path)
    assert (note.title, note.metadata) == ("Nota", {"título": "Nota", "ano": 2020})
    assert (answer.title, answer.blocks[0].text) == ("Quando?", "Hoje.")
    assert [block.text for block in product.blocks] == [
        "nome: Café",
        "preço: 10",
        "tags: a, b",
        "dono.nome: Zé",
        "vivo: sim",
    ]
    assert (loose.blocks[0].text, loose.source) == ("Um texto solto.", f"{path}#4")


def test_bad_records_are_reported_and_the_rest_is_read(put):
    path = put(
        "a.jsonl", '{"text": "Um."}\n{quebrado\n{"text": ""}\n{"a": ""}\n{"text": "Dois."}\n'
    )
    report = ReadReport()
    found = list(iter_source_documents(path, report))
    assert [document.source for document in found] == [f"{path}:1", f"{path}:5"]
    assert [where for where, _ in report.bad_records] == [f"{path}:{n}" for n in (2, 3, 4)]


def test_table_is_read_row_by_row_without_loading_it_all(put):
    path = put("a.csv", "nome,preço\n" + "".join(f"Item {n},{n}\n" for n in range(5000)))
    rows = iter_source_documents(path, ReadReport())
    assert next(rows).blocks == [Block("nome: Item 0; preço: 0", "table")]
    rows.close()


@pytest.mark.parametrize("content", ["", "  \n\n\t ", "\ufeff"])
@pytest.mark.parametrize("name", ["a.txt", "a.html", "a.jsonl", "a.csv"])
def test_files_without_text_give_no_documents(put, name, content):
    assert read_source_documents(put(name, content)) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_accents_come_out_right_in_every_encoding(put, encoding):
    document = read_one(put("a.txt", "A lição de amanhã é fácil.".encode(encoding)))
    assert document.blocks[0].text == "A lição de amanhã é fácil."


def test_text_beyond_the_limit_is_left_out_with_a_warning(put):
    path = put("a.txt", "\n\n".join(f"{LONG} {n}." for n in range(50)))
    report = ReadReport()
    (document,) = iter_source_documents(path, report, ReadLimits(max_chars=1000))
    assert 800 < sum(len(block.text) for block in document.blocks) <= 1000
    assert "ficou de fora" in report.notices[0][1]


def test_file_too_large_missing_or_of_another_kind_is_refused(put, tmp_path):
    with pytest.raises(DataError, match="máximo é 0.001 MB"):
        read_source_documents(put("a.txt", "x" * 2000), max_file_mb=0.001)
    with pytest.raises(DataError, match="não existe"):
        read_source_documents(tmp_path / "falta.txt")
    with pytest.raises(DataError, match="pasta"):
        read_source_documents(tmp_path)
    with pytest.raises(DataError, match="não é aceita"):
        read_source_documents(put("a.xyz", "oi"))


# --- HTML --------------------------------------------------------------------------------------


def test_html_blocks_follow_the_page():
    title, blocks = html_blocks(
        "<html><head><title> Loja  da Ana </title><style>p{}</style></head><body>"
        "<nav><a>Início</a></nav><h1>Bem-<b>vindo</b></h1>solto<p>Um <i>parágrafo</i>\n só.</p>"
        "<h3></h3><div>Outro<br>com quebra</div><ul><li>um<li>dois<ol start=3><li>dentro</ol></ul>"
        "<dl><dt>Termo</dt>\n<dd>Sentido</dd></dl><pre>a\n b</pre><p hidden>não</p>"
        "<!-- nem isto --><script>nada</script></body></html>"
    )
    assert title == "Loja da Ana"
    assert shapes(blocks) == [
        ("h1", "Bem-vindo"),
        ("p", "solto"),
        ("p", "Um parágrafo só."),
        ("p", "Outro\ncom quebra"),
        ("l", "- um"),
        ("l", "- dois"),
        ("l", "3. dentro"),
        ("l", "Termo: Sentido"),
        ("p", "a\nb"),
    ]


def test_html_table_with_a_header_names_each_value():
    rows = "<tr><th>Nome<th>Preço</tr><tr><td>Café<td>10</tr><tr><td>Pão<td></tr>"
    assert shapes(html_blocks(f"<table>{rows}</table>")[1]) == [
        ("t", "Nome: Café; Preço: 10"),
        ("t", "Nome: Pão"),
    ]
    plain = "<table><tr><td>a<td>b</tr><tr><td colspan=2>c</tr></table>"
    assert shapes(html_blocks(plain)[1]) == [("t", "a | b"), ("t", "c")]


def test_html_table_that_arranges_the_page_is_read_as_the_page():
    page = "<table><tr><td><h2>Menu</h2><p>Texto.</p></td><td>Lado</td></tr></table>"
    assert shapes(html_blocks(page)[1]) == [("h2", "Menu"), ("p", "Texto."), ("p", "Lado")]


@pytest.mark.parametrize("tag", ["<div>", "<b>", "<table><tr><td>", "<ul><li>"])
def test_deeply_nested_html_is_read(tag):
    assert html_blocks(tag * 3000 + "fim")[1][-1].text.endswith("fim")


TAGS = "div p table tr td th ul ol li h1 h3 br dl dt dd pre b span caption thead".split()
PIECES = st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS])


@given(st.lists(PIECES | st.just(None), max_size=30))
@settings(max_examples=150, deadline=None)
def test_no_word_of_a_broken_page_is_lost(pieces):
    html = "".join(f"w{n} " if piece is None else piece for n, piece in enumerate(pieces))
    found = re.findall(r"w\d+", " ".join(block.text for block in html_blocks(html)[1]))
    assert sorted(found) == sorted(re.findall(r"w\d+", html))


def test_html_title_is_the_title_and_the_first_heading_serves(put):
    assert read_one(put("a.html", "<title>T</title><h1>H</h1><p>x</p>")).title == "T"
    assert read_one(put("b.htm", "<h1>H</h1><p>x</p>")).title == "H"


# --- DOCX --------------------------------------------------------------------------------------


def save_docx(document, path):
    document.save(str(path))
    return path


def test_docx_headings_lists_and_tables_come_by_style(tmp_path):
    document = docx.Document()
    document.add_heading("Guia", 0)
    document.add_heading("Uso", 2)
    document.add_paragraph("Um parágrafo.")
    document.add_paragraph("maçã", style="List Bullet")
    document.add_paragraph("1. pera")
    table = document.add_table(3, 2)
    for row, values in zip(table.rows, [("Nome", "Preço"), ("Café", "10"), ("Pão", "2")]):
        for cell, value in zip(row.cells, values):
            cell.paragraphs[0].add_run(value).bold = value in ("Nome", "Preço")
    read = read_one(save_docx(document, tmp_path / "a.docx"))
    assert read.title == "Guia"
    assert shapes(read.blocks) == [
        ("h1", "Guia"),
        ("h2", "Uso"),
        ("p", "Um parágrafo."),
        ("l", "- maçã"),
        ("l", "1. pera"),
        ("t", "Nome: Café; Preço: 10"),
        ("t", "Nome: Pão; Preço: 2"),
    ]


def test_docx_without_a_header_row_joins_the_cells(tmp_path):
    document = docx.Document()
    table = document.add_table(2, 3)
    for row in table.rows:
        row.cells[0].merge(row.cells[1]).text = "dupla"
        row.cells[2].text = "só"
    assert shapes(read_one(save_docx(document, tmp_path / "a.docx")).blocks) == [
        ("t", "dupla | só"),
        ("t", "dupla | só"),
    ]


def test_docx_tracked_changes_controls_and_links_are_read(tmp_path):
    document = docx.Document()
    body = document.element.body
    for xml in (
        f"<w:p {W}><w:r><w:t>Fica </w:t></w:r><w:ins><w:r><w:t>entra</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>sai</w:delText></w:r></w:del></w:p>",
        f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>No controle</w:t></w:r></w:p></w:sdtContent>"
        "</w:sdt>",
        f"<w:p {W}><w:hyperlink><w:r><w:t>No</w:t><w:tab/><w:t>link</w:t></w:r></w:hyperlink>"
        "</w:p>",
        f"<w:p {W}><w:r><w:t>Fora</w:t><w:pict><w:txbxContent><w:p><w:r><w:t>Na caixa</w:t></w:r>"
        "</w:p></w:txbxContent></w:pict></w:r></w:p>",
    ):
        body.insert(len(body) - 1, parse_xml(xml))
    texts = [block.text for block in read_one(save_docx(document, tmp_path / "a.docx")).blocks]
    assert texts == ["Fica entra", "No controle", "No\tlink", "Fora", "Na caixa"]


def test_docx_title_falls_back_to_its_properties(tmp_path):
    document = docx.Document()
    document.core_properties.title = "Das propriedades"
    document.add_paragraph(LONG)
    assert read_one(save_docx(document, tmp_path / "a.docx")).title == "Das propriedades"


# --- PDF ---------------------------------------------------------------------------------------

STYLES = getSampleStyleSheet()
BODY = ParagraphStyle("corpo", parent=STYLES["BodyText"], alignment=4, fontSize=10, leading=13)
WORDS = "água rio serra peixe barco ponte vento chuva campo cidade porto farol praia ilha".split()


def prose(name, words=90):
    chooser = random.Random(name)
    return f"Começo de {name} " + " ".join(chooser.choices(WORDS, k=words)) + f", fim de {name}."


def furniture(page, template):
    page.setFont("Helvetica", 8)
    page.drawString(60, 815, "Relatório anual da cidade de Uirapema")
    page.drawCentredString(300, 20, f"Página {template.page} de 9")


def test_pdf_paragraphs_headings_and_pages(tmp_path):
    names = [f"p{n}" for n in range(14)]
    story = [Paragraph("O relatório", STYLES["Title"]), Paragraph("1. A água", STYLES["Heading2"])]
    story += [Paragraph(prose(name), BODY) for name in names]
    path = tmp_path / "a.pdf"
    SimpleDocTemplate(str(path), pagesize=A4).build(
        story, onFirstPage=furniture, onLaterPages=furniture
    )
    read = read_one(path)
    assert read.title == "O relatório"
    assert [block.text for block in read.blocks[2:]] == [prose(name) for name in names]
    assert [(b.kind, b.level) for b in read.blocks[:3]] == [
        ("heading", 1),
        ("heading", 2),
        ("paragraph", 0),
    ]
    pages = [block.page for block in read.blocks]
    assert pages == sorted(pages) and set(pages) == {1, 2}


def test_pdf_columns_are_read_one_after_the_other(tmp_path):
    names = [f"c{n}" for n in range(12)]
    template = BaseDocTemplate(str(tmp_path / "a.pdf"), pagesize=A4)
    frames = [Frame(50, 50, 235, 700), Frame(305, 50, 235, 700)]
    template.addPageTemplates([PageTemplate(frames=frames, onPage=furniture)])
    template.build([Paragraph(prose(name), BODY) for name in names])
    read = read_one(tmp_path / "a.pdf")
    assert [block.text for block in read.blocks] == [prose(name) for name in names]


def test_pdf_table_rows_stay_together(tmp_path):
    table = Table([["Café coado", "10 reais"], ["Pão na chapa", "2 reais"]], colWidths=[200, 200])
    story = [Paragraph(prose("a"), BODY), table, Paragraph(prose("b"), BODY)]
    SimpleDocTemplate(str(tmp_path / "a.pdf")).build(story)
    assert shapes(read_one(tmp_path / "a.pdf").blocks) == [
        ("p", prose("a")),
        ("t", "Café coado | 10 reais"),
        ("t", "Pão na chapa | 2 reais"),
        ("p", prose("b")),
    ]


def draw_pages(path, pages):
    sheet = canvas.Canvas(str(path))
    for lines in pages:
        for number, line in enumerate(lines):
            sheet.drawString(72, 760 - 15 * number, line)
        sheet.showPage()
    sheet.save()
    return path


def test_numbers_that_do_not_follow_the_pages_are_text(tmp_path):
    values = (310, 47, 992, 5)
    pages = [["Recibo da loja", f"Total de {value} reais", "Obrigado."] for value in values]
    texts = " ".join(b.text for b in read_one(draw_pages(tmp_path / "a.pdf", pages)).blocks)
    assert all(f"Total de {value} reais" in texts for value in values)


def test_pages_that_are_nothing_but_repeated_lines_are_kept(tmp_path):
    pages = [["Certificado de participação"]] * 4
    assert len(read_one(draw_pages(tmp_path / "a.pdf", pages)).blocks) == 4


def test_pdf_with_pages_without_text_warns(tmp_path):
    path = draw_pages(tmp_path / "a.pdf", [["Um texto."], [], [], []])
    report = ReadReport()
    list(iter_source_documents(path, report))
    assert "3 de 4 páginas não têm texto" in report.notices[0][1]
    assert report.pages == 4


def test_pypdf_serves_where_pdfminer_fails(tmp_path, monkeypatch):
    def broken(*args, **options):
        raise TypeError("estragado")

    monkeypatch.setattr(blocks_module, "with_pdfminer", broken)
    story = [Paragraph(prose("um"), BODY), PageBreak(), Paragraph(prose("dois"), BODY)]
    SimpleDocTemplate(str(tmp_path / "a.pdf")).build(story)
    blocks = read_one(tmp_path / "a.pdf").blocks
    assert [(block.text, block.page) for block in blocks] == [(prose("um"), 1), (prose("dois"), 2)]


def test_running_lines_are_dropped_without_positions_too():
    def page(number):
        return f"Relatório da cidade\n{prose(f't{number}')}\nPágina {number}"

    blocks = pypdf_blocks([page(number) for number in range(1, 6)])
    assert [block.text for block in blocks] == [prose(f"t{number}") for number in range(1, 6)]
