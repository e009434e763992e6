"""Bits por byte: janelas, documentos e lotes, diante de contas diretas com o transformers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

import src.models.luna_model  # noqa: F401  (registra a classe nas Auto*)
from benchmarks.tokenizer import GPT2_PATTERN
from src.evaluation.likelihood import Encoded, UnitScores, score, sliding_windows
from src.evaluation.subject import (
    UNIT_CHARS,
    LunaSubject,
    PlainSubject,
    blocks,
    load_subject,
    unit_starts,
)
from src.models.tokenizer import LunaTokenizer
from src.models.tokenizer_training import train_bpe, train_words
from src.utils.errors import ModelFormatError, ModelNotFoundError
from tests import evaluation_support
from tests.conftest import SENTENCES, make_model, tiny_config
from tests.evaluation_support import save_gpt2, save_luna
from tests.reference import nats_one_by_one

gpt2_folder, luna_folder = evaluation_support.gpt2_folder, evaluation_support.luna_folder

GPT2_ENCODER = train_words(["a água o mar, ção 1.600 x"] * 9, 300, 2, GPT2_PATTERN)
LUNA_ENCODER = train_bpe(["a água o mar, ção 1.600 x"] * 9, 300, 2, 0.2)
TEXT = " ".join(SENTENCES * 3)  # bem maior que o contexto de 64 tokens
CHAT = [
    {"role": "system", "content": "Seja breve."},
    {"role": "user", "content": "Oi, tudo bem?"},
    {"role": "assistant", "content": "Tudo ótimo, e você?"},
    {"role": "user", "content": "O que é água?"},
    {"role": "assistant", "content": "É um líquido que corre no rio."},
]


def totals(subject, documents, window=64, stride=32, **options):
    nats = score(subject.model, documents, window, stride, subject.vocab_size, **options)
    return UnitScores.collect(documents, nats).total()


def direct_nats(model, ids, window, stride):
    """A soma de -ln p pela perda do transformers, no laço de janelas da documentação dele."""
    total, previous = 0.0, 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        inputs = torch.tensor([ids[begin:end]])
        labels = inputs.clone()
        labels[:, : previous - begin] = -100
        count = int((labels[:, 1:] != -100).sum())
        with torch.no_grad():
            total += float(model(inputs, labels=labels).loss) * count
        previous = end
        if end == len(ids):
            return total
    raise AssertionError


# ---------------------------------------------------------------------- janelas


@given(st.integers(1, 300), st.integers(2, 80), st.integers(1, 79))
def test_windows_count_each_token_once_and_with_enough_context(length, window, stride):
    stride = min(stride, window - 1)
    counted = []
    for item in sliding_windows(length, window, stride):
        assert item.start < item.first < item.end <= item.start + window
        for token in range(item.first, item.end):
            counted.append(token)
            assert token - item.start >= min(token, window - stride)
    assert counted == list(range(1, length))


@pytest.mark.parametrize("stride", [0, 10, 11])
def test_stride_that_leaves_a_token_without_context_is_refused(stride):
    with pytest.raises(ValueError, match="stride"):
        list(sliding_windows(30, 10, stride))


def test_window_as_long_as_the_text_is_a_single_one():
    assert [(w.start, w.end) for w in sliding_windows(10, 10, 5)] == [(0, 10)]


# ---------------------------------------------------------------------- diante do transformers


@pytest.mark.parametrize(("window", "stride"), [(64, 32), (64, 63), (20, 7)])
def test_plain_gpt2_folder_equals_a_direct_computation(gpt2_folder, window, stride):
    subject = load_subject(gpt2_folder)
    assert isinstance(subject, PlainSubject)
    result = totals(subject, [subject.text(TEXT)], window, stride)

    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    model = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    ids = [tokenizer.eos_token_id, *tokenizer(TEXT, add_special_tokens=False).input_ids]
    nats = direct_nats(model, ids, window, stride)
    assert (result.tokens, result.bytes) == (len(ids) - 1, len(TEXT.encode("utf-8")))
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / result.bytes, rel=1e-5)
    assert result.perplexity == pytest.approx(math.exp(nats / (len(ids) - 1)), rel=1e-4)


@pytest.mark.parametrize(
    "switches",
    [
        {"use_state_space": True, "use_moe": True},
        {"use_state_space": True, "ssm_mode": "parallel", "use_hypernet": True},
        {"use_moe": True, "use_hypernet": True, "use_growing": True},
    ],
    ids=["ssm+moe", "ssm-ao-lado+hyper", "moe+hyper+grow"],
)
def test_luna_folder_equals_a_direct_computation(tmp_path, tokenizer, switches):
    folder = save_luna(tmp_path / "m", tokenizer, **switches)
    subject = load_subject(folder)
    assert isinstance(subject, LunaSubject)
    result = totals(subject, [subject.text(TEXT)])

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    loaded = LunaTokenizer().load(folder / "tokenizer")
    ids = [loaded.eos_id, *loaded.encode(TEXT)]
    nats = direct_nats(model, ids, 64, 32)
    assert (result.tokens, result.bytes) == (len(ids) - 1, len(TEXT.encode("utf-8")))
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / result.bytes, rel=1e-5)


def test_short_text_equals_one_pass_of_the_model(luna_folder):
    subject = load_subject(luna_folder)
    encoded = subject.text(SENTENCES[0])
    ids = torch.tensor(encoded.ids).long()[None]
    with torch.no_grad():
        loss = float(subject.model(ids, labels=ids).loss)
    assert totals(subject, [encoded]).loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(24, 12), (24, 23), (9, 1)])
def test_windows_equal_one_pass_per_token(tokenizer, window, stride):
    model = make_model(tiny_config(tokenizer, use_state_space=True, use_moe=True)).eval()
    ids = [tokenizer.eos_id, *tokenizer.encode(" ".join(SENTENCES[:2]))]
    scored = np.arange(len(ids)) > 0
    encoded = Encoded(np.array(ids), scored, np.zeros(len(ids), int), np.array([1]))
    (found,) = score(model, [encoded], window, stride, tokenizer.get_vocab_size())
    slow = nats_one_by_one(model, ids, window, stride)
    assert found[0] == 0 and np.abs(found[1:] - slow).max() < 1e-4


# ---------------------------------------------------------------------- lotes e documentos


@pytest.mark.parametrize("kind", ["gpt2", "luna"])
def test_result_does_not_depend_on_the_batch(kind, tmp_path, tokenizer):
    folder = (save_gpt2 if kind == "gpt2" else save_luna)(tmp_path / "m", tokenizer)
    subject = load_subject(folder)
    documents = [subject.text(text) for text in [TEXT, *SENTENCES, "a"]]
    results = [totals(subject, documents, batch_rows=rows) for rows in (1, 2, 5, 16, None)]
    for result in results:
        assert (result.tokens, result.bytes) == (results[0].tokens, results[0].bytes)
        assert result.bits_per_byte == pytest.approx(results[0].bits_per_byte, rel=1e-6)


def test_documents_do_not_see_each_other(luna_folder):
    subject = load_subject(luna_folder)
    first, second = subject.text(TEXT), subject.text(SENTENCES[3])
    together = score(subject.model, [first, second], 64, 32, subject.vocab_size)
    for document, found in ((first, together[0]), (second, together[1])):
        (alone,) = score(subject.model, [document], 64, 32, subject.vocab_size)
        assert np.abs(alone - found).max() < 1e-5
    joined = totals(subject, [subject.text(TEXT + "\n" + SENTENCES[3])])
    apart = totals(subject, [first, second])
    assert apart.bytes == joined.bytes - 1
    assert apart.bits_per_byte != pytest.approx(joined.bits_per_byte, rel=1e-4)


def test_more_context_per_token_changes_the_figure_and_less_memory_does_not(luna_folder):
    subject = load_subject(luna_folder)
    documents = [subject.text(TEXT)]
    wide, narrow = (totals(subject, documents, window=w, stride=w // 2) for w in (64, 8))
    assert wide.tokens == narrow.tokens
    assert wide.bits_per_byte != pytest.approx(narrow.bits_per_byte, rel=1e-3)


def test_models_of_other_vocabularies_are_measured_on_the_same_bytes(tmp_path, tokenizer):
    from src.config.config import Config

    other = LunaTokenizer(Config(tokenizer={"vocab_size": 300})).train(SENTENCES * 3)
    subjects = [
        load_subject(save_luna(tmp_path / "a", tokenizer)),
        load_subject(save_gpt2(tmp_path / "b", other)),
    ]
    documents = [TEXT, "Um emoji 🌙 e um acento: ção.\n\nOutra linha."]
    messages = [{"role": "user", "content": "Oi"}, {"role": "assistant", "content": "Olá! ção"}]
    results, units = [], []
    for subject in subjects:
        encoded = [*map(subject.text, documents), subject.conversation(messages)]
        results.append(totals(subject, encoded))
        units.append([int(count) for item in encoded for count in item.unit_bytes])
    assert results[0].bytes == results[1].bytes
    assert results[0].tokens != results[1].tokens
    assert units[0] == units[1]


def test_progress_adds_up_to_the_tokens(luna_folder):
    subject, seen = load_subject(luna_folder), []
    encoded = subject.text(TEXT)
    score(subject.model, [encoded], 64, 32, subject.vocab_size, on_progress=seen.append)
    assert sum(seen) == encoded.tokens == len(encoded.ids) - 1


# ---------------------------------------------------------------------- trechos


def test_long_texts_are_cut_in_units_that_add_up(luna_folder):
    subject = load_subject(luna_folder)
    text = "\n".join(SENTENCES * 40)
    encoded = subject.text(text)
    assert len(encoded.unit_bytes) > 3 and max(encoded.unit) == len(encoded.unit_bytes) - 1
    assert sum(encoded.unit_bytes) == len(text.encode("utf-8"))
    assert list(encoded.unit) == sorted(encoded.unit)
    nats = np.arange(len(encoded.ids), dtype=float)
    scores = UnitScores.collect([encoded], [nats])
    assert scores.nats.sum() == pytest.approx(nats.sum())
    assert scores.tokens.sum() == encoded.tokens


@given(st.text(min_size=1, max_size=300), st.integers(2, 50))
def test_unit_starts_cover_the_text_in_pieces_no_longer_than_asked(text, size):
    starts = unit_starts(text, size)
    ends = [*starts[1:], len(text)]
    assert starts[0] == 0 and all(0 < b - a <= size for a, b in zip(starts, ends))


def test_a_short_text_is_a_single_unit(luna_folder):
    assert load_subject(luna_folder).text("a" * UNIT_CHARS).unit_bytes.tolist() == [UNIT_CHARS]


@given(st.lists(st.sampled_from(["a água", " o mar,", "\n", "\n\n", "  ", "1.600", "ção\t", "x"])))
def test_a_text_encoded_in_blocks_has_the_tokens_of_the_whole(pieces):
    text = "".join(pieces)
    for encoder in (GPT2_ENCODER, LUNA_ENCODER):
        whole = encoder.encode(text, add_special_tokens=False)
        ids, starts = [], []
        for begin, block in blocks(text, size=3):
            found = encoder.encode(block, add_special_tokens=False)
            ids += found.ids
            starts += [begin + start for start, _ in found.offsets]
        assert ids == whole.ids
        assert starts == [start for start, _ in whole.offsets]


def test_blocks_are_cut_only_at_lone_line_breaks():
    text = "abc\ndef\n\nghi\n jkl\nmno"
    assert list(blocks(text, 2)) == [(0, "abc\n"), (4, "def\n\nghi\n jkl\n"), (18, "mno")]
    assert list(blocks("sem quebra nenhuma", 3)) == [(0, "sem quebra nenhuma")]


# ---------------------------------------------------------------------- conversas


def test_conversation_of_a_luna_counts_the_answers_and_nothing_else(luna_folder):
    subject = load_subject(luna_folder)
    encoded = subject.conversation(CHAT)
    scored = [token for token, kept in zip(encoded.ids, encoded.scored) if kept]
    answers = [m["content"] for m in CHAT if m["role"] == "assistant"]
    assert subject.tokenizer.decode(scored, skip_special_tokens=False) == "".join(answers)
    assert list(encoded.unit_bytes) == [sum(len(a.encode("utf-8")) for a in answers)]


def test_conversation_of_a_plain_model_counts_the_answers_and_their_space(gpt2_folder):
    subject = load_subject(gpt2_folder)
    encoded = subject.conversation(CHAT)
    scored = [token for token, kept in zip(encoded.ids, encoded.scored) if kept]
    answers = [f" {m['content']}" for m in CHAT if m["role"] == "assistant"]
    assert subject.tokenizer.decode(scored) == "".join(answers)
    text = subject.tokenizer.decode(encoded.ids[1:])
    assert text.startswith("Sistema: Seja breve.\nUsuário: Oi, tudo bem?\nLuna: Tudo ótimo")
    prompt = subject.tokenizer.decode(subject.prompt(CHAT[:2])[1:])
    assert prompt == "Sistema: Seja breve.\nUsuário: Oi, tudo bem?\nLuna:"


def test_plain_answer_ends_at_the_next_turn(gpt2_folder):
    subject = load_subject(gpt2_folder)
    ids = subject.encode(" Tudo ótimo.\nE você?\nUsuário: nada")[0]
    assert subject.answer(ids) == "Tudo ótimo.\nE você?"


@pytest.mark.parametrize("kind", ["gpt2", "luna"])
def test_control_tokens_written_in_a_text_stay_text(kind, tmp_path, tokenizer):
    folder = (save_gpt2 if kind == "gpt2" else save_luna)(tmp_path / "m", tokenizer)
    subject = load_subject(folder)
    control = set(tokenizer.control_ids.values())
    for token in tokenizer.control_tokens.values():
        ids, starts = subject.encode(f"antes {token} depois")
        assert not control & set(ids)
        assert starts == sorted(starts) and starts[0] == 0


# ---------------------------------------------------------------------- pastas ruins


def test_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ModelNotFoundError, match="config.json"):
        load_subject(tmp_path)


def test_folder_without_tokenizer_is_told(gpt2_folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (gpt2_folder / name).unlink()
    with pytest.raises(ModelFormatError, match="não tem tokenizador"):
        load_subject(gpt2_folder)


def test_pickled_weights_are_refused(gpt2_folder):
    (gpt2_folder / "model.safetensors").rename(gpt2_folder / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="safetensors"):
        load_subject(gpt2_folder)


def test_damaged_weights_are_told(gpt2_folder):
    path = gpt2_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelFormatError, match="não abriu"):
        load_subject(gpt2_folder)


def test_missing_weights_are_never_drawn_at_random(gpt2_folder):
    from safetensors.torch import load_file, save_file

    path = gpt2_folder / "model.safetensors"
    weights = load_file(path)
    del weights["transformer.h.0.attn.c_attn.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelFormatError, match="Faltam pesos"):
        load_subject(gpt2_folder)


def test_tokenizer_without_a_start_token_is_told(gpt2_folder):
    import json

    path = gpt2_folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf-8"))
    for name in ("eos_token", "bos_token"):
        settings.pop(name, None)
    path.write_text(json.dumps(settings), "utf-8")
    with pytest.raises(ModelFormatError, match="token de início"):
        load_subject(gpt2_folder)
