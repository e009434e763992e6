"""As personas: as prontas, as da pessoa, e o que chat, treino e HyperNetwork leem delas."""

import json
import logging
from itertools import combinations

import pytest
import torch

from src.chat.luna_chat import LunaChat
from src.config.config import Config
from src.config.errors import ConfigError, UsageError
from src.config.options import quoted
from src.config.personas import (
    PERSONA_DIM,
    PERSONAS,
    TRAITS,
    get_persona,
    load_personas,
    plain_name,
)
from src.config.text import without_accents
from src.models.hypernet import CausalContext, HyperNetwork
from src.training.examples import build_examples, with_persona
from src.training.trainer import LunaTrainer
from src.utils import text_cleaning
from src.utils.errors import ContextLengthError

PROFESSORA = {
    "extends": "formal",
    "system_prompt": "Você é a Luna. Explique com exemplos.",
    "style": {"typical": ["por exemplo"]},
    "sampling": {"temperature": 0.3},
    "proactivity": {"min_turns_between": 2},
    "traits": {"detail": 0.9},
}


@pytest.fixture
def personas_file(config):
    """Grava um dicionário (ou texto) como o arquivo de personas da configuração."""

    def write(values):
        text = values if isinstance(values, str) else json.dumps(values, ensure_ascii=False)
        with open(config.paths.personas_file, "w", encoding="utf-8") as stream:
            stream.write(text)
        return config.paths.personas_file

    return write


# ---------------------------------------------------------------------- as prontas


@pytest.mark.parametrize("persona", PERSONAS.values(), ids=lambda p: p.name)
def test_built_in_persona_is_complete(persona):
    assert persona.description and persona.system_prompt.startswith("Você é a Luna.")
    assert persona.style.typical and persona.style.avoided
    assert not set(persona.style.typical) & set(persona.style.avoided)
    assert set(persona.traits) == set(TRAITS)
    assert len(persona.vector) == PERSONA_DIM == len(TRAITS)
    assert all(-1 <= value <= 1 for value in persona.vector)


def test_vectors_of_built_in_personas_stand_apart():
    for one, other in combinations(PERSONAS.values(), 2):
        distance = torch.dist(torch.tensor(one.vector), torch.tensor(other.vector))
        assert distance > 1, (one.name, other.name)


def test_persona_vector_changes_the_weights_the_hypernetwork_generates():
    torch.manual_seed(0)
    context, network = CausalContext(16, 8), HyperNetwork(8, 6, 12)
    torch.nn.init.normal_(network.to_u.weight)  # nasce em zero: um passo de treino a tira dali
    x = torch.randn(1, 4, 16)
    weights = []
    for persona in PERSONAS.values():
        c, _ = context(x, persona=torch.tensor([persona.vector]))
        weights.append(network(c)[0])
    for one, other in combinations(weights, 2):
        assert (one - other).abs().max() > 0.01


# ---------------------------------------------------------------------- as do arquivo


def test_without_a_file_there_are_the_built_in_ones(tmp_path):
    assert load_personas(tmp_path / "nada.json") == PERSONAS


def test_users_persona_takes_from_the_one_it_extends_what_it_does_not_say(personas_file):
    personas = load_personas(personas_file({"Professôra": PROFESSORA}))
    mine, formal = get_persona("PROFESSORA", personas), PERSONAS["formal"]
    assert mine.name == "professora" and mine.description == "professora"
    assert mine.system_prompt == PROFESSORA["system_prompt"]
    assert mine.style.typical == ("por exemplo",) and mine.style.avoided == formal.style.avoided
    assert mine.sampling.temperature == 0.3 and mine.sampling.top_k == formal.sampling.top_k
    assert mine.proactivity.min_turns_between == 2
    assert mine.proactivity.min_confidence == formal.proactivity.min_confidence
    assert mine.traits == {**formal.traits, "detail": 0.9}
    assert set(personas) == {*PERSONAS, "professora"}


