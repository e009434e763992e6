"""O corte em frases e em trechos: nada se perde, nada se parte, e tudo cabe."""

import glob
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.config.errors import ConfigError
from src.retrieval.blocks import read_source_documents
from src.retrieval.chunking import chunk_document, chunk_id, words_of
from src.retrieval.sentences import split_sentences
from src.retrieval.types import Block, SourceDocument

DATA = Path(__file__).parents[1] / "data"

# Cada caso é o texto com "|" onde as frases se separam.
SENTENCES = [
    # tratamentos e abreviaturas antes de nome
    "O Sr. Silva chegou.|A Sra. Souza saiu.",
    "O Dr. Paulo e a Dra. Ana atendem hoje.|Marque hora.",
    "O Prof. Dr. João Lima falou.|Todos ouviram.",
    "Mora na Av. Brasil, 100.|Trabalha na R. Augusta.",
    "Fica na R. das Flores, perto da Pça. da Sé.|É longe.",
    "D. Pedro II reinou por 58 anos.|Depois veio a República.",
    "Escreva ao Exmo. Sr. Ministro.|Aguarde a resposta.",
    "Visitamos Sto. Antônio e Sta. Rita.|Gostamos.",
    "A Profa. Ivone deu a aula.|Foi boa.",
    "O cel. Aureliano e o gen. Osório conversaram.|Nada se sabe.",
    # antes de número
    "Veja o art. 5º da Constituição.|Ele é claro.",
    "Está na p. 12 do livro.|Leia.",
    "Leia as págs. 3 e 4.|Depois, responda.",
    "O nº. 7 venceu.|O n. 8 perdeu.",
    "Conforme a Fig. 2 e a Tab. 3, subiu.|Não caiu.",
    "Foi no séc. XIX.|Ninguém esqueceu.",
    "No séc. XX.|Depois, nada.",
    "Está no vol. 2, cap. IV, inc. III.|Confira.",
    "Ligue para o tel. (11) 5555-0000.|Atendemos até as 18h.",
    "Nasceu em jan. 2020.|Cresceu rápido.",
    "Espere 5 min.|Depois, sirva.",
    "Art. 5º. Todos são iguais perante a lei.",
    "§ 1º. A lei disporá sobre o prazo.|O juiz decide.",
    "Parágrafo único. O prazo é de dez dias.",
    # finais
    "Comprei maçãs, peras etc.|No dia seguinte, voltei.",
    "Comprei maçãs, peras etc. e voltei.",
    "Lápis, papel etc., tudo serve.|Traga.",
    "Trabalha na Silva & Cia. Ltda. desde maio.|Gosta.",
    "Foi contratada pela Souza Ltda.|Ela aceitou.",
    "A Petrobras S.A. divulgou o lucro.|Subiu.",
    "César morreu em 44 a.C. em Roma.|Augusto veio depois.",
    "César morreu em 44 a.C.|Augusto morreu em 14 d.C.",
    "Por ex. Recife e Olinda são vizinhas.|Vá.",
    "Traga documentos (RG, CPF, etc.).|Chegue cedo.",
    "Obs. O prazo é curto.",
    # iniciais e siglas
    "J. R. R. Tolkien escreveu livros.|Li todos.",
    "J.R.R. Tolkien escreveu livros.|Li todos.",
    "O livro é de J. K. Rowling.|Vendeu muito.",
    "Tome vitamina C.|Depois, descanse.",
    "Escolha o plano B.|Se falhar, volte.",
    "O presidente John F. Kennedy falou.|Todos ouviram.",
    "Os E.U.A. venceram.|O Brasil perdeu.",
    # números, dinheiro e datas
    "Custa R$ 4.000,00.|É caro.",
    "Mede 3,5 metros.|Pesa 1.250 quilos.",
    "Reunião em 12.03.2024 às 19h30.|Venha.",
    "Foi no dia 1º de maio.|Choveu.",
    "Vieram em 2020.|Ficaram até 2022.",
    "A versão 2.0.1 saiu.|Instale.",
    "Começa às 8h.|Termina às 10h.",
    "Saiu às 10 h.|Voltou às 11 h.|Correu 5 km.|Cansou.",
    "Custou US$ 5.|Compre já!|50% de desconto.",
    # endereços
    "Veja www.exemplo.com.br/pagina.html.|Há mais lá.",
    "Escreva para ana.lima@exemplo.com.br.|Respondemos.",
    "Abra o arquivo notas.txt e leia.|Depois, feche.",
    # reticências, exclamações, aspas e parênteses
    "Ele pensou... e saiu.|Não voltou.",
    "Ele pensou…|Depois saiu.",
    "Sério?!|Não acredito!!!|Conte mais.",
    "“Vem!”|Ela foi.",
    'Ele disse: "Já vou."|E não foi.',
    "Choveu (muito.)|Depois parou.",
    "Ele gritou “socorro!” e correu.",
    "(Isto é um aparte.)|E isto não.",
    "Quem? perguntou ela.|Ninguém.",
    # diálogo com travessão
    "— Vamos! — disse ela.|— Já é tarde.",
    "— Você vem? — perguntou.|— Não sei — respondeu ele.",
    # enumerações
    "1. Lave as mãos.|2. Seque bem.|3. Vá à mesa.",
    "a) lave; b) seque; c) guarde.",
    "O item 1.2. trata do prazo.|O 1.3 trata da multa.",
    "I. O primeiro ponto.|II. O segundo ponto.",
    # o que é comum
    "Uma frase só",
    "Uma frase.|Outra frase.|E mais uma.",
    "Terminou com ponto e vírgula; mas continuou.",
    "Dois pontos: assim.|E fim.",
    "O mar.|A terra.",
    "Tirei nota dez.|Passei.",
]


