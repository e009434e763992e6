"""O tokenizador: nada se perde, texto nunca vira controle, e o treino é de dois estágios."""

import json
import pickle
import subprocess
import sys
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.config.config import Config
from src.models.chat_format import CONTROL_TOKENS
from src.models.tokenizer import LunaTokenizer
from src.models.tokenizer_training import (
    MAX_WORDS,
    RUN_PATTERN,
    SPACE_BYTE,
    WORD_PATTERN,
    byte_level,
    extend,
    train_bpe,
    train_words,
    word_count,
)
from src.utils.errors import LunaError, ModelFormatError, NoDataError, StorageError, UsageError

SENTENCES = [
    "O gato subiu no telhado da casa e o cachorro ficou no quintal.",
    "De acordo com o jornal, o preço do pão subiu para R$ 1.234,56 em 2024.",
    "A menina foi à escola, mas não levou o guarda-chuva nem o copo d'água.",
    "Dir-lhe-ei a verdade: por causa da chuva, a reunião ficou para amanhã.",
    "Você já viu o céu de manhã? É o céu mais bonito do que nunca!",
    "A maior parte das pessoas gosta de café; por outro lado, muita gente prefere chá.",
    "No fim do dia, o trem partiu da estação em direção ao Rio de Janeiro.",
    "Ele não sabia o que fazer, e por isso ficou em casa o dia todo.",
    "Por meio da educação, a maior parte das crianças aprende a ler e a escrever.",
    "Coração, ação, nação e canção rimam; órgão e órfão quase rimam.",
    "Em 12 de março de 1998, às 10 horas, o navio chegou ao porto de Santos.",
    "Ao longo do tempo, a língua portuguesa mudou de acordo com o lugar.",
]
CORPUS = [f"{a}\n{b}" for a in SENTENCES for b in SENTENCES]
HELD_OUT = (
    "De acordo com a menina, o trem ficou no quintal da escola.\n\n"
    "  Por causa da chuva,  o preço subiu  (R$ 10,50 - US$ 2): dá-lo-ia amanhã, d'água... \n"
    "A maior parte das pessoas não sabia o que fazer em 2024 e 1234567 B2B, ABR$ x AR$.\r\n\t— É?"
)
CONTROL_TEXTS = list(CONTROL_TOKENS.values())

# Texto qualquer, com mais peso para o que costuma quebrar tokenizadores.
TRICKY = st.sampled_from(
    [
        *CONTROL_TEXTS,
        "<|",
        "|>",
        "\u0301",
        "ã",
        "a\u0303",
        "👩‍👩‍👧",
        "🇧🇷",
        "\0",
        "\r\n",
        " ",
        "  ",
        "\n",
        "R$",
        "\ufffd",
    ]
)
ANY_TEXT = st.lists(st.one_of(TRICKY, st.text(max_size=8), st.sampled_from(SENTENCES))).map("".join)


def small_config(**values) -> Config:
    return Config(tokenizer={"vocab_size": 700, "superword_fraction": 0.3} | values)


@pytest.fixture(scope="module")
def tokenizer() -> LunaTokenizer:
    return LunaTokenizer(small_config()).train(CORPUS)


@pytest.fixture(scope="module")
def bytes_only() -> LunaTokenizer:
    """Um token por byte: acentos e emojis se partem em vários."""
    return LunaTokenizer(small_config(vocab_size=264)).train(["a"])


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def pieces(text: str, pattern: str = WORD_PATTERN) -> list[str]:
    return [text[a:b] for _, (a, b) in byte_level(pattern).pre_tokenize_str(text)]


# Sem perda


@given(ANY_TEXT)
def test_any_unicode_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text


@given(st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=30)
def test_batch_equals_one_by_one(tokenizer, texts):
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_vocabulary_contains_every_byte(bytes_only):
    ids = [bytes_only.encode(chr(i))[-1] for i in range(128)]
    assert len(set(ids)) == 128
    assert bytes_only.get_vocab_size() == 256 + len(CONTROL_TEXTS)
    assert len(bytes_only.encode("🇧🇷")) == len("🇧🇷".encode())


def test_surrogates_become_the_character_or_the_replacement_mark(tokenizer):
    assert tokenizer.decode(tokenizer.encode("\ud83d\ude00 e \ud800")) == "😀 e \ufffd"