def test_users_persona_may_extend_an_earlier_one_and_change_a_built_in_one(personas_file):
    poet = {"extends": "professora", "system_prompt": "Você é a Luna. Rime."}
    values = {"professora": PROFESSORA, "poeta": poet, "casual": {"sampling": {"top_p": 0.5}}}
    personas = load_personas(personas_file(values))
    assert personas["poeta"].sampling == personas["professora"].sampling
    assert personas["casual"].sampling.top_p == 0.5
    assert personas["casual"].system_prompt == PERSONAS["casual"].system_prompt
    assert PERSONAS["casual"].sampling.top_p == 0.9  # as prontas não mudam


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("{", "não é JSON"),
        ([1], r"o arquivo=\[1\]: esperado um objeto"),
        ({"x": 3}, "x=3: esperado um objeto"),
        ({" ": {}}, "persona sem nome"),
        ({"x": {}}, "x: falta o campo system_prompt"),
        ({"x": {"system_prompt": " "}}, "x.system_prompt=' ': esperado um texto"),
        ({"x": {"system_prompt": "a", "cor": 1}}, "x.cor: campo desconhecido.*extends"),
        ({"x": {"system_prompt": "a", "name": "y"}}, "x.name: campo desconhecido"),
        ({"x": {"system_prompt": "a", "extends": "y"}}, "x.extends='y': .*casual, formal, tecnico"),
        ({"x": {"system_prompt": "a", "extends": 1}}, "x.extends=1"),
        ({"casual": {"sampling": {"temperature": "alta"}}}, "temperature='alta': .*número"),
        ({"casual": {"sampling": {"top_k": -1}}}, "casual.sampling.top_k=-1: esperado no mínimo 0"),
        ({"casual": {"sampling": {"temp": 1}}}, "casual.sampling.temp: .*temperature"),
        ({"casual": {"sampling": 1}}, "casual.sampling=1: esperado um objeto"),
        ({"casual": {"proactivity": {"enabled": 1}}}, "enabled=1: .*true ou false"),
        ({"casual": {"style": {"typical": "né"}}}, "typical='né': esperada uma lista"),
        ({"casual": {"style": {"typical": [1]}}}, r"typical=\[1\]: esperada uma lista"),
        ({"casual": {"style": {"tom": []}}}, "casual.style.tom: .*typical"),
        ({"casual": {"traits": {"humor": 2}}}, "humor=2: esperado um número de -1 a 1"),
        ({"casual": {"traits": {"humor": True}}}, "humor=True"),
        ({"casual": {"traits": {"graça": 1}}}, "casual.traits.graça: .*humor"),
        (
            {"casual": {"traits": {"humor": 10**400}}},
            r"casual\.traits\.humor=10+\.\.\.0+: esperado",
        ),
        (
            {"casual": {"traits": {"humor": float("nan")}}},
            "humor=nan: esperado um número de -1 a 1",
        ),
        ({"casual": {"sampling": {"top_p": 10**400}}}, r"top_p=10+\.\.\.0+: esperado no máximo 1"),
        (
            '{"casual": {"traits": {"humor": %s}}}' % ("9" * 5000),
            r"9\.\.\.9+: .*5000 algarismos",
        ),
        ("[" * 200_000, "objetos ou listas, uns dentro dos outros, demais"),
        ('{"a":' * 200_000, "objetos ou listas, uns dentro dos outros, demais"),
        ({"x": PROFESSORA, " X": PROFESSORA}, "'x' e ' X' são o mesmo nome, 'x'"),
        ({"Técnico": {}, "tecnico": {}}, "'Técnico' e 'tecnico' são o mesmo nome, 'tecnico'"),
        ('{"x": {"system_prompt": "a"}, "x": {"system_prompt": "b"}}', "'x' aparece duas vezes"),
        ('{"casual": {"sampling": {"top_k": 1, "top_k": 2}}}', "'top_k' aparece duas vezes"),
    ],
)
def test_bad_personas_file_names_file_field_value_and_what_was_expected(
    personas_file, values, told
):
    path = personas_file(values)
    with pytest.raises(ConfigError, match=told) as error:
        load_personas(path)
    assert path in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        ["a" * 100_000] * 10,
        {"x" * 100_000: 3},
        {"casual": {"y" * 100_000: 3}},
        {"casual": {"system_prompt": [1] * 100_000}},
        {"casual": {"sampling": {"temperature": "z" * 100_000}}},
        {"casual": {"style": {"typical": "w" * 100_000}}},
        {"x": {"system_prompt": "a", "extends": "v" * 100_000}},
        {"k" * 100_000: {}, "K" * 100_000: {}},
        {"t" * 100_000: {"traits": {"humor": 10**4000}}},
    ],
    ids=lambda values: "",
)
def test_huge_values_are_shortened_in_the_message(personas_file, values):
    path = personas_file(values)
    with pytest.raises(ConfigError) as error:
        load_personas(path)
    assert len(str(error.value)) < len(path) + 600 and "..." in str(error.value)