@pytest.mark.parametrize("marked", SENTENCES)
def test_portuguese_sentences_are_split_where_a_reader_would(marked):
    assert split_sentences(marked.replace("|", " ")) == marked.split("|")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Título\n\nTexto que segue.", ["Título", "Texto que segue."]),
        ("Regras:\n1. Não correr.\n2. Não gritar", ["Regras:", "1. Não correr.", "2. Não gritar"]),
        ("- um\n- dois", ["- um", "- dois"]),
        ("Usuário: Oi\nLuna: Olá, tudo bem", ["Usuário: Oi", "Luna: Olá, tudo bem"]),
        (
            "Uma linha quebrada no meio da\nfrase continua. Outra começa\naqui.",
            ["Uma linha quebrada no meio da\nfrase continua.", "Outra começa\naqui."],
        ),
        (
            "Foram de carro até a cidade de\nSão Paulo e voltaram.",
            ["Foram de carro até a cidade de\nSão Paulo e voltaram."],
        ),
        (
            "Abertura (15 minutos)\nCada aluno anota na ficha o que espera ver afundar na água.",
            [
                "Abertura (15 minutos)",
                "Cada aluno anota na ficha o que espera ver afundar na água.",
            ],
        ),
        ("", []),
        (" \n\n ", []),
        ("...", ["..."]),
    ],
)
def test_line_breaks_split_only_where_a_line_was_meant_to_end(text, expected):
    assert split_sentences(text) == expected


def without_spaces(text):
    return "".join(text.split())


WORDS = st.sampled_from(
    "casa Sr. etc. p. 12 A J. 3,5 — “Oi” (não) fim. Fim! quê? … ... 1. a) S.A. : ; \n \n\n".split(
        " "
    )
)