def test_very_long_runs_take_linear_time(tokenizer):
    for text in ("7" * 200_000, " " * 200_000, "á" * 50_000, "a-" * 50_000):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("make", [list, tuple, "numpy", "torch"])
def test_decode_accepts_lists_tuples_arrays_and_tensors(tokenizer, make):
    import numpy
    import torch

    make = {"numpy": numpy.array, "torch": torch.tensor}.get(make, make)
    assert tokenizer.decode(make(tokenizer.encode("Olá, você!"))) == "Olá, você!"


@pytest.mark.parametrize("bad", [[-100, 3], [[1, 2]], [1.5], "abc", None])
def test_decode_of_what_is_not_ids_is_a_usage_error(tokenizer, bad):
    with pytest.raises(UsageError):
        tokenizer.decode(bad)


def test_encode_of_what_is_not_text_is_a_usage_error(tokenizer):
    with pytest.raises(UsageError, match="bytes"):
        tokenizer.encode(b"abc")


# Português


@pytest.mark.parametrize("word", ["dá-lo-ia", "guarda-chuva", "d'água", "copo-d’água", "coração"])
def test_hyphens_and_apostrophes_stay_inside_the_word(word):
    assert pieces(f"o {word}, sim") == ["o", f" {word}", ",", " sim"]


def test_combining_marks_stay_with_their_letter():
    assert pieces("a\u0303o e\u0301") == ["a\u0303o", " e\u0301"]


def test_money_and_digits_are_cut_at_the_thousands():
    assert pieces("R$ 1.234,56") == ["R$", " 1", ".", "234", ",", "56"]
    assert pieces("US$1234567 em 2024") == ["US$", "1", "234", "567", " em", " 2024"]


def test_newlines_stand_apart():
    assert pieces("fim.\n\nInício\r\n x") == ["fim", ".", "\n\n", "Início", "\r\n", " x"]


def test_hyphen_without_a_word_on_both_sides_is_punctuation():
    assert pieces("-se a- 'x'") == ["-", "se", " a", "-", " '", "x", "'"]


# Dois estágios


def test_runs_join_words_only():
    text = "bom dia a todos, R$ 10 por mês\nfim do mês"
    joined = ["bom dia a todos", ",", " R$", " 10", " por mês", "\n", "fim do mês"]
    assert pieces(text, RUN_PATTERN) == joined


@given(ANY_TEXT)
def test_runs_are_made_of_whole_word_pieces(text):
    """Cortar cada sequência em palavras dá o mesmo que cortar o texto em palavras."""
    text = text.encode("utf-8", "replace").decode()
    assert [w for run in pieces(text, RUN_PATTERN) for w in pieces(run)] == pieces(text)


@pytest.fixture(scope="module")
def words():
    return train_words(CORPUS, 500, 2)


@given(st.one_of(ANY_TEXT, st.just(HELD_OUT)))
def test_without_the_second_stage_runs_change_nothing(words, text):
    runs = extend(words, [])
    assert runs.pre_tokenizer is not words.pre_tokenizer
    assert runs.encode(text).ids == words.encode(text).ids


@given(st.just(HELD_OUT) | ANY_TEXT)
@settings(max_examples=50)
def test_second_stage_only_joins_tokens_of_the_first(text):
    """Todo limite entre tokens do resultado é também um limite do estágio 1."""
    first, full = ({end for _, end in one.encode(text).offsets} for one in both_stages())
    assert full <= first


@lru_cache
def both_stages():
    """O estágio 1 sozinho e o resultado dos dois, com o mesmo estágio 1."""
    return train_words(CORPUS, 693 - int(0.3 * 693), 2), train_bpe(CORPUS, 693, 2, 0.3)


def learned_superwords() -> list[str]:
    first, full = both_stages()
    return [token for token in full.get_vocab() if token not in first.get_vocab()]


def test_second_stage_learns_expressions_of_up_to_four_words():
    superwords = [token for token in learned_superwords() if word_count(token) > 1]
    assert len(superwords) > 50
    assert max(map(word_count, superwords)) <= MAX_WORDS


def test_superwords_hold_only_letters_and_single_spaces():
    from tokenizers import decoders

    for token in learned_superwords():
        if word_count(token) > 1:
            text = decoders.ByteLevel().decode([token]).replace("\ufffd", "")
            assert all(c.isalpha() or c in " -'’" for c in text), text
            assert SPACE_BYTE * 2 not in token


