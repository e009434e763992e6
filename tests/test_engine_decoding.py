"""O motor de inferência diante do ``LunaModel``, e o sorteio diante do transformers."""

import json

import pytest
import torch
from transformers import LogitsProcessorList
from transformers.generation import logits_process as hf

from src.models.decoding import GenerationSettings, NGramIndex, Sampler, generate_tokens
from src.models.engine import DecodingState, EngineConfig, InferenceEngine
from src.models.luna_model import LunaModel
from src.models.pair_embedding import PairEmbedding, pair_keys
from src.utils.errors import ContextLengthError, ModelFormatError, ModelNotFoundError
from tests.conftest import make_model, tiny_config
from tests.test_equivalence import TOLERANCE, biggest, build, every_combination, tokens

EMOTION = (0.0, 0.7, 0.1, 0.0, 0.9, 0.0)
PERSONA = (1.0, -0.5, 0.2, 0.0, 0.3, -1.0, 0.0, 0.4)


def with_pairs(model: LunaModel) -> LunaModel:
    """O modelo com vetores para alguns pares que aparecem em ``tokens()``."""
    ids = tokens(1)[0]
    keys = pair_keys(ids[:-1], ids[1:]).unique()
    torch.manual_seed(3)
    vectors = torch.randn(len(keys), model.config.n_embd)
    model.config.pair_rows = len(keys)
    model.model.transformer.pairs = PairEmbedding.from_vectors(keys, vectors)
    return model


def reference_logits(model, ids, emotion=None, persona=None):
    """[L, V] do ``LunaModel``, numa passada só."""
    with torch.inference_mode():
        return model(
            torch.tensor([ids]),
            emotion=None if emotion is None else torch.tensor([emotion]),
            persona=None if persona is None else torch.tensor([persona]),
        ).logits[0]


def hf_greedy(model, ids, count):
    """A continuação gulosa pelo ``generate`` do transformers."""
    inputs = torch.tensor([ids])
    output = model.generate(
        inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=count, do_sample=False
    )
    return output[0, len(ids) :].tolist()


def ours(model, ids, state=None, **settings):
    engine = state.engine if isinstance(state, Kept) else InferenceEngine.from_model(model)
    memory = state.state if isinstance(state, Kept) else DecodingState(engine)
    return list(generate_tokens(engine, memory, ids, GenerationSettings(**settings)))


class Kept:
    """Um motor e a sua memória, de uma geração para outra."""

    def __init__(self, model):
        self.engine = InferenceEngine.from_model(model)
        self.state = DecodingState(self.engine)


# ---------------------------------------------------------------------- o motor


@every_combination
def test_engine_gives_the_logits_of_the_model_in_every_combination(switches):
    model = with_pairs(build(switches))
    ids = tokens(1, 30)[0].tolist()
    engine = InferenceEngine.from_model(model)
    state = DecodingState(engine, EMOTION, PERSONA)
    got = engine.read(state, ids, every_position=True)
    assert biggest(got, reference_logits(model, ids, EMOTION, PERSONA)) < TOLERANCE


@every_combination
def test_reading_in_pieces_and_after_going_back_is_reading_at_once(switches):
    model = with_pairs(build(switches))
    ids = tokens(1, 30)[0].tolist()
    whole = reference_logits(model, ids)
    engine = InferenceEngine.from_model(model)
    state = DecodingState(engine)
    engine.read(state, ids[:11])
    engine.read(state, [7, 8, 9, 10, 11, 12])
    state.truncate(5)
    rows = [engine.read(state, ids[5:6], every_position=True)]
    rows += [engine.read(state, ids[i:j], every_position=True) for i, j in [(6, 9), (9, 30)]]
    assert biggest(torch.cat(rows), whole[5:]) < TOLERANCE
    assert state.tokens == ids


def test_activation_and_attention_scale_of_a_gpt2_base_are_kept():
    for changes in (
        {"activation_function": "relu"},
        {"activation_function": "gelu"},
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False},
        {"tie_word_embeddings": False},
        {"n_inner": 48},
    ):
        model = make_model(tiny_config(**changes))
        ids = tokens(1, 12)[0].tolist()
        engine = InferenceEngine.from_model(model)
        got = engine.read(DecodingState(engine), ids, every_position=True)
        assert biggest(got, reference_logits(model, ids)) < TOLERANCE, changes