@given(st.lists(WORDS, max_size=60).map(" ".join) | st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_sentences_lose_nothing_but_spaces(text):
    sentences = split_sentences(text)
    assert without_spaces("".join(sentences)) == without_spaces(text)
    assert all(sentence == sentence.strip() and sentence for sentence in sentences)


# --- Trechos -----------------------------------------------------------------------------------


def paragraph(words, name="p", page=None):
    """Um parágrafo de frases de 10 palavras."""
    sentences = []
    for number in range(words // 10):
        sentences.append(f"Frase {number} de {name} com mais seis palavras aqui dentro.")
    return Block(" ".join(sentences), page=page)


def document(*blocks, title="", file="a.txt", **metadata):
    return SourceDocument(file, file, list(blocks), title, metadata)


def heading(text, level=1, page=None):
    return Block(text, "heading", page, level)


def test_short_document_is_one_chunk_with_its_headings():
    blocks = (heading("Guia"), Block("Abre às 8h."), heading("Preço", 2), Block("Custa 5 reais."))
    (chunk,) = chunk_document(document(*blocks, title="Guia", autor="Ana"))
    assert chunk.text == "Abre às 8h.\n\nPreço\nCusta 5 reais."
    assert (chunk.title, chunk.section, chunk.metadata) == ("Guia", "", {"autor": "Ana"})
    assert (chunk.file, chunk.source, chunk.position, chunk.page) == ("a.txt", "a.txt", 0, None)


def test_heading_starts_a_chunk_and_gives_the_path_of_its_section():
    chunks = chunk_document(
        document(
            heading("Manual"),
            heading("Uso", 2),
            paragraph(120, "uso"),
            heading("Limpeza", 2),
            paragraph(120, "limpeza"),
            heading("Filtro", 3),
            paragraph(120, "filtro"),
            heading("Garantia", 2),
            paragraph(120, "garantia"),
        )
    )
    sections = ["Manual > Uso", "Manual > Limpeza", "Manual > Limpeza > Filtro"]
    assert [chunk.section for chunk in chunks] == [*sections, "Manual > Garantia"]
    assert "Uso" not in chunks[0].text.split()


def test_small_sections_of_the_same_parent_are_merged_and_others_are_not():
    blocks = [heading("A"), heading("A1", 2), paragraph(40, "a1"), heading("A2", 2)]
    blocks += [paragraph(40, "a2"), heading("B"), heading("B1", 2), paragraph(100, "b1")]
    chunks = chunk_document(document(*blocks))
    assert [chunk.section for chunk in chunks] == ["A", "B > B1"]
    assert chunks[0].text.startswith("A1\nFrase 0") and "\n\nA2\nFrase 0 de a2" in chunks[0].text


def test_heading_of_a_skipped_level_is_kept_when_everything_is_merged():
    blocks = (heading("A"), heading("A1", 2), Block("Um."), heading("B"), Block("Dois."))
    (chunk,) = chunk_document(document(*blocks))
    assert chunk.text == "A\nA1\nUm.\n\nB\nDois."


def test_heading_without_text_is_kept_as_text():
    chunks = chunk_document(document(heading("Só o título")))
    assert [chunk.text for chunk in chunks] == ["Só o título"]
    (chunk,) = chunk_document(document(heading("Um"), heading("Dois"), Block("Fim.")))
    assert chunk.text.split("\n") == ["Um", "", "Dois", "Fim."]
    assert chunk_document(document(heading("Título"), title="Título"))[0].text == "Título"


def test_overlap_repeats_the_last_sentence_of_the_same_section_only():
    blocks = (paragraph(300, "um"), heading("Outra"), paragraph(150, "dois"))
    chunks = chunk_document(document(*blocks), budget=100, overlap=1)
    first = [chunk for chunk in chunks if chunk.section == ""]
    for before, after in zip(first, first[1:]):
        assert split_sentences(after.text)[0] == split_sentences(before.text)[-1]
    other = next(chunk for chunk in chunks if chunk.section == "Outra")
    assert split_sentences(other.text)[0].startswith("Frase 0 de dois")


def test_breaks_fall_between_paragraphs_when_they_can():
    parts = [paragraph(70, "um"), paragraph(80, "dois"), paragraph(60, "três"), paragraph(90, "q")]
    chunks = chunk_document(document(*parts), overlap=0)
    assert [chunk.text for chunk in chunks] == [
        f"{parts[0].text}\n\n{parts[1].text}",
        f"{parts[2].text}\n\n{parts[3].text}",
    ]


def test_list_stays_with_the_line_that_announces_it():
    items = [Block(f"{n}. Item de número {n}, com mais cinco palavras.", "list") for n in range(6)]
    intro = Block("Cinco regras valem sempre:")
    blocks = [paragraph(110), intro, *items, paragraph(100, "fim")]
    chunks = chunk_document(document(*blocks), overlap=0)
    holding = next(chunk for chunk in chunks if intro.text in chunk.text)
    assert holding.text.startswith(intro.text + "\n0. Item")
    assert all(item.text in holding.text for item in items)


def test_sentence_larger_than_the_budget_is_cut_between_clauses():
    sentence = ", ".join(f"parte {n} da frase longa" for n in range(20)) + "."
    chunks = chunk_document(document(Block(sentence)), budget=30)
    assert all(words_of(chunk.text) <= 30 for chunk in chunks)
    assert all(chunk.text[-1] in ",." for chunk in chunks)
    assert " ".join(chunk.text for chunk in chunks) == sentence


def test_words_without_any_punctuation_are_cut_too():
    text = " ".join(f"palavra{n}" for n in range(500))
    chunks = chunk_document(document(Block(text)), budget=60, overlap=0)
    assert " ".join(chunk.text for chunk in chunks) == text


def test_page_is_where_the_chunk_starts():
    blocks = [paragraph(150, "um", 1), paragraph(150, "dois", 2), paragraph(150, "três", 4)]
    chunks = chunk_document(document(*blocks), overlap=0)
    assert [chunk.page for chunk in chunks] == [1, 2, 4]


def test_ids_are_unique_and_depend_only_on_file_place_and_text():
    blocks = [Block("Igual. " * 400)]
    chunks = chunk_document(document(*blocks), budget=50)
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
    assert [c.chunk_id for c in chunks] == [
        c.chunk_id for c in chunk_document(document(*blocks), budget=50)
    ]
    assert chunks[0].chunk_id == chunk_id("a.txt", 0, chunks[0].text)
    assert chunk_document(document(Block("Oi.")), start=7)[0].position == 7


def test_any_measure_of_size_may_be_used():
    chunks = chunk_document(document(paragraph(200)), budget=300, count=len, overlap=0)
    assert max(len(chunk.text) for chunk in chunks) <= 310  # os espaços entre as frases
    assert len(chunks) > 3


@pytest.mark.parametrize("options", [{"budget": 0}, {"overlap": -1}])
def test_senseless_sizes_are_refused(options):
    with pytest.raises(ConfigError, match="esperado"):
        chunk_document(document(Block("Oi.")), **options)


KINDS = st.sampled_from(["paragraph", "paragraph", "list", "table", "heading"])
BLOCKS = st.lists(
    st.tuples(KINDS, st.integers(1, 40), st.integers(1, 3), st.booleans()), min_size=1, max_size=14
)


def build(shapes):
    """Blocos de palavras todas diferentes, para que se saiba onde cada uma foi parar."""
    blocks, number = [], 0
    for kind, size, level, comma in shapes:
        words = [f"Palavra{number + n}{',' if comma else '.' * (n % 7 == 6)}" for n in range(size)]
        number += size
        blocks.append(Block(" ".join(words) + ".", kind, None, level * (kind == "heading")))
    return blocks


@given(BLOCKS, st.integers(1, 40), st.integers(0, 2))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_repeated_or_too_large(shapes, budget, overlap):
    blocks = build(shapes)
    chunks = chunk_document(document(*blocks), budget=budget, overlap=overlap)
    assert all(words_of(chunk.text) <= budget for chunk in chunks)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    body = [word for block in blocks if block.kind != "heading" for word in block.text.split()]
    found = [word for chunk in chunks for word in chunk.text.split()]
    headings = {word for block in blocks if block.kind == "heading" for word in block.text.split()}
    in_sections = {word for chunk in chunks for word in chunk.section.split()}
    assert headings <= set(found) | in_sections
    kept = [word for word in found if word not in headings]
    assert list(dict.fromkeys(kept)) == body  # na ordem, e todas
    if overlap == 0:
        assert kept == body  # e uma vez só


# --- Os documentos de verdade ------------------------------------------------------------------


def test_every_reference_passage_is_whole_inside_one_chunk():
    chunks = {}
    for path in glob.glob(str(DATA / "train" / "documentos" / "*")):
        name = os.path.splitext(os.path.basename(path))[0]
        found = [chunk for item in read_source_documents(path) for chunk in chunk_document(item)]
        chunks[name] = [" ".join(chunk.text.split()) for chunk in found]
    questions = (DATA / "valid" / "perguntas.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(questions) == 230
    for question in map(json.loads, questions):
        passage = " ".join(question["passagem"].split())
        assert any(passage in text for text in chunks[question["documento"]]), passage
