"""O estilo das personas, diante de contas feitas à mão e de conjuntos iguais e diferentes."""

import json

import numpy as np
import pytest
import torch

from benchmarks import personas, sampling
from src.config.personas import PERSONAS, Persona, Style
from src.evaluation.style import (
    compare,
    compare_personas,
    contains,
    divergence,
    divergences,
    holm,
    identification,
    in_loop,
    jensen_shannon,
    sentence_words,
    style_report,
    verdict,
    word_counts,
)
from src.evaluation.text_metrics import CorpusScore

FEW = 199  # permutações: o menor p é 1/200
SHY = Persona("timida", "", "x", Style(address=("você",), typical=("talvez",), avoided=("legal",)))
LOUD = Persona("alegre", "", "x", Style(address=("tu",), typical=("oba",), avoided=("talvez",)))
COLD = Persona("fria", "", "x", Style(typical=("conforme",), avoided=("oba",)))
TRIO = {p.name: p for p in (SHY, LOUD, COLD)}
TOPICS = ["mar", "rio", "sol", "pão", "chuva", "casa", "trem", "livro"] * 3


def speeches():
    """Cada persona com as suas marcas, sobre os mesmos assuntos."""
    return {
        "timida": [f"Talvez você goste do {t}. Não sei dizer mais." for t in TOPICS],
        "alegre": [f"Oba! Tu viu o {t}! Que festa!" for t in TOPICS],
        "fria": [f"Conforme os registros, o {t} existe desde muito tempo." for t in TOPICS],
    }


def random_answers(seed, count=40, size=8):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(list("abcdefghij"), size)) for _ in range(count)]


# ---------------------------------------------------------------------- uma resposta


@pytest.mark.parametrize(
    ("text", "expressions", "found"),
    [
        ("Isso é pra já!", ("pra",), True),
        ("PRA JÁ", ("pra",), True),
        ("Um prato cheio.", ("pra",), False),
        ("Ao senhor, com prazer.", ("o senhor",), False),
        ("Vi o senhor ontem.", ("o senhor", "a senhora"), True),
        ("A gente vai.", ("tá", "a gente"), True),
        ("Tanto faz.", (), False),
        ("", ("pra",), False),
    ],
)
def test_expressions_count_as_whole_words(text, expressions, found):
    assert contains(text, expressions) is found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Oi! Como vai você? Bem.", (1 + 3 + 1) / 3),
        ("São 1.600 casas... Muitas", (4 + 1) / 2),  # "1" e "600" são duas palavras
        ("uma linha\noutra linha aqui", (2 + 3) / 2),
        ("sem ponto final", 3),
        ("?! ...", 0),
        ("", 0),
    ],
)
def test_words_per_sentence(text, expected):
    assert sentence_words(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("não não não", True),
        ("Não, não, NÃO!", True),
        ("não não", False),
        ("vou e vou e vou e", True),
        ("vou e vou e vou", False),  # a terceira vez não se completa
        ("antes um dois um dois um dois depois", True),
        ("a b a b c a b", False),
        ("", False),
    ],
)
def test_a_loop_is_a_sequence_said_three_times_in_a_row(text, found):
    assert in_loop(text) is found


# ---------------------------------------------------------------------- uma persona e as outras


