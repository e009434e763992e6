"""O codificador de textos: as contas, o formato de 4 bits, e o que vem junto no pacote."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.retrieval.encoder import PREFIXES, SHIPPED_FOLDER, LunaEncoder
from src.retrieval.encoders import SentenceTransformerEncoder, open_encoder
from src.retrieval.packed_weights import GROUP, pack, unpack
from src.retrieval.quoting import late_score
from src.utils.errors import DependencyError, LunaError, ModelFormatError

TEXTS = [
    "Quanto custa a entrada do museu?",
    "O museu cobra doze reais de adultos; crianças de até seis anos não pagam.",
    "Ó",
    "Uma frase bem mais longa, que fala de várias coisas: " + "chuva, sol, vento, " * 30,
]


@pytest.fixture(scope="module")
def encoder() -> LunaEncoder:
    return LunaEncoder()


# --- Quatro bits ---------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_packing_twice_gives_the_same_as_packing_once(seed):
    weight = np.random.default_rng(seed).normal(size=(4, 2 * GROUP)).astype(np.float32)

    once = unpack(*pack(weight), weight.shape[1])
    twice = unpack(*pack(once), weight.shape[1])

    np.testing.assert_array_equal(once, twice)


def test_packing_errs_at_most_one_step_of_its_scale():
    weight = np.random.default_rng(0).normal(size=(64, 384)).astype(np.float32)
    codes, scales = pack(weight)

    error = np.abs(unpack(codes, scales, 384) - weight).reshape(-1, GROUP).max(axis=1)

    assert (error <= np.abs(scales.astype(np.float32)) * 1.51).all()  # a ponta pode ser cortada
    assert error.mean() < 0.2


def test_a_matrix_of_zeros_packs_to_zeros():
    assert not unpack(*pack(np.zeros((2, GROUP), np.float32)), GROUP).any()


# --- As contas -----------------------------------------------------------------------------------


def test_states_are_those_of_the_bert_of_transformers(encoder):
    from transformers import BertConfig, BertModel

    config = {k: v for k, v in encoder.config.items() if k != "identity"}
    bert = BertModel(BertConfig(**config, type_vocab_size=1), add_pooling_layer=False).eval()
    weights = dict(encoder.weights)
    weights["embeddings.token_type_embeddings.weight"] = torch.zeros(1, encoder.dimension)
    missing, unexpected = bert.load_state_dict(weights, strict=False)
    assert not unexpected and all("position_ids" in name for name in missing)
    ids = torch.tensor(encoder.tokenizer.encode(TEXTS[1]).ids)[None]

    with torch.inference_mode():
        ours = encoder.hidden_states(ids, torch.ones_like(ids, dtype=torch.bool))
        theirs = bert(ids).last_hidden_state

    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)  # fp32, doze camadas


def test_vectors_do_not_depend_on_who_is_in_the_batch(encoder):
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])

    np.testing.assert_allclose(together, alone, atol=2e-5)  # o preenchimento soma zeros
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_questions_and_passages_have_their_own_prefix(encoder):
    query, passage = (encoder.encode(TEXTS[:1], kind)[0] for kind in PREFIXES)

    assert not np.allclose(query, passage, atol=1e-3)


def test_the_passage_that_answers_is_nearer_without_sharing_words(encoder):
    question = encoder.encode(["Criança precisa comprar ingresso?"], "query")[0]
    passages = encoder.encode(
        ["Quem tem até seis anos não paga nada.", "O estacionamento fecha às dez da noite."]
    )

    assert passages[0] @ question > passages[1] @ question


def test_no_text_gives_no_vector(encoder):
    assert encoder.encode([]).shape == (0, encoder.dimension)
    assert encoder.read([])[1] == []


def test_reading_gives_the_vectors_and_the_states_of_each_token(encoder):
    vectors, states = encoder.read(TEXTS)

    np.testing.assert_array_equal(vectors, encoder.encode(TEXTS))
    for text, own in zip(TEXTS, states):
        ids = torch.tensor(encoder.tokenizer.encode(PREFIXES["passage"] + text).ids)[None]
        plain = encoder.hidden_states(ids, torch.ones_like(ids, dtype=torch.bool))[0].numpy()
        plain /= np.linalg.norm(plain, axis=1, keepdims=True)
        np.testing.assert_allclose(own, plain, atol=5e-5)


@given(st.integers(0, 2**32 - 1))
def test_late_scores_are_the_mean_of_the_best_cosine_of_each_token(seed):
    random = np.random.default_rng(seed)
    asked, found = (random.normal(size=(random.integers(1, 6), 4)) for _ in range(2))
    total = 0.0
    for token in asked:
        total += max(
            float(token @ other / np.linalg.norm(token) / np.linalg.norm(other)) for other in found
        )

    score = late_score(*(rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (asked, found)))

    assert score == pytest.approx(total / len(asked), abs=1e-9)


def test_the_late_scores_that_are_trained_are_those_that_are_used(encoder):
    path = Path(__file__).parents[1] / "scripts" / "train_retrieval_encoder.py"
    spec = importlib.util.spec_from_file_location("train_retrieval_encoder", path)
    script = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    queries, (left, right) = encoder.read(TEXTS[:1], "query")[1], encoder.read(TEXTS[:2])[1]
    states = [torch.from_numpy(rows) for rows in (*queries, left, right)]
    padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
    lengths = torch.tensor([[len(rows)] for rows in states])
    mask = torch.arange(padded.shape[1])[None] < lengths

    trained = script.late_scores(3 * padded[:1], mask[:1], 2 * padded[1:], mask[1:])

    used = [[late_score(queries[0], rows) for rows in (left, right)]]
    np.testing.assert_allclose(trained.numpy(), used, atol=1e-5)


def test_a_text_longer_than_the_limit_is_read_up_to_it(encoder):
    long = "palavra " * 2000

    np.testing.assert_allclose(encoder.encode([long]), encoder.encode([long + "outra"]), atol=1e-5)


# --- O pacote ------------------------------------------------------------------------------------


def test_what_ships_has_at_most_20_megabytes_and_a_licence():
    size = sum(path.stat().st_size for path in SHIPPED_FOLDER.iterdir())

    assert size <= 20_000_000
    assert "MIT" in (SHIPPED_FOLDER / "README.md").read_text("utf-8")


def test_sentence_transformers_opens_it_and_gives_the_same_vectors(encoder):
    from sentence_transformers import SentenceTransformer

    from src.retrieval.sentence_transformer_module import as_sentence_transformer

    for model in (
        as_sentence_transformer(),
        SentenceTransformer(str(SHIPPED_FOLDER), trust_remote_code=True, device="cpu"),
    ):
        np.testing.assert_allclose(
            model.encode_query(TEXTS), encoder.encode(TEXTS, "query"), atol=2e-5
        )
        np.testing.assert_allclose(model.encode_document(TEXTS), encoder.encode(TEXTS), atol=2e-5)
        tokens = model.encode_document(TEXTS[:2], output_value="token_embeddings")
        for own, states in zip(tokens, encoder.read(TEXTS[:2])[1]):
            own = torch.nn.functional.normalize(own, dim=-1).numpy()
            np.testing.assert_allclose(own, states, atol=5e-5)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
def test_a_damaged_folder_is_told(tmp_path, name, damage):
    folder = tmp_path / "encoder"
    shutil.copytree(SHIPPED_FOLDER, folder)
    data = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data[: len(data) // 2] if damage == "cut" else b"\x00lixo")

    with pytest.raises(ModelFormatError, match="Reinstale"):
        LunaEncoder(folder)


# --- Outros modelos ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local_model(tmp_path_factory) -> str:
    """Um modelo minúsculo, de pesos aleatórios, como o sentence-transformers o grava."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(SHIPPED_FOLDER / "tokenizer.json"))
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu"
    )
    folder = tmp_path_factory.mktemp("modelos") / "pequeno"
    model.save(str(folder))
    return str(folder)