def test_engine_of_a_folder_is_the_engine_of_the_model(tmp_path):
    model = build({"use_state_space": True, "use_moe": True, "use_growing": True})
    model.save(tmp_path / "m")
    ids = tokens(1, 20)[0].tolist()
    logits = []
    for engine in (InferenceEngine.from_folder(tmp_path / "m"), InferenceEngine.from_model(model)):
        logits.append(engine.read(DecodingState(engine), ids, every_position=True))
    assert torch.equal(*logits)


def test_config_of_an_older_version_is_completed(tmp_path):
    model = build({"use_state_space": True, "use_moe": False, "use_growing": False})
    model.save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    values = json.loads(path.read_text())
    for name in ("pair_rows", "origin", "emotional_routing"):
        del values[name]
    path.write_text(json.dumps(values))
    engine = InferenceEngine.from_folder(tmp_path / "m")
    ids = tokens(1, 12)[0].tolist()
    got = engine.read(DecodingState(engine), ids, every_position=True)
    assert biggest(got, reference_logits(model, ids)) < TOLERANCE


@pytest.mark.parametrize(
    "field,value",
    [
        ("n_embd", "trinta"),
        ("n_embd", 36),
        ("n_layer", 9),
        ("model_type", "gpt2"),
        ("activation_function", "inventada"),
        ("vocab_size", 299),
        ("ssm_layers", None),
    ],
)
def test_config_that_does_not_fit_the_weights_is_explained(tmp_path, field, value):
    build({"use_state_space": True, "use_moe": False, "use_growing": False}).save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    values = json.loads(path.read_text()) | {field: value}
    path.write_text(json.dumps(values))
    if field == "ssm_layers":  # None quer dizer "os de índice par", que é o que estava lá
        InferenceEngine.from_folder(tmp_path / "m")
        return
    with pytest.raises(ModelFormatError, match="m'|config.json|Faltam pesos"):
        InferenceEngine.from_folder(tmp_path / "m")


def test_damaged_and_missing_weights_are_told(tmp_path):
    with pytest.raises(ModelNotFoundError):
        InferenceEngine.from_folder(tmp_path / "nada")
    build({"use_state_space": True, "use_moe": True, "use_growing": False}).save(tmp_path / "m")
    (tmp_path / "m" / "components" / "moe.safetensors").unlink()
    with pytest.raises(ModelFormatError, match="moe.safetensors"):
        InferenceEngine.from_folder(tmp_path / "m")


def test_reading_past_the_context_or_nothing_is_refused():
    engine = InferenceEngine.from_model(make_model(tiny_config()))
    state = DecodingState(engine)
    with pytest.raises(ValueError, match="vazio"):
        engine.read(state, [])
    with pytest.raises(ContextLengthError, match="contexto do modelo"):
        engine.read(state, [5] * (engine.config.n_positions + 1))
    assert len(state) == 0


def test_memory_has_the_size_of_the_context_from_the_first_token_on():
    model = build({"use_state_space": True, "use_moe": True, "use_growing": False})
    engine = InferenceEngine.from_model(model)
    state = DecodingState(engine)
    engine.read(state, [5])
    before = state.nbytes
    engine.read(state, [6] * (engine.config.n_positions - 1))
    assert state.nbytes == before


def test_engine_config_says_which_vectors_matter():
    values = tiny_config(use_moe=True, emotional_routing=True).to_dict()
    assert EngineConfig.from_values(values).with_emotion
    assert not EngineConfig.from_values(values | {"emotional_routing": False}).with_emotion
    assert not EngineConfig.from_values(values).with_persona
    assert EngineConfig.from_values(tiny_config(use_hypernet=True).to_dict()).with_persona


# ---------------------------------------------------------------------- a geração


@every_combination
def test_greedy_answer_is_the_one_of_the_transformers_library(switches):
    model = with_pairs(build(switches))
    ids = tokens(1, 12)[0].tolist()
    expected = hf_greedy(model, ids, 20)
    options = {"max_new_tokens": 20, "stop_ids": frozenset({model.generation_config.eos_token_id})}
    assert ours(model, ids, **options) == expected
    assert ours(model, ids, **options, lookup_tokens=5) == expected


@pytest.mark.parametrize("lookup", [1, 3, 8])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_tokens_read_ahead_never_change_the_text(lookup, temperature):
    model = build({"use_state_space": True, "use_moe": True, "use_growing": False})
    ids = tokens(1, 8)[0].tolist() * 3  # com repetições, para que haja palpites
    options = {"max_new_tokens": 30, "temperature": temperature, "top_k": 4, "seed": 5}
    assert ours(model, ids, **options, lookup_tokens=lookup) == ours(model, ids, **options)


