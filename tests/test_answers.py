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
    ],
)
def test_each_part_of_the_criterion(answer, good):
    assert acceptable(answer, ["Brasília"], ["Rio"]) is good


def test_term_of_several_words_and_marks_is_matched_literally():
    assert has_term("Custa R$ 2,50.", "2,50") and not has_term("Custa 2x50.", "2,50")
    assert has_term("Use água quente, sim.", "agua quente")


def test_number_is_not_found_inside_another():
    assert not has_term("São 1.600 reais.", "600") and not has_term("Mede 600,5 m.", "600")
    assert has_term("São 600.", "600") and has_term("Custa 1.600, talvez.", "1.600")


def test_repetition_needs_the_whole_run_twice():
    assert not repeats_itself("um dois três um dois três")
    assert repeats_itself("um dois três quatro e um dois três quatro")
    assert repeats_itself("que que que que que")
