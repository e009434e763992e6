"""A ordem dos candidatos, a variedade de documentos, os filtros e a citação."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.models.rag_retriever import UNUSED, RAGRetriever
from src.retrieval.local_backend import LocalBackend
from src.retrieval.portuguese import is_stop_word, stem, term_of, terms, words
from src.retrieval.quoting import MAX_SENTENCES, SKIPPED, best_quote, candidate_sentences
from src.retrieval.ranking import (
    FEATURES,
    candidate_features,
    rank_scores,
    read_query,
    relevance_threshold,
    relevances,
    text_features,
    weights_of,
)
from src.retrieval.search import as_filter, search
from src.retrieval.types import Chunk, DocumentRecord


def even(names):
    """O mesmo peso para todo termo."""
    return dict.fromkeys(names, 1.0)


def query_of(text):
    return read_query(text, even)


# --- As palavras ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first, second",
    [
        ("carteirinhas", "carteirinha"),
        ("organizações", "organização"),
        ("Médicos", "medico"),
        ("BIBLIOTECA", "bibliotecas"),
        ("animais", "animal"),
        ("homens", "homem"),
        ("papéis", "papel"),
        ("lençóis", "lençol"),
        ("azuis", "azul"),
        ("corações", "coração"),
    ],
)
def test_forms_of_a_word_share_the_term(first, second):
    assert terms(first) == terms(second)


def test_stop_words_are_known_without_their_accents():
    assert all(is_stop_word(word) for word in ("não", "nao", "você", "voce", "é", "até", "ate"))
    assert terms("Você não é até que...") == [] and not is_stop_word("pé")


# --- As medidas ----------------------------------------------------------------------------------


@given(st.text(max_size=80))
def test_weights_of_a_query_sum_to_one(text):
    query = query_of(text)

    assert math.isclose(sum(query.weights.values()), 1.0 if query.weights else 0.0)
    assert math.isclose(sum(query.pairs.values()), 1.0 if query.pairs else 0.0, abs_tol=1e-9)


SENTENCES = st.lists(
    st.lists(
        st.sampled_from("rio mar barco vela porto de a o que".split()), min_size=1, max_size=6
    ),
    min_size=1,
    max_size=4,
)


@given(st.lists(st.sampled_from("rio mar barco vela lago de que".split()), max_size=6), SENTENCES)
def test_features_are_those_of_a_plain_count(asked, sentences):
    """A conta óbvia: percorrer os termos da pergunta e ver onde cada um está."""
    query = query_of(" ".join(asked))
    text = " ".join(" ".join(each) + "." for each in sentences)

    best, coverage, pairs, head = text_features(query, "porto", text)

    known = [{"porto"} | set(each) for each in sentences]
    own = {word: query.weights[term_of(word)] for word in asked if term_of(word)}
    assert best == pytest.approx(max(sum(w for q, w in own.items() if q in s) for s in known))
    assert coverage == pytest.approx(sum(w for q, w in own.items() if q in set().union(*known)))
    found = {pair for each in sentences for pair in zip(map(stem, each), map(stem, each[1:]))}
    assert pairs == pytest.approx(sum(w for pair, w in query.pairs.items() if pair in found))
    assert head == pytest.approx(sum(w for q, w in own.items() if q == "porto"))


def test_the_title_counts_as_part_of_every_sentence():
    query = query_of("horário da Biblioteca Jatobá")

    with_title = text_features(query, "Biblioteca Jatobá", "O horário é das 8h às 18h.")
    without = text_features(query, "", "O horário é das 8h às 18h.")

    assert with_title[0] == pytest.approx(1.0) and without[0] == pytest.approx(1 / 3)


def test_texts_without_any_term_are_not_read_and_measure_the_same():
    texts = ["O barco zarpa do porto.", "A vela apagou.", "Chove. O lago encheu.", "Nada a ver."]
    retriever = RAGRetriever(sentence_transformer_model=UNUSED)
    retriever.add_documents(texts)
    query = read_query("O barco e a vela", retriever.backend.idf)
    lexical = retriever.backend.lexical_scores("O barco e a vela", np.arange(4))

    rows = candidate_features(query, [("", text) for text in texts], lexical, None)

    assert (lexical == 0).tolist() == [False, False, True, True]
    plain = [text_features(query, "", text) for text in texts]
    np.testing.assert_allclose(rows[:, 2:], plain, atol=1e-6)


def test_a_query_of_stop_words_measures_nothing_and_breaks_nothing():
    rows = candidate_features(query_of("o que é?"), [("", "Texto.")], np.zeros(1), None)

    assert rows.shape == (1, len(FEATURES)) and not rows.any()


@pytest.mark.parametrize("with_vectors", [True, False])
def test_every_learned_part_is_there_and_words_help(with_vectors):
    none, all_ = np.zeros((2, len(FEATURES)), np.float32), np.ones((1, len(FEATURES)), np.float32)
    none[:, 1] = all_[:, 1] = 0.85  # o mesmo cosseno

    assert rank_scores(all_, with_vectors)[0] > rank_scores(none, with_vectors)[0]
    chances = relevances(np.vstack([all_, none]), with_vectors)
    assert ((chances >= 0) & (chances <= 1)).all() and chances[0] > chances[1]
    assert 0 < relevance_threshold(with_vectors) < 1


def test_without_vectors_the_cosine_weighs_nothing():
    assert weights_of("rank", False)[1] == 0 and weights_of("quote", False)[1] == 0


# --- A busca -------------------------------------------------------------------------------------


def backend_of(texts, vectors=None):
    backend = LocalBackend()
    for number, text in enumerate(texts):
        name = f"d{number}"
        given_ = None if vectors is None else vectors[number : number + 1]
        backend.add(DocumentRecord(name, "", 1), [Chunk(name, text, name, name)], given_)
    return backend


class FixedEncoder:
    """Um codificador que põe toda pergunta no primeiro eixo."""

    identity, dimension = "fixo", 3

    def encode(self, texts, kind="passage"):
        return np.tile(np.array([[1, 0, 0]], np.float32), (len(texts), 1))


def test_a_near_copy_gives_its_place_to_something_else():
    same = np.array([[0.6, 0.8, 0], [0.6, 0.8, 0], [0.6, 0, 0.8]], np.float32)
    backend = backend_of(
        ["O trem parte às dez.", "O trem parte às dez!", "O trem parte às onze."], same
    )

    found = search(backend, FixedEncoder(), "trem parte", 2)

    assert [item.chunk.source for item in found] == ["d0", "d2"]


def test_meaning_brings_what_words_do_not():
    vectors = np.array([[0, 1, 0], [1, 0, 0]], np.float32)
    backend = backend_of(["O trem parte às dez.", "A composição sai cedo."], vectors)

    assert search(backend, FixedEncoder(), "locomotiva", 1)[0].chunk.source == "d1"


def test_ties_come_in_the_order_of_the_index():
    backend = backend_of(["Texto sobre nada."] * 5)

    found = search(backend, None, "locomotiva", 3)

    assert [item.chunk.source for item in found] == ["d0", "d1", "d2"]


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"ano": 2024}, True),
        ({"ano": 2023}, False),
        ({"ano": [2023, 2024]}, True),
        ({"tema": "rios"}, True),
        ({"tema": {"mares", "lagos"}}, False),
        ({"ano": lambda year: year > 2020, "tema": "mapas"}, True),
        ({"autor": None}, True),
        ({"autor": "Ana"}, False),
        (lambda item: len(item["tema"]) == 2, True),
    ],
)
def test_filters_read_values_lists_and_conditions(filters, expected):
    assert as_filter(filters)({"ano": 2024, "tema": ["rios", "mapas"]}) is expected


def test_filtered_searches_fill_up_with_what_passes():
    retriever = RAGRetriever(sentence_transformer_model=UNUSED)
    retriever.add_documents(
        [f"Texto número {n}." for n in range(20)], [{"par": n % 2 == 0} for n in range(20)]
    )

    found = retriever.retrieve("assunto ausente", 8, filters={"par": True})

    assert len(found) == 8 and all(item.metadata["par"] for item in found)


# --- A citação -----------------------------------------------------------------------------------


class FakePassage(str):
    """O que a citação precisa saber de uma passagem."""

    def __new__(cls, text, title="", score=0.0, relevance=0.9):
        made = super().__new__(cls, text)
        made.title, made.section, made.score, made.relevance = title, "", score, relevance
        return made


def quote(question, *passages, threshold=0.5):
    return best_quote(question, passages, None, even, threshold)


def test_a_sentence_that_stands_out_is_quoted_alone():
    passage = FakePassage("O sino toca às oito. A multa por atraso é de dez reais. Chove muito.")

    found = quote("De quanto é a multa por atraso?", passage)

    assert found.text == "A multa por atraso é de dez reais." and found.passage is passage


def test_when_none_stands_out_a_few_are_quoted():
    text = "Um gato mia. Um cão late. Um pato nada. Um sapo pula. Um boi muge. Um galo canta."

    found = quote("Onde fica o prédio da prefeitura?", FakePassage(text))

    assert 1 < len(candidate_sentences([found.passage])) and len(found.parts) == 1
    pieces = found.text.split(SKIPPED)
    assert all(piece in text for piece in pieces)
    assert found.text.count(".") == MAX_SENTENCES


def test_the_likeliest_sentence_comes_first():
    text = "Um gato mia. Um cão late. O prédio da prefeitura velha caiu. Um boi muge."

    found = quote("Onde fica o prédio da prefeitura?", FakePassage(text))

    assert found.text.startswith("O prédio da prefeitura")


def test_a_sentence_in_two_passages_is_read_once():
    first, second = FakePassage("Repetida. Primeira."), FakePassage("Repetida. Segunda.")

    assert [s.text for s in candidate_sentences([first, second])] == [
        "Repetida.",
        "Primeira.",
        "Segunda.",
    ]


def test_a_question_about_quantity_prefers_the_sentence_with_a_number():
    passage = FakePassage("O prazo da troca é curto. O prazo da troca é de trinta dias.")

    assert "trinta" in quote("Quanto tempo é o prazo da troca?", passage).text


def test_found_depends_on_the_threshold():
    passage = FakePassage("A multa é de dez reais.", relevance=0.6)
    relevance = quote("multa", passage).relevance

    assert quote("multa", passage, threshold=relevance - 0.01).found
    assert not quote("multa", passage, threshold=relevance + 0.01).found


def test_passages_that_seem_to_answer_make_the_answer_more_likely():
    weak, strong = (FakePassage("A multa é de dez reais.", relevance=r) for r in (0.1, 0.9))

    assert quote("multa", weak).relevance < quote("multa", strong).relevance


def test_the_question_words_are_split_as_the_index_splits_them():
    assert words("Pré-história, 3,5 km!") == ["pré", "história", "3", "5", "km"]
    assert stem("água") == "agu"