def test_second_stage_uses_fewer_tokens():
    first, full = both_stages()
    assert len(full.encode(HELD_OUT).ids) < len(first.encode(HELD_OUT).ids)


def test_zero_fraction_learns_words_only():
    only_words = train_bpe(CORPUS, 500, 2, 0.0)
    assert only_words.to_str() == train_words(CORPUS, 500, 2).to_str()


# O treino


@pytest.mark.parametrize("size", [264, 300, 700, 4096])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_vocabulary_never_exceeds_what_was_asked(size, fraction):
    config = small_config(vocab_size=size, superword_fraction=fraction)
    trained = LunaTokenizer(config).train(SENTENCES)
    assert trained.get_vocab_size() == len(trained) <= size
    assert max(trained.control_ids.values()) == trained.get_vocab_size() - 1


def test_ten_short_texts_are_enough(tmp_path):
    config = Config(tokenizer={"vocab_size": 4096})
    trained = LunaTokenizer(config).train_and_save([f"frase {i}" for i in range(10)], tmp_path)
    assert trained.decode(trained.encode("olá, mundo")) == "olá, mundo"


def test_training_is_deterministic_even_across_processes(tmp_path):
    LunaTokenizer(small_config()).train_and_save(CORPUS, tmp_path / "a")
    LunaTokenizer(small_config()).train_and_save((text for text in CORPUS), tmp_path / "b")
    code = (
        "import json, sys; from src.config.config import Config;"
        "from src.models.tokenizer import LunaTokenizer;"
        "c = Config(tokenizer={'vocab_size': 700, 'superword_fraction': 0.3});"
        "LunaTokenizer(c).train_and_save(json.load(sys.stdin), sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c")]
    subprocess.run(command, input=json.dumps(CORPUS), text=True, check=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens.json"):
        same = {(tmp_path / part / name).read_bytes() for part in "abc"}
        assert len(same) == 1, name


@pytest.mark.parametrize("nothing", [[], [""], iter([])])
def test_training_on_nothing_says_so(nothing):
    with pytest.raises(NoDataError):
        LunaTokenizer(small_config()).train(nothing)


@pytest.mark.parametrize("bad", ["um texto só", ["a", 3], [None], 5])
def test_training_on_what_is_not_a_collection_of_texts_is_a_usage_error(bad):
    with pytest.raises(UsageError):
        LunaTokenizer(small_config()).train(bad)


def test_huge_text_in_one_string_trains_like_its_lines():
    lines = [f"{line}\n" for line in SENTENCES * 40]
    whole = train_bpe(["".join(lines)], 500, 2, 0.3)
    assert whole.to_str() == train_bpe(lines, 500, 2, 0.3).to_str()


def test_untrained_use_says_what_to_do(tmp_path):
    empty = LunaTokenizer()
    for use in (
        lambda: empty.encode("a"),
        lambda: empty.encode_batch(["a"]),
        lambda: empty.decode([1]),
        lambda: empty.save(tmp_path),
        lambda: empty.encode_chat([]),
        lambda: empty.stream_decoder(),
        lambda: empty.user_id,
        lambda: empty.hf,
        empty.get_vocab_size,
        empty.configure_special_tokens,
    ):
        with pytest.raises(LunaError, match="load"):
            use()


# Tokens de controle


def test_control_tokens_have_names_and_distinct_ids(tokenizer):
    for name, text in CONTROL_TOKENS.items():
        assert getattr(tokenizer, f"{name}_token") == text
        assert tokenizer.encode(text, allow_special=True) == [getattr(tokenizer, f"{name}_id")]
    assert len(set(tokenizer.control_ids.values())) == 7


@given(ANY_TEXT)
def test_text_never_becomes_a_control_token(tokenizer, text):
    control = set(tokenizer.control_ids.values())
    assert not control & set(tokenizer.encode(text))
    assert not control & set(tokenizer.hf(text).input_ids)


@given(ANY_TEXT)
@settings(max_examples=50)
def test_allow_special_agrees_with_the_library(tokenizer, text):
    expected = tokenizer.hf(text, split_special_tokens=False).input_ids
    assert tokenizer.encode(text, allow_special=True) == expected


def test_decode_leaves_control_tokens_out_unless_asked(tokenizer):
    ids = tokenizer.encode("<|user|>oi<|endoftext|>", allow_special=True)
    assert tokenizer.decode(ids) == "oi"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<|user|>oi<|endoftext|>"


def test_training_text_with_control_tokens_teaches_none():
    trained = LunaTokenizer(small_config()).train(["<|user|>oi<|assistant|>olá"] * 50)
    assert len(trained.encode("<|user|>")) > 1
    assert trained.user_id not in trained.encode("<|user|>oi")


def test_copies_keep_text_as_text(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("<|user|>é") == tokenizer.encode("<|user|>é")
    assert again.user_id == tokenizer.user_id


# Salvar e carregar


def test_loaded_equals_saved(tokenizer, folder, tmp_path):
    loaded = LunaTokenizer().load(folder)
    assert loaded.encode(HELD_OUT) == tokenizer.encode(HELD_OUT)
    assert loaded.control_ids == tokenizer.control_ids
    loaded.save(tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_control_tokens_survive_save_and_load(tokenizer, folder):
    """O erro 5 da referência."""
    loaded, text = LunaTokenizer().load(folder), "<|user|>oi<|assistant|>"
    assert loaded.encode(text, allow_special=True)[0] == tokenizer.user_id
    assert loaded.decode(loaded.encode(text, allow_special=True)) == "oi"
    assert not set(loaded.control_ids.values()) & set(loaded.encode(text))


def test_control_tokens_that_lost_their_special_mark_are_restored(tokenizer, folder):
    """O erro 5 no disco: o vocabulário ficou, a configuração dos especiais se perdeu."""
    data = json.loads((folder / "tokenizer.json").read_text())
    for token in data["added_tokens"]:
        token["special"] = False
    (folder / "tokenizer.json").write_text(json.dumps(data))
    loaded = LunaTokenizer().load(folder)
    assert loaded.control_ids == tokenizer.control_ids
    assert loaded.encode("<|user|>oi") == tokenizer.encode("<|user|>oi")
    assert loaded.decode([loaded.user_id]) == ""


def test_folder_without_special_tokens_file_uses_the_defaults(tokenizer, folder, caplog):
    (folder / "special_tokens.json").unlink()
    with caplog.at_level("INFO"):
        loaded = LunaTokenizer().load(folder)
    assert loaded.control_ids == tokenizer.control_ids
    assert "special_tokens.json" in caplog.text


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFormatError, match=rf"{name}'.*train_and_save"):
        LunaTokenizer().load(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens.json"])
@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda _: b"", lambda _: b"[1]\xff"])
def test_damaged_file_is_named(folder, name, damage):
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(ModelFormatError, match=name):
        LunaTokenizer().load(folder)


@pytest.mark.parametrize(
    "change", [{"format_version": 99}, {"user_token": 3}, {"user_token": "<|pad|>"}]
)
def test_special_tokens_file_with_wrong_values_is_named(folder, change):
    path = folder / "special_tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelFormatError, match="special_tokens.json"):
        LunaTokenizer().load(folder)


def test_control_token_missing_from_the_vocabulary_is_named(folder):
    data = json.loads((folder / "tokenizer.json").read_text())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] != "<|thinking|>"]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(ModelFormatError, match="thinking"):
        LunaTokenizer().load(folder)


