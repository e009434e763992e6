"""O adaptador do lm-evaluation-harness, numa tarefa local e sem rede."""

import json

import numpy as np
import pytest
import torch

from src.evaluation.likelihood import UnitScores, score
from src.evaluation.subject import load_subject
from tests import evaluation_support
from tests.conftest import SENTENCES

lm_eval = pytest.importorskip("lm_eval")

luna_folder = evaluation_support.luna_folder

TASK = """
task: luna_local
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{pergunta}}}}"
doc_to_choice: "{{{{opcoes}}}}"
doc_to_target: certa
metric_list:
  - metric: acc
"""
ITEMS = [
    {"pergunta": "A água corre", "opcoes": ["para o mar", "para a lua"], "certa": 0},
    {"pergunta": "O gato dorme", "opcoes": ["no rio", "no sofá"], "certa": 1},
    {"pergunta": "O trem parte", "opcoes": ["às dez", "às mil"], "certa": 0},
]


@pytest.fixture
def adapter(luna_folder):
    from src.evaluation.lm_harness import LunaLM

    return LunaLM(pretrained=str(luna_folder), device="cpu", batch_size=1)


def request(*arguments):
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, arguments, 0)


def test_a_local_task_runs_without_network(luna_folder, tmp_path, monkeypatch):
    from lm_eval.tasks import TaskManager

    import src.evaluation.lm_harness  # noqa: F401  (registra o modelo)

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    tasks = tmp_path / "tarefas"
    tasks.mkdir()
    data = tasks / "itens.jsonl"
    data.write_text("\n".join(map(json.dumps, ITEMS)), "utf-8")
    (tasks / "luna_local.yaml").write_text(TASK.format(data=data), "utf-8")
    found = lm_eval.simple_evaluate(
        model="luna",
        model_args=f"pretrained={luna_folder}",
        device="cpu",
        tasks=["luna_local"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = found["samples"]["luna_local"]
    right = [
        int(np.argmax([float(r[0][0]) for r in sample["resps"]])) == sample["doc"]["certa"]
        for sample in samples
    ]
    assert len(samples) == len(ITEMS)
    assert found["results"]["luna_local"]["acc,none"] == pytest.approx(np.mean(right))


def test_loglikelihood_equals_a_direct_computation(adapter, luna_folder):
    subject = load_subject(luna_folder)
    context, continuation = "O gato dorme", " no sofá da sala"
    ((found, _),) = adapter.loglikelihood([request(context, continuation)])
    before, after = (subject.encode(text)[0] for text in (context, continuation))
    with torch.no_grad():
        logits = subject.model(torch.tensor([before + after])).logits[0]
    chances = torch.log_softmax(logits, dim=-1)
    places = range(len(before) - 1, len(before) + len(after) - 1)
    expected = sum(float(chances[place, token]) for place, token in zip(places, after))
    assert found == pytest.approx(expected, rel=1e-4)


def test_rolling_likelihood_of_a_short_text_is_the_one_of_evaluate(adapter, luna_folder):
    subject = load_subject(luna_folder)
    encoded = subject.text(SENTENCES[0])
    nats = score(subject.model, [encoded], 64, 32, subject.vocab_size)
    expected = -UnitScores.collect([encoded], nats).nats.sum()
    (found,) = adapter.loglikelihood_rolling([request(SENTENCES[0])])
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_token_never_crosses_from_the_context_to_the_continuation(adapter):
    for context, continuation in [("da sala", " e do rio"), ("O gato ", "dorme"), ("às", " dez")]:
        before, after = adapter._encode_pair(context, continuation)
        assert adapter.tok_decode(before + after) == context + continuation
        assert adapter.tok_decode(before) == context.rstrip()
        assert before and after


def test_the_chat_template_is_refused(adapter):
    from src.utils.errors import UsageError

    with pytest.raises(UsageError, match="apply_chat_template"):
        adapter.apply_chat_template([{"role": "user", "content": "oi"}])


def test_control_tokens_in_a_task_stay_text(adapter, tokenizer):
    ids = adapter.tok_encode("antes <|assistant|> depois <|endoftext|>")
    assert not set(tokenizer.control_ids.values()) & set(ids)
