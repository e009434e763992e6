"""Emoção e persona no treino: os vetores certos, por documento, e o que o modelo aprende com eles.

Tolerância: 2e-5 em float32, como em ``tests/test_equivalence.py``.
"""

import json

import pytest
import torch

from src.config.emotions import EMOTION_DIM
from src.config.personas import PERSONA_DIM, PERSONAS, load_personas
from src.models.chat_format import with_persona
from src.models.emotion import read_emotion
from src.models.hypernet import CausalContext
from src.models.moe import MoEBlock
from src.training.conditions import (
    NO_EMOTION,
    NO_PERSONA,
    conditions_of,
    emotion_runs,
    emotion_vector,
    persona_vector,
)
from src.training.examples import Example, build_examples, chat_windows
from src.training.optim import build_optimizer
from src.training.packing import PackedDataset
from tests.conftest import DIALOGUES, SENTENCES, make_model, tiny_config
from tests.reference import context_loop

TOLERANCE = 2e-5
HAPPY, ANGRY, PLAIN = "Estou muito feliz!", "Que raiva, estou furiosa!", "Que horas parte o trem?"


def talk(*questions):
    """Uma conversa com uma resposta para cada fala."""
    messages = []
    for number, question in enumerate(questions):
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": f"Resposta {number}."})
    return messages


def conditioned(**changes):
    """Um modelo que usa os dois vetores; ``ssm``, como na ModelConfig."""
    switches = {"use_moe": True, "emotional_routing": True, "use_hypernet": True}
    return make_model(tiny_config(**(switches | changes)), noise=0.3)


def vectors(rows=1, seed=3):
    """Emoções [rows, 6] e personas [rows, 8] fortes, para que se vejam."""
    generator = torch.Generator().manual_seed(seed)
    emotion = torch.rand(rows, EMOTION_DIM, generator=generator) * 4
    return emotion, torch.randn(rows, PERSONA_DIM, generator=generator) * 4


def tokens(rows=1, length=20):
    return torch.randint(3, 300, (rows, length), generator=torch.Generator().manual_seed(1))


def biggest(a, b):
    return float((a - b).detach().abs().max())


# ---------------------------------------------------------------------- os vetores de cada exemplo


def test_the_emotion_is_that_of_the_users_turn_before_the_answer():
    (run,) = emotion_runs([talk(HAPPY)])
    assert run.emotion == tuple(read_emotion(HAPPY).vector) != NO_EMOTION
    answered = [*talk(PLAIN), {"role": "assistant", "content": HAPPY}]
    assert emotion_vector(answered) == NO_EMOTION  # a fala de Luna não conta
    twice = [{"role": "user", "content": text} for text in (HAPPY, PLAIN)]
    assert emotion_vector(twice) == NO_EMOTION  # vale a última
    assert emotion_vector([{"role": "assistant", "content": HAPPY}]) == NO_EMOTION


def test_answers_under_one_emotion_stay_together(tokenizer):
    (example,) = chat_windows(talk(PLAIN, "E o ônibus?"), tokenizer, 200, with_emotion=True)
    (plain,) = chat_windows(talk(PLAIN, "E o ônibus?"), tokenizer, 200)
    assert example == plain and example.emotion == NO_EMOTION


def test_where_the_emotion_changes_each_answer_is_learned_under_its_own(tokenizer):
    questions = (PLAIN, HAPPY, HAPPY, ANGRY)
    examples = chat_windows(talk(*questions), tokenizer, 400, with_emotion=True)
    read = [tuple(read_emotion(text).vector) for text in (PLAIN, HAPPY, ANGRY)]
    assert [e.emotion for e in examples] == read
    whole = tokenizer.encode_chat(talk(*questions))
    for example, last in zip(examples, (1, 3, 4)):
        assert example.ids == tokenizer.encode_chat(talk(*questions)[: 2 * last])
        assert example.ids == whole[: len(example.ids)]  # a conversa até ali, como na geração
    places = [p for e in examples for p, learn in enumerate(e.learn) if learn]
    (together,) = chat_windows(talk(*questions), tokenizer, 400)
    assert places == [p for p, learn in enumerate(together.learn) if learn]


