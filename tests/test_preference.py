"""Preferências: as contas são as do TRL, as respostas são as do chat, e o empate é empate."""

import pytest
import torch

from src.config.personas import PERSONAS
from src.training.preference import (
    AnswerEncoder,
    answer_logps,
    batches_by_length,
    paired_loss,
    score_answers,
    unpaired_loss,
)
from tests.conftest import make_model, tiny_config

ROUNDING = 2e-4  # outra ordem de somas, em fp32, sobre dezenas de tokens
EVERYTHING = {"use_state_space": True, "use_moe": True, "use_hypernet": True}


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(
        tiny_config(tokenizer, n_positions=128, emotional_routing=True, **EVERYTHING)
    ).eval()


@pytest.fixture(scope="module")
def encode(tokenizer, model):
    return AnswerEncoder(tokenizer, model.config, PERSONAS)


def one_by_one(model, encode, answer):
    """A conta óbvia: um token de cada vez, sem preenchimento."""
    ids = torch.tensor([answer.ids])
    with torch.no_grad():
        logits = model(input_ids=ids, **encode.vectors([answer])).logits[0]
    total = 0.0
    for place in range(answer.start, len(answer.ids)):
        total += float(torch.log_softmax(logits[place - 1], -1)[answer.ids[place]])
    return total


def test_answers_in_a_batch_score_as_one_by_one(model, encode):
    answers = [
        encode("Oi, tudo bem?", "Tudo ótimo, e você?", "casual"),
        encode("Estou muito triste hoje.", "Não.", "formal"),
        encode("O que é água?", "É um líquido que corre no rio e vai até o mar.", None),
    ]
    expected = torch.tensor([one_by_one(model, encode, answer) for answer in answers])
    assert torch.allclose(answer_logps(model, answers, encode), expected, atol=ROUNDING)
    assert torch.allclose(score_answers(model, answers, encode), expected, atol=ROUNDING)


def test_the_conversation_is_the_one_the_chat_puts_before_the_model(encode, tokenizer):
    history = [{"role": "user", "content": "Oi"}, {"role": "assistant", "content": "Olá!"}]
    answer = encode("E agora?", "Agora sim.", "formal", history)
    system = {"role": "system", "content": PERSONAS["formal"].system_prompt}
    turns = [system, *history, {"role": "user", "content": "E agora?"}]
    assert answer.prompt.ids == tokenizer.encode_chat(turns, add_generation_prompt=True)
    assert tokenizer.decode(answer.ids[answer.start :]) == "Agora sim."
    assert answer.ids[-1] == tokenizer.eos_id


def test_what_does_not_fit_leaves_from_the_oldest_turns(encode):
    history = [
        {"role": role, "content": "uma fala comprida " * 20} for role in ("user", "assistant")
    ]
    short = encode("Oi?", "Olá!", None, history)
    assert short.ids == encode("Oi?", "Olá!", None).ids
    long = encode("pergunta " * 300, "resposta " * 300, "casual")
    assert len(long.ids) == encode.context and 0 < long.start < len(long.ids)


def test_batches_hold_every_answer_once(encode, monkeypatch):
    answers = [encode("Oi", "a " * size, None) for size in range(1, 30)]
    monkeypatch.setattr("src.training.preference.MAX_LOGITS", 40 * 400)
    found = list(batches_by_length(answers, 400))
    assert sorted(i for batch in found for i in batch) == list(range(len(answers)))
    assert len(found) > 1


def test_nothing_learned_costs_what_a_coin_does():
    zero = torch.zeros(3)
    assert torch.allclose(paired_loss(zero, zero, 0.3), torch.full((3,), 0.6931), atol=1e-4)
    assert unpaired_loss(zero, torch.tensor([1.0, -1.0, 1.0]), 0.3).tolist() == [0.5] * 3


def test_losses_fall_only_toward_what_the_person_prefers():
    up, down = torch.tensor([5.0]), torch.tensor([-5.0])
    one = torch.ones(1)
    assert paired_loss(up, down, 0.3) < paired_loss(down, up, 0.3)
    assert unpaired_loss(up, one, 0.3) < unpaired_loss(down, one, 0.3)
    assert unpaired_loss(down, -one, 0.3) < unpaired_loss(up, -one, 0.3)


ROWS = [("Oi, tudo bem?", "Tudo ótimo.", "Não."), ("Que horas?", "Às dez e meia.", "Sei lá, viu?")]
TRL = {"per_device_train_batch_size": 4, "report_to": [], "use_cpu": True, "bf16": False}
TRL |= {"max_length": None, "beta": 0.3, "disable_tqdm": True, "remove_unused_columns": False}


def trl_batch(trainer):
    """O primeiro lote do TRL, e a perda que ele calcula nele."""
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        return batch, float(trainer.compute_loss(trainer.model.eval(), batch))


def rewards(batch, now, before):
    """r das respostas de um lote do TRL, uma linha de cada vez, sem preenchimento: [n]."""
    found = []
    rows = zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"])
    for row, seen, spoken in rows:
        ids, answer = row[seen.bool()], spoken[seen.bool()].bool()
        scores = []
        for model in (now, before):
            with torch.no_grad():
                logps = torch.log_softmax(model(input_ids=ids[None]).logits[0], -1)
            places = [i for i in range(1, len(ids)) if answer[i]]
            scores.append(sum(float(logps[i - 1, ids[i]]) for i in places))
        found.append(scores[0] - scores[1])
    return torch.tensor(found)


@pytest.fixture(scope="module")
def two_models(tokenizer):
    return tuple(make_model(tiny_config(tokenizer), seed=seed).eval() for seed in (1, 2))


def test_the_paired_loss_is_trls_dpo(tokenizer, two_models, tmp_path):
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    now, before = two_models
    columns = dict(zip(("prompt", "chosen", "rejected"), map(list, zip(*ROWS))))
    trainer = trl.DPOTrainer(
        model=now,
        ref_model=before,
        args=trl.DPOConfig(output_dir=str(tmp_path), **TRL),
        train_dataset=datasets.Dataset.from_dict(columns),
        processing_class=tokenizer.hf,
    )
    batch, theirs = trl_batch(trainer)
    better, worse = rewards(batch, now, before).chunk(2)
    assert float(paired_loss(better, worse, 0.3).mean()) == pytest.approx(theirs, abs=1e-3)


def test_the_unpaired_loss_is_trls_apo_zero(tokenizer, two_models, tmp_path):
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    now, before = two_models
    columns = {
        "prompt": [row[0] for row in ROWS] * 2,
        "completion": [row[1] for row in ROWS] + [row[2] for row in ROWS],
        "label": [True, True, False, False],
    }
    trainer = trl.KTOTrainer(
        model=now,
        ref_model=before,
        args=trl.KTOConfig(output_dir=str(tmp_path), loss_type="apo_zero_unpaired", **TRL),
        train_dataset=datasets.Dataset.from_dict(columns),
        processing_class=tokenizer.hf,
    )
    batch, theirs = trl_batch(trainer)
    sign = torch.where(torch.as_tensor(batch["label"], dtype=torch.bool), 1.0, -1.0)
    own = unpaired_loss(rewards(batch, now, before), sign, 0.3).mean()
    assert float(own) == pytest.approx(theirs, abs=1e-3)
