"""A tabela de vetores de pares: busca, cache, empacotamento, preenchimento e disco."""

import json

import pytest
import torch

from src.models.hybrid_cache import CACHE_NAME
from src.models.luna_model import LunaModel
from src.models.pair_embedding import NOTHING, PairEmbedding, pair_keys, previous_tokens
from tests.conftest import make_model, tiny_config

SWITCHES = [{}, {"use_state_space": True, "use_moe": True}]


def some_table(vocabulary: int, width: int, rows: int = 400) -> PairEmbedding:
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randperm(vocabulary * vocabulary, generator=generator)[:rows]
    keys = pair_keys(chosen // vocabulary, chosen % vocabulary).sort().values
    return PairEmbedding.from_vectors(keys, torch.randn(rows, width, generator=generator))


def model_with_pairs(switches: dict, rows: int = 400) -> LunaModel:
    """Um modelo pequeno em que quase metade dos pares de 30 tokens tem vetor."""
    model = make_model(tiny_config(**switches))
    model.model.transformer.pairs = some_table(30, model.config.n_embd, rows)
    model.config.pair_rows = rows
    return model.eval()


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(3, 30, (batch, length), generator=torch.Generator().manual_seed(0))


def test_each_pair_finds_its_own_vector_and_the_others_find_zero():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 8, generator=generator)
    keys = pair_keys(torch.tensor([1, 1, 7]), torch.tensor([2, 9, 1]))
    table = PairEmbedding.from_vectors(keys, vectors)
    found = table(torch.tensor([[2, 9, 1, 3, 2]]), torch.tensor([[1, 1, 7, 2, NOTHING]]))[0]
    assert torch.allclose(found[:3], vectors, atol=float(vectors.abs().max()) / 127)
    assert not found[3:].any()


def obvious_previous(tokens, mask, keep, before):
    """Token a token."""
    found = torch.full_like(tokens, NOTHING)
    for row in range(tokens.shape[0]):
        last = NOTHING if before is None else int(before[row, 0])
        for t in range(tokens.shape[1]):
            if keep is not None and not keep[row, t]:
                last = NOTHING
            found[row, t] = last
            last = int(tokens[row, t]) if mask is None or mask[row, t] else NOTHING
    return found


@pytest.mark.parametrize("before", [None, torch.tensor([[5], [NOTHING]])])
@pytest.mark.parametrize("hidden", [None, "mask", "keep"])
def test_previous_tokens_stop_at_documents_and_padding(before, hidden):
    tokens = ids(2, 9)
    flags = torch.rand(2, 9, generator=torch.Generator().manual_seed(2)) > 0.4
    given = {"mask": None, "keep": None} | ({hidden: flags} if hidden else {})
    previous, real = previous_tokens(tokens, given["mask"], given["keep"], before)
    assert torch.equal(previous, obvious_previous(tokens, given["mask"], given["keep"], before))
    assert torch.equal(real == NOTHING, ~flags if hidden == "mask" else torch.zeros_like(flags))


@pytest.mark.parametrize("switches", SWITCHES)
def test_the_vectors_change_the_output(switches):
    model, tokens = model_with_pairs(switches), ids(1, 12)
    with torch.no_grad():
        whole = model(tokens).logits
        model.model.transformer.pairs = None
        assert not torch.allclose(whole, model(tokens).logits, atol=1e-3)


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("cuts", [[1] * 12, [5, 1, 4, 2]])
def test_with_the_cache_it_is_the_same_as_all_at_once(switches, cuts):
    model, tokens = model_with_pairs(switches), ids(2, 12)
    with torch.no_grad():
        whole, cache, parts = model(tokens).logits, None, []
        for part in tokens.split(cuts, dim=1):
            output = model(part, use_cache=True, **{CACHE_NAME: cache})
            cache = getattr(output, CACHE_NAME)
            parts.append(output.logits)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-4)


@pytest.mark.parametrize("switches", SWITCHES)
def test_packed_documents_and_padding_on_the_left_change_nothing(switches):
    model, tokens = model_with_pairs(switches), ids(1, 12)
    with torch.no_grad():
        alone = [model(part).logits for part in tokens.split([7, 5], dim=1)]
        positions = torch.tensor([[*range(7), *range(5)]])
        packed = model(tokens, position_ids=positions).logits
        padded = torch.cat([torch.full((1, 3), 4), tokens], dim=1)
        mask = torch.tensor([[0] * 3 + [1] * 12])
        masked = model(padded, attention_mask=mask).logits[:, 3:]
        whole = model(tokens).logits
    assert torch.allclose(packed, torch.cat(alone, dim=1), atol=1e-4)
    assert torch.allclose(masked, whole, atol=1e-4)


@pytest.mark.parametrize("switches", SWITCHES)
def test_the_cache_can_be_cut_and_its_rows_moved(switches):
    """O token anterior acompanha: sem ele, o par do token seguinte seria outro."""
    model, tokens, order = model_with_pairs(switches), ids(2, 12), torch.tensor([1, 0])
    with torch.no_grad():
        output = model(tokens[:, :9], use_cache=True)
        cache = getattr(output, CACHE_NAME)
        cache.crop(-3)
        cache.reorder_cache(order)
        again = torch.cat([tokens[:, :6], tokens[:, 9:]], dim=1)[order]
        rest = model(again[:, 6:], use_cache=True, **{CACHE_NAME: cache}).logits
        whole = model(again).logits
        model.model.transformer.pairs = None
        without = model(again).logits
    assert torch.allclose(rest, whole[:, 6:], atol=1e-4)
    assert not torch.allclose(without[:, 6:], whole[:, 6:], atol=1e-3)


@pytest.mark.parametrize("switches", SWITCHES)
def test_prompt_lookup_and_beams_agree_with_the_plain_generation(switches):
    """O prompt lookup desfaz tokens do cache, e o beam search troca as linhas de lugar."""
    model = model_with_pairs(switches)
    prompt = ids(1, 4).repeat(1, 3)
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    plain = model.generate(prompt, **settings)
    assert torch.equal(plain, model.generate(prompt, prompt_lookup_num_tokens=3, **settings))
    beams = [model.generate(prompt, num_beams=3, use_cache=c, **settings) for c in (True, False)]
    assert torch.equal(*beams)


def test_saved_and_loaded_whole_in_eight_bits_and_outside_the_parameters(tmp_path):
    model, tokens = model_with_pairs({}), ids(1, 12)
    model.save(tmp_path / "m")
    assert (tmp_path / "m" / "components" / "pairs.safetensors").is_file()
    loaded = LunaModel.from_pretrained(tmp_path / "m")
    table = loaded.model.transformer.pairs
    assert loaded.config.pair_rows == 400 and table.values.dtype == torch.int8
    assert table.keys.dtype == torch.int64
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, loaded(tokens).logits)
    plain = make_model(tiny_config())
    assert loaded.parameter_count() == plain.parameter_count()
    index = json.loads((tmp_path / "m" / "model.safetensors.index.json").read_text("utf-8"))
    assert index["metadata"]["total_parameters"] == plain.parameter_count()
    other = tiny_config(resid_pdrop=0.3)
    assert LunaModel.from_pretrained(tmp_path / "m", config=other).config.resid_pdrop == 0.3
    assert LunaModel.from_scratch(loaded.config).config.pair_rows == 0
    half = LunaModel.from_pretrained(tmp_path / "m", dtype=torch.bfloat16)
    assert half.model.transformer.pairs.values.dtype == torch.int8
    assert half(tokens).logits.dtype == torch.bfloat16