def test_json_that_is_not_a_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFormatError, match="tokenizer.json"):
        LunaTokenizer().load(folder)


def test_failed_load_keeps_what_was_loaded(tokenizer, tmp_path):
    kept = pickle.loads(pickle.dumps(tokenizer))
    with pytest.raises(ModelFormatError):
        kept.load(tmp_path)
    assert kept.encode("olá") == tokenizer.encode("olá")


def test_interrupted_save_leaves_the_old_file_whole(tokenizer, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(StorageError):
        tokenizer.save(folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


# Conversas

MESSAGES = [
    {"role": "system", "content": "Seja breve."},
    {"role": "user", "content": " Olá,\n tudo bem? "},
    {"role": "assistant", "content": "Tudo ótimo! 😀"},
    {"role": "user", "content": "Que bom."},
]
ANY_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": ANY_TEXT}
    ),
    max_size=4,
)


def test_chat_is_role_then_content_and_the_assistant_is_closed(tokenizer):
    ids = tokenizer.encode_chat(MESSAGES, add_generation_prompt=True)
    assert tokenizer.decode(ids, skip_special_tokens=False) == (
        "<|system|>Seja breve.<|user|> Olá,\n tudo bem? "
        "<|assistant|>Tudo ótimo! 😀<|endoftext|><|user|>Que bom.<|assistant|>"
    )