def test_splitting_by_emotion_learns_every_answer_once_even_across_windows(tokenizer):
    questions = [PLAIN, HAPPY, ANGRY, PLAIN, ANGRY, HAPPY, HAPPY] * 2
    split = chat_windows(talk(*questions), tokenizer, 120, with_emotion=True)
    whole = chat_windows(talk(*questions), tokenizer, 120)
    assert len(split) > len(whole) > 1 and all(len(e.ids) <= 120 for e in split)

    def told(examples):
        return [t for e in examples for t, learn in zip(e.ids, e.learn) if learn]

    assert told(split) == told(whole)


def test_the_persona_is_the_declared_one_else_the_one_the_model_reads(tmp_path):
    path = tmp_path / "personas.json"
    mine = {"poeta": {"system_prompt": "Fale em versos.", "traits": {"humor": 1}}}
    mine["casual"] = {"traits": {"formality": 1.0}}  # muda a pronta, com o mesmo texto
    path.write_text(json.dumps(mine), "utf-8")
    personas = load_personas(path)
    own = [{"role": "system", "content": "Só meu."}, *talk(PLAIN)]
    for name in ("poeta", "casual", "formal"):
        dressed = with_persona(talk(PLAIN), name, personas)
        assert persona_vector(dressed, name, personas) == personas[name].vector
        assert persona_vector(own, name, personas) == personas[name].vector
    assert persona_vector(own, None, personas) == persona_vector(own, "x", personas) == NO_PERSONA
    drawn = [with_persona(talk(f"Pergunta {n}?"), None, personas) for n in range(40)]
    found = {persona_vector(messages, None, personas) for messages in drawn}
    assert found == {NO_PERSONA, *(p.vector for p in PERSONAS.values())}


def test_texts_and_dialogues_carry_their_vectors_into_the_examples(tokenizer):
    data = [SENTENCES[0], f"Usuário: {HAPPY}\nLuna: Que bom!", DIALOGUES[2]]
    happy, train, text = build_examples(data, tokenizer, 200, with_emotion=True)
    assert happy.emotion == tuple(read_emotion(HAPPY).vector)
    assert train.emotion == text.emotion == NO_EMOTION and text.persona == NO_PERSONA
    assert {e.emotion for e in build_examples(data, tokenizer, 200)} == {NO_EMOTION}
    assert {happy.persona, train.persona} <= {NO_PERSONA, *(p.vector for p in PERSONAS.values())}


@pytest.mark.parametrize(
    "switches,emotion,persona",
    [
        ({}, False, False),
        ({"emotional_routing": True}, False, False),  # sem MoE não há roteador
        ({"use_moe": True}, False, False),
        ({"use_moe": True, "emotional_routing": True}, True, False),
        ({"use_hypernet": True}, False, True),
        ({"use_hypernet": True, "hyper_layers": []}, False, False),
    ],
)
def test_only_the_models_that_use_a_vector_get_it(switches, emotion, persona):
    assert conditions_of(tiny_config(**switches)) == (emotion, persona)


# ---------------------------------------------------------------------- linhas empacotadas


def test_packed_rows_repeat_the_vectors_of_each_document_and_zero_the_filling():
    joy, formal = (0.5, *[0.0] * 5), PERSONAS["formal"].vector
    examples = [
        Example([5, 6, 7], [False, True, True], emotion=joy),
        Example([8, 9], [False, True], persona=formal),
    ]
    row = PackedDataset(examples, 7, fill_id=1, with_emotion=True, with_persona=True)[0]
    assert row["input_ids"].tolist() == [5, 6, 7, 8, 9, 1, 1]
    assert row["emotion"].tolist() == [list(joy)] * 3 + [[0.0] * 6] * 4
    expected = torch.tensor([NO_PERSONA] * 3 + [formal] * 2 + [NO_PERSONA] * 2)
    assert torch.equal(row["persona"], expected)


