"""O otimizador: Muon ortogonaliza, AdamW é o do PyTorch, e cada peso está num grupo só."""

import copy

import pytest
import torch

from src.training.optim import MUON_LR_RATIO, MuonAdamW, orthogonalize, parameter_groups
from tests.conftest import make_model, tiny_config


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 32), (2, 32, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(*shape)))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3


def test_orthogonalisation_keeps_the_singular_directions():
    torch.manual_seed(0)
    matrix = torch.randn(1, 6, 10)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalize(matrix)
    diagonal = u.mT @ result @ v.mT
    off = diagonal - torch.diag_embed(torch.diagonal(diagonal, dim1=-2, dim2=-1))
    assert float(off.abs().max()) < 1e-4


def test_batched_orthogonalisation_equals_one_at_a_time():
    torch.manual_seed(0)
    batch = torch.randn(4, 12, 7)
    alone = torch.stack([orthogonalize(m.unsqueeze(0))[0] for m in batch])
    assert torch.allclose(orthogonalize(batch), alone, atol=1e-5)


def test_adamw_groups_follow_the_adamw_of_torch():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(4))]
    theirs = copy.deepcopy(ours)
    settings = {"lr": 0.05, "weight_decay": 0.1}
    mine = MuonAdamW([{"params": ours, **settings}])
    reference = torch.optim.AdamW(theirs, betas=(0.9, 0.95), eps=1e-8, **settings)
    for _ in range(6):
        for a, b in zip(ours, theirs):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs))


def test_muon_step_has_the_size_of_the_rate_whatever_the_gradient():
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = MuonAdamW([{"params": [parameter], "lr": 0.1, "muon": True}])
    parameter.grad = torch.randn(8, 8) * 1e4
    optimizer.step()
    assert 0.05 < float(torch.linalg.svdvals(parameter.detach()).mean()) < 0.13


def test_optimizer_state_survives_saving():
    torch.manual_seed(0)
    results = []
    for resumed in (False, True):
        torch.manual_seed(1)
        matrix, vector = torch.nn.Parameter(torch.randn(4, 4)), torch.nn.Parameter(torch.randn(4))

        def build(matrix=matrix, vector=vector):
            return MuonAdamW(
                [{"params": [matrix], "lr": 0.1, "muon": True}, {"params": [vector], "lr": 0.1}]
            )

        optimizer = build()
        for step in range(4):
            if resumed and step == 2:
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = build()
                optimizer.load_state_dict(state)
            matrix.grad, vector.grad = torch.randn(4, 4), torch.randn(4)
            optimizer.step()
        results.append((matrix.detach().clone(), vector.detach().clone()))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_groups_cover_every_weight_once_each_at_its_pace():
    switches = {"use_state_space": True, "use_moe": True, "use_hypernet": True}
    model = make_model(tiny_config(**switches, tie_word_embeddings=False))
    groups = parameter_groups(model, 1e-2, 0.1, ssm_lr_scale=0.1, head_lr_scale=0.5)
    matrix, table, vector, slow, head = groups
    names = {id(p): name for name, p in model.named_parameters()}
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(names)
    recurrence = {id(p) for layer in model.state_space_layers for p in (layer.A, layer.B)}
    assert {id(p) for p in slow["params"]} == recurrence
    assert [names[id(p)] for p in head["params"]] == ["model.lm_head.weight"]
    assert head["lr"] == pytest.approx(5e-3)
    assert slow["lr"] == pytest.approx(1e-3) and slow["weight_decay"] == 0
    assert matrix["muon"] and matrix["lr"] == pytest.approx(1e-2 * MUON_LR_RATIO)
    tables = {names[id(p)].split(".")[-2] for p in table["params"]}
    assert {"wte", "wpe", "router", "to_u"} <= tables
    assert all(p.dim() == 1 for p in vector["params"])