def test_mask_covers_the_answer_and_its_closing_only(tokenizer):
    ids, mask = tokenizer.encode_chat(MESSAGES, True, return_assistant_mask=True)
    learned = [token for token, is_learned in zip(ids, mask) if is_learned]
    assert learned == tokenizer.encode("Tudo ótimo! 😀") + [tokenizer.eos_id]
    assert len(mask) == len(ids)


@given(ANY_MESSAGES, st.booleans())
def test_content_never_becomes_control(tokenizer, messages, prompt):
    ids, mask = tokenizer.encode_chat(messages, prompt, return_assistant_mask=True)
    control = set(tokenizer.control_ids.values())
    expected = []
    for message in messages:
        expected.append(tokenizer.control_ids[message["role"]])
        expected += [tokenizer.eos_id] if message["role"] == "assistant" else []
    expected += [tokenizer.assistant_id] if prompt else []
    assert [token for token in ids if token in control] == expected
    assert tokenizer.decode(ids) == "".join(message["content"] for message in messages)
    assert ids == tokenizer.encode_chat(messages, prompt)


@pytest.mark.parametrize(
    "messages, said",
    [
        ([MESSAGES[0], {"role": "tool", "content": "x"}], "mensagem 1.*tool"),
        ([{"content": "x"}], "mensagem 0.*role"),
        ([{"role": "user"}], "mensagem 0.*content"),
        ([{"role": "user", "content": None}], "mensagem 0.*NoneType"),
        ([MESSAGES[0], "oi"], "mensagem 1"),
        ([{"role": ["user"], "content": "x"}], "mensagem 0"),
        ("oi", "lista"),
        ({"role": "user", "content": "oi"}, "lista"),
    ],
)
def test_wrong_messages_are_named_by_index(tokenizer, messages, said):
    with pytest.raises(UsageError, match=said):
        tokenizer.encode_chat(messages)


# transformers


@pytest.mark.parametrize("prompt", [False, True])
def test_jinja_template_gives_the_same_chat(tokenizer, prompt):
    text = tokenizer.hf.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=prompt)
    ids = tokenizer.encode_chat(MESSAGES, add_generation_prompt=prompt)
    assert tokenizer.encode(text, allow_special=True) == ids
    given_ids = tokenizer.hf.apply_chat_template(MESSAGES, add_generation_prompt=prompt)
    assert given_ids["input_ids"] == ids


def test_jinja_template_gives_the_same_mask(tokenizer):
    given_mask = tokenizer.hf.apply_chat_template(MESSAGES, return_assistant_tokens_mask=True)
    _, mask = tokenizer.encode_chat(MESSAGES, return_assistant_mask=True)
    assert [bool(value) for value in given_mask["assistant_masks"]] == mask


@given(ANY_TEXT)
@settings(max_examples=50)
def test_jinja_template_keeps_content_from_becoming_control(tokenizer, text):
    messages = [{"role": "user", "content": text}]
    ids = tokenizer.hf.apply_chat_template(messages)["input_ids"]
    control = set(tokenizer.control_ids.values())
    assert [token for token in ids if token in control] == [tokenizer.user_id]


def test_jinja_template_refuses_unknown_roles(tokenizer):
    with pytest.raises(Exception, match="papel desconhecido"):
        tokenizer.hf.apply_chat_template([{"role": "tool", "content": "x"}])


def test_auto_tokenizer_opens_the_folder(tokenizer, folder):
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(folder)
    assert auto(HELD_OUT).input_ids == tokenizer.encode(HELD_OUT)
    assert auto.decode(tokenizer.encode(HELD_OUT)) == HELD_OUT
    assert (auto.eos_token_id, auto.pad_token_id) == (tokenizer.eos_id, tokenizer.pad_id)
    assert auto.apply_chat_template(MESSAGES)["input_ids"] == tokenizer.encode_chat(MESSAGES)
    assert len(auto) == len(tokenizer)