def test_lookup_reads_several_tokens_at_once_when_the_guess_is_right(monkeypatch):
    model = make_model(tiny_config())
    engine = InferenceEngine.from_model(model)
    cycle = [10, 11, 12, 13, 14]  # um modelo que repete para sempre o ciclo do prompt
    real, sizes = engine.read, []

    @torch.inference_mode()
    def read(state, read_tokens, every_position=False):
        sizes.append(len(read_tokens))
        logits = real(state, read_tokens, every_position).clone()
        rows = logits if every_position else logits.unsqueeze(0)
        for row, token in zip(rows, state.tokens[-len(rows) :]):
            row[cycle[(cycle.index(token) + 1) % 5]] = 1e4
        return logits

    monkeypatch.setattr(engine, "read", read)
    settings = GenerationSettings(max_new_tokens=20, lookup_tokens=4)
    out = list(generate_tokens(engine, DecodingState(engine), cycle * 2, settings))
    assert out == cycle * 4
    assert len(sizes) == 5 and sizes[0] == 10  # o prompt e quatro leituras, em vez de vinte


def test_kept_memory_gives_the_answer_of_a_new_one():
    model = with_pairs(build({"use_state_space": True, "use_moe": True, "use_growing": False}))
    kept, first = Kept(model), tokens(1, 20)[0].tolist()
    answer = ours(model, first, kept, max_new_tokens=10)
    second = first + answer[:7] + [9, 8, 7]
    assert kept.state.common_prefix(second) == 27
    assert ours(model, second, kept, max_new_tokens=10) == ours(model, second, max_new_tokens=10)
    assert ours(model, second[:9], kept, max_new_tokens=5) == ours(
        model, second[:9], max_new_tokens=5
    )


def test_memory_holds_what_was_read_when_the_reader_goes_away_in_the_middle():
    model = build({"use_state_space": True, "use_moe": True, "use_growing": False})
    kept, ids = Kept(model), tokens(1, 8)[0].tolist() * 3
    settings = GenerationSettings(max_new_tokens=30, lookup_tokens=4)
    stream = generate_tokens(kept.engine, kept.state, ids, settings)
    for _ in range(7):
        next(stream)
    stream.close()
    assert ours(model, ids, kept, max_new_tokens=12) == ours(model, ids, max_new_tokens=12)


def test_answer_ends_at_a_stop_token_at_the_limit_and_when_asked():
    model = make_model(tiny_config())
    ids = tokens(1, 10)[0].tolist()
    free = ours(model, ids, max_new_tokens=12)
    stop = free[4]
    assert ours(model, ids, max_new_tokens=12, stop_ids=frozenset({stop}))[-1] == stop
    assert len(free) == 12
    longer = ours(model, ids, max_new_tokens=12, min_new_tokens=9, stop_ids=frozenset({stop}))
    assert stop not in longer[:9]
    assert free[2] not in ours(model, ids, max_new_tokens=12, banned_ids=frozenset({free[2]}))
    room = model.config.n_positions - len(ids)
    assert len(ours(model, ids, max_new_tokens=10_000)) == room
    kept, asked = Kept(model), iter([False, False, False, True])
    stream = generate_tokens(
        kept.engine, kept.state, ids, GenerationSettings(max_new_tokens=12), lambda: next(asked)
    )
    assert list(stream) == free[:3]
    assert not list(
        generate_tokens(kept.engine, kept.state, [3, 4], GenerationSettings(), lambda: True)
    )


# ---------------------------------------------------------------------- o sorteio