def test_integer_too_long_even_to_print_is_told():
    with pytest.raises(ConfigError, match="chat.temperature=.*esperado no máximo 5"):
        Config(chat={"temperature": 10**5000})
    assert quoted("né") == "'né'" and quoted(True) == "True" and quoted([1]) == "[1]"


def test_names_are_compared_by_the_one_function_of_the_layer_below():
    assert text_cleaning.without_accents is without_accents
    assert plain_name("  Técnico ") == without_accents("TÉCNICO") == "tecnico"


def test_personas_file_that_is_a_folder_or_not_text_is_told(tmp_path):
    with pytest.raises(ConfigError, match="Não foi possível ler"):
        load_personas(tmp_path)
    (tmp_path / "p.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="não é JSON"):
        load_personas(tmp_path / "p.json")


# ---------------------------------------------------------------------- chat e treino


def test_chat_reads_the_users_persona_and_the_configuration_wins_over_it(
    config, saved_model, personas_file, monkeypatch
):
    personas_file({"professora": PROFESSORA})
    chat = LunaChat(saved_model, config, persona="professora", device="cpu")
    seen = []
    monkeypatch.setattr(chat, "_generate", lambda ids, stream, emotion: seen.append(ids))
    chat.generate_response("Oi")
    assert PROFESSORA["system_prompt"] in chat.tokenizer.decode(seen[0])
    assert chat.sampling().temperature == 0.3
    config.chat.temperature, config.chat.no_repeat_ngram_size = 0.9, 4
    assert (chat.sampling().temperature, chat.sampling().no_repeat_ngram_size) == (0.9, 4)
    assert chat.sampling().top_k == PERSONAS["formal"].sampling.top_k


def test_every_sampling_option_reaches_generation(config, saved_model, personas_file, monkeypatch):
    personas_file({"breve": {"system_prompt": "Luna."}})
    chat = LunaChat(saved_model, config, persona="breve", device="cpu")
    values = {"temperature": 0.5, "top_k": 7, "top_p": 0.8, "min_p": 0.1}
    values |= {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3}
    for name, value in values.items():
        setattr(config.chat, name, value)
    given = []

    def remember(engine, state, prompt, settings, *stopped):
        given.append(settings)
        return iter(())

    monkeypatch.setattr("src.chat.luna_chat.generate_tokens", remember)
    chat.generate_response("Oi")
    assert {name: getattr(given[0], name) for name in values} == values


def test_whole_numbers_in_decimal_fields_generate_like_decimals(config, saved_model, personas_file):
    numbers = {"temperature": 2, "top_p": 1, "min_p": 0, "repetition_penalty": 2}
    personas_file({"viva": {"system_prompt": "Luna.", "sampling": numbers}})
    chat = LunaChat(saved_model, config, persona="viva", device="cpu")
    config.chat.seed = 3
    answer = chat.generate_response("Oi")
    for name, value in numbers.items():
        assert type(getattr(chat.sampling(), name)) is float
        setattr(config.chat, name, float(value))
    assert answer and chat.generate_response("Oi") == answer


def test_whole_temperature_in_the_configuration_file_generates(config, saved_model, personas_file):
    personas_file({"viva": {"system_prompt": "Luna."}})
    config.chat = Config.from_dict({"chat": {"temperature": 2, "max_new_tokens": 8}}).chat
    chat = LunaChat(saved_model, config, persona="viva", device="cpu")
    assert chat.generate_response("Oi") and chat.last_stream.tokens > 0
    assert type(chat.sampling().top_k) is int


@pytest.mark.parametrize(
    ("prompt", "context", "message", "told"),
    [
        (
            "Explique. " * 40,
            "",
            "Oi",
            r"a persona 'fala' tem \d{2,} .*a mensagem, \d+.*system_prompt",
        ),
        ("Explique bem. " * 4, "", "água " * 9, "Encurte o system_prompt dela .em '.*json'"),
        ("Explique. " * 40, "", "água " * 300, "Encurte o system_prompt"),
        (
            "Luna.",
            "água " * 40,
            "Oi",
            r"o contexto dado \(--context\), \d{2,}.*Encurte o contexto dado",
        ),
        ("Luna.", "", "água " * 40, "a persona 'fala' tem .*Encurte a mensagem"),
    ],
)
def test_what_does_not_fit_is_told_by_its_name_its_tokens_and_the_models_context(
    config, saved_model, personas_file, prompt, context, message, told
):
    personas_file({"fala": {"system_prompt": prompt}})
    chat = LunaChat(saved_model, config, persona="fala", device="cpu")
    chat.context = context
    with pytest.raises(ContextLengthError, match=told) as error:
        chat.generate_response(message)
    assert "o contexto do modelo é de 64 tokens" in str(error.value)
    assert ("--context" in str(error.value)) is bool(context)


def test_unknown_persona_tells_the_file_searched_and_whether_it_exists(
    config, saved_model, personas_file
):
    path = config.paths.personas_file
    with pytest.raises(UsageError, match="'professora'.*casual, formal, tecnico") as error:
        LunaChat(saved_model, config, persona="professora")
    assert f"em '{path}', que não existe" in str(error.value)
    personas_file({"poeta": PROFESSORA})
    with pytest.raises(UsageError, match="casual, formal, poeta, tecnico") as error:
        get_persona("professora", load_personas(path))
    assert f"em '{path}'" in str(error.value) and "que não existe" not in str(error.value)
    with pytest.raises(UsageError) as error:
        get_persona("professora")
    assert ".json" not in str(error.value)


def test_unknown_persona_in_the_chat_lists_the_users_too(config, saved_model, personas_file):
    personas_file({"professora": PROFESSORA})
    with pytest.raises(UsageError, match="casual, formal, professora, tecnico"):
        LunaChat(saved_model, config, persona="pirata")


def test_training_dresses_conversations_in_the_users_persona(config, saved_model, personas_file):
    personas_file({"professora": PROFESSORA})
    trainer = LunaTrainer(saved_model, config, device="cpu", show_progress=False)
    text = "[PERSONA] Professora\nUsuário: Oi\nLuna: Olá!"
    (example,) = build_examples([text], trainer.tokenizer, 200, trainer.personas)
    assert PROFESSORA["system_prompt"] in trainer.tokenizer.decode(example.ids)


def test_conversations_without_a_persona_do_not_see_the_personas_file(personas_file):
    mine = load_personas(personas_file({"professora": PROFESSORA, "casual": {**PROFESSORA}}))
    for number in range(60):
        messages = [{"role": "user", "content": f"Pergunta {number}"}]
        assert with_persona(messages, None, mine) == with_persona(messages, None)
    dressed = with_persona(messages, "casual", mine)
    assert dressed[0]["content"] == PROFESSORA["system_prompt"]


def test_conversation_that_asks_for_an_unknown_persona_is_told_and_used(tokenizer, caplog):
    text = "[PERSONA] pirata\nUsuário: Oi\nLuna: Arrr!"
    with caplog.at_level(logging.WARNING):
        (example,) = build_examples([text], tokenizer, 200)
    assert "pirata" in caplog.text and "casual, formal, tecnico" in caplog.text
    assert tokenizer.decode(example.ids).startswith("Oi")