def test_a_local_sentence_transformers_folder_is_used(local_model):
    encoder = open_encoder(local_model)

    vectors = encoder.encode(TEXTS)

    assert encoder.dimension == 16 and vectors.shape == (4, 16) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.identity == "sentence-transformers:pequeno:16"  # sem as pastas da máquina


def test_a_model_without_token_states_counts_the_text_as_one_token(local_model):
    encoder = open_encoder(local_model)

    vectors, states = encoder.read(TEXTS)

    np.testing.assert_array_equal(np.concatenate(states), vectors)


def test_token_states_of_a_sentence_transformers_model_are_used(tmp_path, encoder, monkeypatch):
    import sentence_transformers

    from src.retrieval.sentence_transformer_module import as_sentence_transformer

    monkeypatch.setattr(
        sentence_transformers, "SentenceTransformer", lambda name: as_sentence_transformer()
    )
    vectors, states = SentenceTransformerEncoder("qualquer").read(TEXTS[:2])

    expected, tokens = encoder.read(TEXTS[:2])
    np.testing.assert_allclose(vectors, expected, atol=2e-5)
    for own, other in zip(states, tokens):
        np.testing.assert_allclose(own, other, atol=5e-5)


def test_e5_models_get_the_prefixes_they_do_not_declare(local_model, tmp_path):
    folder = tmp_path / "multilingual-e5-mini"
    shutil.copytree(local_model, folder)
    encoder, plain = SentenceTransformerEncoder(str(folder)), open_encoder(local_model)

    np.testing.assert_allclose(
        encoder.encode(["oi"], "query"), plain.encode(["query: oi"], "query"), atol=1e-6
    )


def test_declared_prompts_are_used_as_they_are(local_model, tmp_path):
    folder = tmp_path / "e5-com-prefixos"
    shutil.copytree(local_model, folder)
    path = folder / "config_sentence_transformers.json"
    declared = json.loads(path.read_text("utf-8")) | {
        "prompts": {"query": "busca: ", "document": ""}
    }
    path.write_text(json.dumps(declared), "utf-8")

    encoder, plain = SentenceTransformerEncoder(str(folder)), open_encoder(local_model)

    np.testing.assert_allclose(
        encoder.encode(["oi"], "query"), plain.encode(["busca: oi"], "query"), atol=1e-6
    )


def test_a_hub_name_without_network_says_what_to_do():
    with pytest.raises(LunaError, match="rede"):
        open_encoder("organizacao/modelo-que-nao-existe")


def test_a_folder_that_is_no_model_is_told(tmp_path):
    (tmp_path / "x.txt").write_text("nada")
    with pytest.raises(LunaError, match="modules.json"):
        open_encoder(str(tmp_path))


def test_without_sentence_transformers_the_pip_command_is_given(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(DependencyError, match="pip install sentence-transformers"):
        open_encoder("qualquer/modelo")