def test_rows_carry_no_vector_unless_asked():
    examples = [Example([5, 6], [False, True], emotion=(1.0,) * 6)]
    plain = {"input_ids", "labels", "position_ids"}
    assert set(PackedDataset(examples, 4, 1)[0]) == plain
    assert set(PackedDataset(examples, 4, 1, with_emotion=True)[0]) == plain | {"emotion"}
    assert set(PackedDataset(examples, 4, 1, with_persona=True)[0]) == plain | {"persona"}


@pytest.mark.parametrize("ssm", [None, "replace", "parallel"])
def test_packed_with_vectors_per_token_equals_each_document_with_its_own(ssm):
    model = conditioned(use_state_space=ssm is not None, ssm_mode=ssm or "replace")
    emotions, personas = vectors(3)
    ids, lengths = tokens(1, 20), (5, 9, 6)
    positions = torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0)
    repeats = torch.tensor(lengths)
    per_token = {
        "emotion": emotions.repeat_interleave(repeats, dim=0).unsqueeze(0),
        "persona": personas.repeat_interleave(repeats, dim=0).unsqueeze(0),
    }
    with torch.no_grad():
        packed = model(ids, position_ids=positions, **per_token).logits
        start = 0
        for i, length in enumerate(lengths):
            piece = ids[:, start : start + length]
            own = {"emotion": emotions[i : i + 1], "persona": personas[i : i + 1]}
            alone = model(piece, **own).logits
            assert biggest(packed[:, start : start + length], alone) < TOLERANCE
            assert biggest(alone, model(piece).logits) > 100 * TOLERANCE  # e os vetores pesam
            start += length


def test_one_vector_for_the_row_equals_the_same_vector_at_every_token():
    model, ids = conditioned(), tokens(2, 9)
    emotion, persona = vectors(2)
    with torch.no_grad():
        rows = model(ids, emotion=emotion, persona=persona).logits
        spread = [v.unsqueeze(1).expand(-1, 9, -1) for v in (emotion, persona)]
        assert biggest(model(ids, emotion=spread[0], persona=spread[1]).logits, rows) < TOLERANCE


def test_a_later_vector_changes_no_earlier_logit():
    model, ids = conditioned(use_state_space=True), tokens(1, 12)
    emotion, persona = [v.unsqueeze(1).repeat(1, 12, 1) for v in vectors()]
    other_emotion, other_persona = emotion.clone(), persona.clone()
    other_emotion[:, 7:] += 3.0
    other_persona[:, 7:] -= 3.0
    with torch.no_grad():
        before = model(ids, emotion=emotion, persona=persona).logits
        after = model(ids, emotion=other_emotion, persona=other_persona).logits
    difference = (before - after).abs().amax(dim=(0, 2))
    assert float(difference[:7].max()) < 2e-6 < 1e-4 < float(difference[7:].max())


@pytest.mark.parametrize("ssm", [False, True])
def test_cached_decoding_with_vectors_equals_the_full_run(ssm):
    model, ids = conditioned(use_state_space=ssm), tokens(2, 16)
    given = dict(zip(("emotion", "persona"), vectors(2)))
    cache, pieces = None, []
    with torch.no_grad():
        full = model(ids, **given).logits
        for start, end in ((0, 7), (7, 8), (8, 9), (9, 16)):
            piece = ids[:, start:end]
            output = model(piece, past_key_values=cache, use_cache=True, **given)
            cache = output.past_key_values
            pieces.append(output.logits)
    assert biggest(torch.cat(pieces, dim=1), full) < TOLERANCE