def test_auto_tokenizer_opens_what_hf_saved(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.hf.save_pretrained(tmp_path)
    auto = AutoTokenizer.from_pretrained(tmp_path)
    assert auto.apply_chat_template(MESSAGES)["input_ids"] == tokenizer.encode_chat(MESSAGES)


def test_hf_padding_does_not_leak_into_encode(tokenizer):
    batch = tokenizer.hf(["oi", "uma frase mais longa"], padding=True, return_tensors="pt")
    assert batch.input_ids.shape[0] == 2
    assert tokenizer.encode_batch(["oi", "uma frase mais longa"])[0] == tokenizer.encode("oi")


def test_importing_the_module_loads_neither_torch_nor_transformers():
    code = (
        "import sys; import src.models.tokenizer;"
        "sys.exit(bool({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Tokenizadores no estilo do GPT-2


@pytest.fixture(scope="module")
def gpt2_like():
    """Um BPE de bytes com ``<|endoftext|>`` no meio do vocabulário, como o de muitos modelos."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


@pytest.fixture(params=["tokenizer.json", "vocab.json+merges.txt"])
def gpt2_folder(request, gpt2_like, tmp_path):
    if request.param == "tokenizer.json":
        gpt2_like.save(str(tmp_path / "tokenizer.json"))
    else:
        gpt2_like.model.save(str(tmp_path))
    return tmp_path


def test_hf_folder_keeps_its_ids_and_gains_the_control_tokens(gpt2_like, gpt2_folder):
    extended = LunaTokenizer.from_hf_folder(gpt2_folder)
    assert extended.encode(HELD_OUT) == gpt2_like.encode(HELD_OUT).ids
    assert extended.eos_id == gpt2_like.token_to_id("<|endoftext|>") == 0
    assert extended.get_vocab_size() == gpt2_like.get_vocab_size() + 6
    assert extended.eos_id not in extended.encode("a<|endoftext|><|user|>")
    assert extended.decode(extended.encode_chat(MESSAGES)).startswith("Seja breve.")


def test_hf_folder_survives_save_and_load(gpt2_folder, tmp_path):
    extended = LunaTokenizer.from_hf_folder(gpt2_folder, small_config())
    extended.save(tmp_path / "luna")
    loaded = LunaTokenizer().load(tmp_path / "luna")
    assert loaded.encode_chat(MESSAGES) == extended.encode_chat(MESSAGES)
    assert loaded.control_ids == extended.control_ids


def test_hf_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelFormatError, match="vocab.json"):
        LunaTokenizer.from_hf_folder(tmp_path)


def test_hf_folder_with_damaged_merges_is_refused(gpt2_like, tmp_path):
    gpt2_like.model.save(str(tmp_path))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nzzzz qqqq\n")
    with pytest.raises(ModelFormatError, match="merges.txt"):
        LunaTokenizer.from_hf_folder(tmp_path)


def test_hf_folder_that_is_not_byte_level_is_refused(tmp_path):
    from tokenizers import Tokenizer, models

    model = models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelFormatError, match="BPE de bytes"):
        LunaTokenizer.from_hf_folder(tmp_path)


# Decodificação token a token


def streamed(tokenizer: LunaTokenizer, ids: list[int]) -> list[str]:
    stream = tokenizer.stream_decoder()
    return [*map(stream.step, ids), stream.flush()]


@given(ANY_TEXT, st.integers(0, 30))
def test_streamed_text_equals_decode(bytes_only, text, cut):
    ids = bytes_only.encode(text)
    ids = ids[: max(0, len(ids) - cut)]
    assert "".join(streamed(bytes_only, ids)) == bytes_only.decode(ids)


@given(st.lists(st.integers(0, 262), max_size=40))
def test_streaming_any_ids_equals_decode(bytes_only, ids):
    assert "".join(streamed(bytes_only, ids)) == bytes_only.decode(ids)


def test_streaming_gives_only_whole_characters(bytes_only):
    parts = streamed(bytes_only, bytes_only.encode("é 😀"))
    assert parts == ["", "é", " ", "", "", "", "😀", ""]


def test_streaming_gives_nothing_for_control_tokens(tokenizer):
    ids = tokenizer.encode_chat([{"role": "assistant", "content": "Olá!"}])
    parts = streamed(tokenizer, ids)
    assert parts[0] == parts[-2] == parts[-1] == ""
    assert "".join(parts) == "Olá!"


def test_flush_starts_over(bytes_only):
    stream = bytes_only.stream_decoder()
    stream.step(bytes_only.encode("é")[0])
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""
    assert [stream.step(i) for i in bytes_only.encode("é")] == ["", "é"]
