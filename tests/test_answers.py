"""O critério de uma resposta aceitável, caso a caso."""

import pytest

from src.evaluation.answers import acceptable, has_term, repeats_itself


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ("A capital é Brasília.", True),
        ("É BRASILIA!", True),
        ('Chama-se "Brasília."', True),
        ("A capital é Salvador.", False),  # não tem o esperado
        ("Brasiliana é uma coleção.", False),  # só como parte de outra palavra
        ("Brasília fica longe do Rio.", False),  # tem o recusado
        ("A capital é Brasília, que fica no", False),  # no meio da frase
        ("É Brasília, que é a capital, que é a capital, que é.", False),  # repete
        ("", False),
        ("A capital é Brasília. 😊", True),  # um emoji depois do ponto não desfaz a frase
        ("A capital é Brasília!👍🏽👩‍💻❤️ 🇧🇷", True),
        ("“A capital é Brasília. 😊”", True),
        ("A capital é Brasília 😊", False),  # o emoji não faz as vezes do ponto
        ("😊 Brasília. 😊 E", False),
    ],
)
def test_each_part_of_the_criterion(answer, good):
    assert acceptable(answer, ["Brasília"], ["Rio"]) is good


def test_term_of_several_words_and_marks_is_matched_literally():
    assert has_term("Custa R$ 2,50.", "2,50") and not has_term("Custa 2x50.", "2,50")
    assert has_term("Use água quente, sim.", "agua quente")


def test_line_breaks_and_repeated_spaces_count_as_one_space():
    assert has_term("Use água\nquente.", "água quente") and has_term(
        "Água \t quente", "água quente"
    )
    assert has_term("R$\u00a02,50", " R$  2,50 ") and not has_term("águaquente", "água quente")


def test_zero_cents_do_not_change_a_number():
    assert has_term("Custa R$ 1.600,00.", "1.600") and has_term("1.600,0 e", "1.600")
    assert has_term("Custa R$ 1.600,00.", "R$ 1.600") and has_term("R$ 1.600,00", "1.600,00")
    assert not has_term("Custa R$ 1.600,00.", "600") and not has_term("R$ 1.600,50", "1.600")
    assert not has_term("São 100,000.", "100") and not has_term("São 1.600.000.", "1.600")
    assert not has_term("Custa 1.600,00.", "00") and not has_term("2,50,00", "2,50")
    assert has_term("Depois do café,2 copos.", "café")  # a regra dos números é só dos números


@pytest.mark.parametrize("term", ["", "  \n", "\u0301"])
def test_empty_term_is_an_error_in_the_questions(term):
    with pytest.raises(ValueError, match="vazio"):
        has_term("Qualquer resposta.", term)
    with pytest.raises(ValueError, match="vazio"):
        acceptable("Qualquer resposta.", ["outra"], [term])


def test_number_is_not_found_inside_another():
    assert not has_term("São 1.600 reais.", "600") and not has_term("Mede 600,5 m.", "600")
    assert has_term("São 600.", "600") and has_term("Custa 1.600, talvez.", "1.600")


def test_repetition_needs_the_whole_run_twice():
    assert not repeats_itself("um dois três um dois três")
    assert repeats_itself("um dois três quatro e um dois três quatro")
    assert repeats_itself("que que que que que")