@pytest.mark.parametrize("extra", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}])
def test_generation_with_vectors_is_the_same_with_and_without_cache(extra):
    model = conditioned(use_state_space=True)
    ids = torch.cat([tokens(1, 4)] * 3, dim=1)
    given = dict(zip(("emotion", "persona"), vectors(1)))
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    plain = {k: v for k, v in extra.items() if k != "prompt_lookup_num_tokens"}
    cached = model.generate(ids, **options, **extra, **given)
    assert torch.equal(cached, model.generate(ids, use_cache=False, **options, **plain, **given))


@pytest.mark.parametrize("shape", [(3, 6), (2, 8, 6), (1, 9, 6), (2, 1, 9, 6)])
def test_emotions_of_another_shape_are_refused_with_both_shapes(shape):
    block = MoEBlock(4, 3, 1, emotional_routing=True)
    with pytest.raises(ValueError, match=r"emotion.*\[2, 9, 4\]"):
        block(torch.randn(2, 9, 4), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 8), (2, 7, 8), (8,)])
def test_personas_of_another_shape_are_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=r"persona.*\[2, 9, 4\]"):
        CausalContext(4, 3)(torch.randn(2, 9, 4), persona=torch.zeros(shape))


def test_context_with_a_persona_per_token_equals_the_token_loop():
    torch.manual_seed(0)
    module, x, persona = CausalContext(6, 4), torch.randn(2, 9, 6), torch.randn(2, 9, 8)
    keep = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 0, 1], [1] * 9])
    context, _ = module(x, keep=keep, persona=persona)
    expected = context_loop(module, x, keep) + module.persona(persona)
    assert biggest(context, expected) < TOLERANCE


# ---------------------------------------------------------------------- o que se aprende


def test_training_moves_the_emotion_bias_and_the_persona_and_emotions_route_apart(tokenizer):
    """A resposta depende só da emoção: quem roteia por ela aprende; as duas emoções se separam."""
    torch.manual_seed(0)
    switches = {"use_moe": True, "emotional_routing": True, "use_hypernet": True}
    config = tiny_config(tokenizer, **switches, balance_weight=0.0)
    model = make_model(config, noise=0.0)
    happy, sad = (2.0, *[0.0] * 5), (0.0, 2.0, *[0.0] * 4)
    personas = [PERSONAS[name].vector for name in ("formal", "casual")]
    examples = []
    for number, (emotion, persona) in enumerate(zip((happy, sad), personas)):
        body = [50 + number] * 6
        learn = [False] * 4 + [True] * 6
        examples.append(Example([10, 11, 12, 13, *body], learn, False, emotion, persona))
    dataset = PackedDataset(examples * 4, 20, tokenizer.eos_id, *conditions_of(config))
    batch = torch.utils.data.default_collate([dataset[i] for i in range(len(dataset))])
    block, context = model.moe_blocks[0], model.blocks[1].context
    bias_before = block.emotion_bias.weight.detach().clone()
    persona_before = context.persona.weight.detach().clone()

    x = torch.randn(200, config.n_embd)

    def distance():
        """A diferença das probabilidades do roteador entre as duas emoções, em média."""
        with torch.no_grad():
            logits = [block.router(x) + block.emotion_bias(torch.tensor(e)) for e in (happy, sad)]
            return float((logits[0].softmax(-1) - logits[1].softmax(-1)).abs().sum(-1).mean())

    apart_before = distance()
    optimizer = build_optimizer(model.train(), 1e-2, 0.0)
    losses = []
    for _ in range(30):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert biggest(block.emotion_bias.weight, bias_before) > 1e-2
    assert biggest(context.persona.weight, persona_before) > 1e-2
    assert distance() > 2 * apart_before
    with torch.no_grad():  # o primeiro token da resposta só se sabe pelos vetores
        prompt = torch.tensor([[10, 11, 12, 13]])
        for number, (emotion, persona) in enumerate(zip((happy, sad), personas)):
            given = {"emotion": torch.tensor([emotion]), "persona": torch.tensor([persona])}
            logits = model.eval()(prompt, **given).logits[0, -1]
            assert int(logits[50:52].argmax()) == number