def hf_scores(settings, ids, logits):
    """Os logits depois dos filtros do transformers, na ordem em que ``generate`` os aplica."""
    processors = LogitsProcessorList()
    if settings.repetition_penalty != 1.0:
        processors.append(hf.RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    if settings.no_repeat_ngram_size:
        processors.append(hf.NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size))
    if settings.banned_ids:
        processors.append(hf.SuppressTokensLogitsProcessor(sorted(settings.banned_ids)))
    if settings.temperature:
        processors.append(hf.TemperatureLogitsWarper(settings.temperature))
    if settings.top_k:
        processors.append(hf.TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        processors.append(hf.TopPLogitsWarper(settings.top_p))
    if settings.min_p:
        processors.append(hf.MinPLogitsWarper(settings.min_p))
    return processors(torch.tensor([ids]), logits.clone().unsqueeze(0))[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 1.5, "top_k": 7},
        {"temperature": 0.9, "top_p": 0.6},
        {"temperature": 1.0, "min_p": 0.2},
        {"temperature": 0.8, "top_k": 20, "top_p": 0.8, "min_p": 0.05},
        {"temperature": 1.0, "top_p": 0.0001},
        {"temperature": 1.0, "top_k": 10_000},
        {"repetition_penalty": 1.4, "temperature": 1.0},
        {"no_repeat_ngram_size": 1, "temperature": 1.0},
        {"no_repeat_ngram_size": 3, "temperature": 1.0, "banned_ids": frozenset({2, 9})},
        {"repetition_penalty": 0.8, "no_repeat_ngram_size": 2, "temperature": 0.7, "top_k": 15},
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_filters_are_those_of_the_transformers_library(options, seed):
    torch.manual_seed(seed)
    logits = torch.randn(60) * 3
    ids = torch.randint(0, 8, (40,)).tolist()  # poucos valores: n-gramas se repetem
    settings = GenerationSettings(**({"temperature": 1.0} | options), penalize_prompt=True)
    sampler = Sampler(settings, ids)
    kept, indices = sampler.candidates(sampler.penalized(logits))
    found = torch.full_like(logits, float("-inf"))
    found[indices] = kept
    expected = hf_scores(settings, ids, logits)
    assert torch.equal(found.isfinite(), expected.isfinite())
    seen = found.isfinite()
    assert torch.allclose(found[seen], expected[seen], atol=1e-5)


def test_sampled_frequencies_follow_the_probabilities():
    logits = torch.tensor([2.0, 1.0, 0.0, -9.0])
    sampler = Sampler(GenerationSettings(temperature=1.0, seed=0), [])
    draws = torch.tensor([sampler.choose(logits) for _ in range(4000)])
    shares = torch.bincount(draws, minlength=4) / len(draws)
    assert biggest(shares, logits.softmax(-1)) < 0.03  # 4 desvios padrão de 4000 sorteios


def test_penalties_look_only_at_the_answer_unless_asked():
    settings = GenerationSettings(no_repeat_ngram_size=1, repetition_penalty=2.0)
    sampler, logits = Sampler(settings, [1, 2, 3]), torch.tensor([1.0, 4.0, 3.0, 2.0])
    assert sampler.choose(logits) == 1  # está no prompt, e pode
    sampler.accept(1)
    assert sampler.choose(logits) == 2  # já saiu: agora não pode


def test_guess_is_what_followed_the_longest_known_ending():
    index = NGramIndex()
    index.extend([1, 2, 3, 4, 5, 9, 2, 3, 7, 8, 1, 2, 3])
    assert index.guess(3) == [4, 5, 9]  # depois de (1, 2, 3), e não de (2, 3)
    assert index.guess(0) == []
    index.extend([50, 2, 3])
    assert index.guess(2) == [50, 2]  # (50, 2, 3) é novo; o (2, 3) anterior deu em 50
    assert NGramIndex().guess(4) == []


def test_long_prompt_is_read_in_pieces_with_the_same_result(monkeypatch):
    model = make_model(tiny_config(n_positions=700, use_state_space=True))
    ids = tokens(1, 600)[0].tolist()
    engine = InferenceEngine.from_model(model)
    real, sizes = engine.read, []

    def read(state, read_tokens, every_position=False):
        sizes.append(len(read_tokens))
        return real(state, read_tokens, every_position)

    monkeypatch.setattr(engine, "read", read)
    state = DecodingState(engine)
    (token,) = generate_tokens(engine, state, ids, GenerationSettings(max_new_tokens=1))
    assert sizes == [256, 256, 88] and state.tokens == ids
    assert token == int(reference_logits(model, ids)[-1].argmax())


@pytest.mark.parametrize("lookup", [0, 3, 8])
def test_tokens_read_ahead_never_pass_the_end_of_the_context(lookup):
    model = make_model(tiny_config())
    ids = [10, 11, 12] * ((model.config.n_positions - 5) // 3)
    room = model.config.n_positions - len(ids)
    found = ours(model, ids, max_new_tokens=1000, lookup_tokens=lookup)
    assert len(found) == room and found == ours(model, ids, max_new_tokens=room)