def test_difference_is_own_minus_the_mean_of_the_others():
    values = np.array([[1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    difference, _ = compare(values, own=0, permutations=FEW)
    assert difference.value == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    difference, _ = compare(values, own=2, permutations=FEW)
    assert difference.value == pytest.approx(-(0.5 + 1 + 0 + 0.5) / 4)


def test_permutations_find_nothing_in_equal_values():
    difference, p = compare(np.ones((3, 20)), own=1, permutations=FEW)
    assert difference.value == 0 and not difference.excludes_zero and p == 1.0


def test_permutations_find_an_obvious_difference():
    values = np.zeros((3, 30))
    values[2] = 1.0
    difference, p = compare(values, own=2, permutations=FEW)
    assert difference.value == 1.0 and p == 1 / (FEW + 1)


def test_chance_alone_is_found_about_as_often_as_promised():
    generator = np.random.default_rng(1)
    found = [compare(generator.random((3, 25)), 0, FEW)[1] < 0.05 for _ in range(100)]
    assert sum(found) <= 11  # 5 esperados; mais de 11 tem probabilidade de 0,4 %


def test_every_measure_of_every_persona_by_hand():
    answers = {"timida": ["Talvez você. Sim!"], "alegre": ["Oba, oba! Talvez."], "fria": ["Tu."]}
    found = {(c.persona, c.measure): c for c in compare_personas(answers, TRIO, FEW)}
    assert ("fria", "address") not in found  # ela não tem tratamento próprio
    own = {key: (c.own.value, c.others.value) for key, c in found.items()}
    assert own["timida", "address"] == (1.0, 0.0)
    assert own["timida", "typical"] == (1.0, 0.5)  # a alegre disse talvez
    assert own["alegre", "address"] == (0.0, 0.5)
    assert own["alegre", "avoided"] == (1.0, 0.5)
    assert own["fria", "avoided"] == (0.0, 0.5)
    assert own["timida", "words"] == (3.0, 2.0)
    assert own["alegre", "exclamations"] == (1.0, 0.5)
    assert own["timida", "sentence_words"] == (1.5, (1.5 + 1) / 2)
    assert found["timida", "address"].difference.low is None  # uma pergunta só


# ---------------------------------------------------------------------- vocabulário


def test_word_counts_by_hand():
    counts = word_counts({"a": ["o mar o mar", "sol"], "b": ["mar", ""]})
    assert counts.tolist() == [[[2, 2, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]]]  # mar, o, sol


@pytest.mark.parametrize(
    ("first", "second", "bits"),
    [
        ([1, 0], [0, 5], 1.0),
        ([1, 1], [3, 3], 0.0),
        ([1, 1], [1, 0], 0.8112781 - 0.5),  # H(3/4, 1/4) - (H(1/2, 1/2) + H(1, 0)) / 2
        ([0, 0], [1, 1], 0.0),  # um lado sem palavras
    ],
)
def test_jensen_shannon_by_hand(first, second, bits):
    assert float(jensen_shannon(np.array(first), np.array(second))) == pytest.approx(bits, abs=1e-6)


def test_divergence_of_identical_answers_is_zero_and_not_significant():
    counts = word_counts({"a": TOPICS, "b": TOPICS})
    assert divergence(*counts, permutations=FEW) == (0.0, 0.0, 1.0)


def test_divergence_of_the_same_source_is_what_chance_gives():
    counts = word_counts({"a": random_answers(1), "b": random_answers(2)})
    bits, chance, p = divergence(*counts, permutations=FEW)
    assert bits > 0 and chance > 0 and p > 0.05


def test_divergence_sees_different_words_and_not_different_topics():
    topics = {"a": [f"digo {t}" for t in TOPICS], "b": [f"{t} digo" for t in TOPICS]}
    assert divergences(topics, FEW)[0].p == 1.0
    apart = {"a": [f"digo {t}" for t in TOPICS], "b": [f"falo {t}" for t in TOPICS]}
    (found,) = divergences(apart, FEW)
    assert (found.first, found.second, found.p) == ("a", "b", 1 / (FEW + 1))
    assert found.bits == pytest.approx(0.5) and found.chance < 0.1  # metade das palavras difere


def test_permuted_divergence_equals_the_one_of_swapped_answers():
    """A conta por matriz, diante da troca feita resposta a resposta."""
    counts = word_counts({"a": random_answers(3, 6), "b": random_answers(4, 6)})
    draws = np.random.default_rng(0).integers(0, 2, (20, 6))
    slow = []
    for swapped in draws:
        left = sum(counts[s, i] for i, s in enumerate(swapped))
        right = sum(counts[1 - s, i] for i, s in enumerate(swapped))
        slow.append(float(jensen_shannon(left, right)))
    assert divergence(*counts, permutations=20)[1] == pytest.approx(np.mean(slow), abs=1e-6)


# ---------------------------------------------------------------------- identificação


def test_different_words_identify_the_persona():
    found = identification(speeches())
    assert found["accuracy"].value == 1.0 and found["chance"] == pytest.approx(1 / 3)
    assert found["confusion"] == [[24, 0, 0], [0, 24, 0], [0, 0, 24]]


def test_identical_answers_are_identified_by_chance_only():
    same = {name: TOPICS for name in TRIO}
    assert identification(same)["accuracy"].value == pytest.approx(1 / 3)


def test_answers_of_one_source_are_identified_about_as_chance_would():
    found = identification({name: random_answers(i, 80) for i, name in enumerate(TRIO)})
    assert found["accuracy"].low < 1 / 3 < found["accuracy"].high


def test_the_other_answers_to_the_same_question_are_not_seen():
    """O assunto só aparece numa pergunta: contá-lo atribuiria cada resposta às outras personas."""
    answers = {
        name: [f"{mark} {topic} {topic}" for topic in map(str, range(12))]
        for name, mark in zip(TRIO, ("oi", "olá", "alô"))
    }
    assert identification(answers)["accuracy"].value == 1.0


# ---------------------------------------------------------------------- o veredito


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_verdict_names_what_differs_and_to_which_side():
    report = style_report(speeches(), TRIO)
    assert report.questions == 24
    assert report.differing()["tratamento"] == ["timida mais", "alegre mais"]
    assert report.differing()["expressões evitadas"] == ["alegre menos", "fria menos"]
    assert report.differing()["vocabulário"] == ["timida/alegre", "timida/fria", "alegre/fria"]
    assert report.against_style() == []
    assert verdict(report).startswith("as três personas diferem em: tratamento (timida mais, ")


def test_verdict_of_equal_answers_finds_nothing():
    report = style_report({name: TOPICS for name in TRIO}, TRIO, FEW)
    assert report.differing() == {}
    assert verdict(report) == "as personas não diferem em nada que passe do acaso"


def test_verdict_also_says_what_does_not_differ():
    answers = {
        name: [f"{mark} {topic}" for topic in TOPICS]
        for name, mark in zip(TRIO, ("você", "tu", "ela"))
    }
    told = verdict(style_report(answers, TRIO))
    assert "tratamento (timida mais, alegre mais)" in told
    assert told.endswith(
        "não se distinguem em: expressões típicas, expressões evitadas, palavras por frase, "
        "palavras por resposta, exclamações"
    )


def test_a_persona_that_sounds_like_another_is_denounced():
    swapped = dict(zip(TRIO, [*list(speeches().values())[1:], speeches()["timida"]]))
    wrong = style_report(swapped, TRIO).against_style()
    assert "timida: tratamento" in wrong and "fria: expressões típicas" in wrong


def test_report_is_plain_json():
    told = json.loads(json.dumps(style_report(speeches(), TRIO, FEW).to_dict()))
    assert told["identification"]["accuracy"]["value"] == 1.0
    assert {"measure", "persona", "own", "others", "difference", "p"} == set(told["comparisons"][0])


@pytest.mark.parametrize(
    "answers", [{"casual": ["a"]}, {"casual": ["a"], "formal": []}, {"casual": [], "formal": []}]
)
def test_unequal_or_missing_answers_are_refused(answers):
    with pytest.raises(ValueError, match="respostas por persona"):
        style_report(answers, PERSONAS)


# ---------------------------------------------------------------------- os programas de medida


def option(name, repeats, accepted=0.5, bits=5.0):
    """Uma opção medida em 40 pedidos; a parte ``repeats`` deles se repete."""
    count = 40
    zeros, chrf = np.zeros(count), CorpusScore(np.ones((count, 1)), lambda sums: float(sums[0]))
    flags = np.arange(count) / count
    right = (flags[::-1] < accepted).astype(float)
    values = {"loops": zeros, "repetition": zeros, "cut": zeros, "words": zeros}
    values |= {"repeats": (flags < repeats).astype(float), "bits": np.full(count, bits)}
    return sampling.Option(
        {"name": name}, sampling.Scores(**values, accepted=right, chrf=chrf, distinct_2=0)
    )


def chosen(*options):
    return sampling.choose(options, options[0].scores).overrides["name"]


def test_the_option_that_repeats_least_is_chosen():
    assert chosen(option("padrão", 0.5), option("penalidade", 0.0), option("fraca", 0.4)) == (
        "penalidade"
    )


def test_less_repetition_is_not_bought_with_wrong_answers_nor_with_nonsense():
    assert chosen(option("padrão", 0.5), option("erra", 0.0, accepted=0.1)) == "padrão"
    assert chosen(option("padrão", 0.5), option("sem sentido", 0.0, bits=9.0)) == "padrão"
    assert sampling.loses(option("a", 0, 0.1, 9.0).scores, option("b", 0).scores) == [
        "accepted",
        "bits",
    ]


def test_among_equals_the_one_that_interferes_least_is_chosen():
    """40 pedidos: um a mais ou a menos (2,5 %) não se distingue do acaso."""
    assert chosen(option("padrão", 0.025), option("penalidade", 0.0)) == "padrão"
    assert chosen(option("padrão", 0.5), option("branda", 0.025), option("forte", 0.0)) == "branda"
    assert chosen(option("padrão", 0.0, 0.2), option("acerta", 0.0, 0.8)) == "acerta"


def test_pooling_joins_the_prompts_of_every_model():
    both = sampling.Scores.pooled([option("a", 0.5).scores, option("b", 0.0).scores])
    assert len(both.repeats) == 80 and both.repeats.mean() == 0.25
    assert both.chrf.estimate.value == 80


def test_labels_show_only_what_is_on():
    assert sampling.label({}) == "padrão" and sampling.label(sampling.OFF) == "sem penalidades"
    assert sampling.label({"temperature": 0.2} | sampling.N4) == "T 0,2, n 4"


def test_kl_and_weight_change_by_hand():
    first, second = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    expected = 0.5 * np.log2(0.5 / 0.25) + 0.5 * np.log2(0.5 / 0.75)
    assert personas.kl_bits(first, second) == pytest.approx(expected)
    assert personas.kl_bits(first, first) == 0.0
    assert personas.change(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 1.0])) == pytest.approx(0.6)
    assert personas.change(torch.zeros(2), torch.ones(2)) == 0.0


def test_questions_are_spread_out():
    assert personas.spread_out(range(10), 3) == [0, 3, 6]
    assert personas.spread_out([1, 2], 5) == [1, 2] == personas.spread_out([1, 2], None)
