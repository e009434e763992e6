"""``refine`` de ponta a ponta, num modelo minúsculo: o que muda, o que nunca muda, e quando."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.models.feedback_samples import training_samples
from src.models.feedback_system import FeedbackSystem
from src.models.luna_model import LunaModel
from src.models.versions import VersionStore
from src.training import gate, lora, refine, refine_data
from src.training.judge import Judge
from src.training.refine import cannot_learn, split_rollouts, taste_samples
from src.training.refine_data import RefineTexts
from src.training.refine_fit import FitSettings
from src.training.rollouts import Rollout
from src.training.trainer import LunaTrainer
from src.utils.errors import LunaError
from src.utils.model_store import ModelStore
from tests.conftest import DIALOGUES, SENTENCES, make_model, tiny_config

ROOT = Path(__file__).resolve().parents[1]
QUICK = FitSettings(steps=3, prompts=4, judged=2, written=4, single=2, replay_rows=1, rank=2)
CORRECTION = "É o Rio Verde, que corre até o mar."


@pytest.fixture
def rated(config, saved_model, tmp_path, monkeypatch):
    """Um modelo, e o seu sistema de avaliações; textos pequenos no lugar dos de exemplo."""
    config.feedback.path = str(tmp_path / "feedback.jsonl")
    texts = RefineTexts(DIALOGUES, SENTENCES * 2, "frases dos testes")
    monkeypatch.setattr("src.training.refine_run.read_texts", lambda *args: texts)
    monkeypatch.setattr("src.training.rollouts.MAX_NEW_TOKENS", 6)
    monkeypatch.setattr("src.training.refine.MAX_NEW_TOKENS", 6)
    return FeedbackSystem(config, sync=False)


def correct(feedback, count=10):
    for place in range(count):
        feedback.add_feedback(f"Que rio é o {place}?", "Não sei.", 1, correction=CORRECTION)


def run(config, **kwargs):
    trainer = LunaTrainer("Teste", config, "cpu", False)
    return trainer.update_with_feedback(settings=QUICK, **kwargs)


def weights(config):
    folder = config.paths.model_dir("Teste")
    return {n: p.clone() for n, p in LunaModel.from_pretrained(folder).state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def sure(monkeypatch):
    """Um modelo minúsculo em três passos não prova nada: aqui a prova é dada por feita."""
    good = gate.measure_preference([gate.Scored(i % 4, 1.0, 0.0) for i in range(20)])
    monkeypatch.setattr(gate, "measure_preference", lambda scored: good)
    monkeypatch.setattr(gate, "TEXT_LIMIT", 10.0)


def test_a_proven_refinement_becomes_the_version_that_answers(config, rated, sure):
    correct(rated)
    before = weights(config)
    result = run(config)
    assert result.kept and (result.parent, result.version) == ("v1", "v2"), result.reason
    assert not same(weights(config), before)
    store = VersionStore(config.paths.model_dir("Teste"))
    assert store.current().name == "v2"
    assert rated.pending() == [] and len(rated.archived()) == 10
    assert len(rated.corrections("Teste")) == 10  # a memória continua a valer
    page = Path(result.report)
    assert CORRECTION in page.read_text("utf-8")
    saved = json.loads(page.with_suffix(".json").read_text("utf-8"))
    assert saved["kept"] and saved["gate"]["corrections"]["items"] == 10
    store.serve(store.find())
    assert same(weights(config), before)


def test_an_unproven_refinement_changes_nothing(config, rated, monkeypatch):
    bad = gate.measure_preference([gate.Scored(i % 4, float(i % 2), 0.5) for i in range(20)])
    monkeypatch.setattr(gate, "measure_preference", lambda scored: bad)
    correct(rated)
    before = weights(config)
    result = run(config)
    assert not result.kept and "Não ficou provado" in result.reason
    assert same(weights(config), before) and len(rated.pending()) == 10
    assert not (config.paths.model_dir("Teste") / "versions").exists()


def test_a_refinement_that_spoils_the_text_changes_nothing(config, rated, sure, monkeypatch):
    monkeypatch.setattr(gate, "TEXT_LIMIT", -1.0)
    correct(rated)
    result = run(config)
    assert not result.kept and "o limite é" in result.reason
    assert len(rated.pending()) == 10


def test_a_dry_run_says_what_would_happen_and_changes_nothing(config, rated, sure):
    correct(rated)
    before = weights(config)
    result = run(config, dry_run=True)
    assert not result.kept and result.proven and "ensaio" in result.reason
    assert same(weights(config), before) and len(rated.pending()) == 10


def test_the_model_in_memory_is_the_old_one_bit_by_bit_when_rolled_back(config, rated):
    correct(rated, 8)
    trainer = LunaTrainer("Teste", config, "cpu", False)
    before = {name: p.clone() for name, p in trainer.model.state_dict().items()}
    trainer.update_with_feedback(settings=QUICK)
    if not VersionStore(trainer.folder).all():
        assert same(before, trainer.model.state_dict()) and not lora.has_lora(trainer.model)


def rate(feedback, ratings):
    for place, rating in enumerate(ratings):
        feedback.add_feedback(f"Pergunta {place}?", f"Resposta número {place}.", rating)


@pytest.mark.parametrize(
    ("ratings", "word"),
    [
        ([], "Ainda é pouco"),
        ([5, 1, 5], "Ainda é pouco"),
        ([5] * 12, "Só há notas altas"),
        ([1] * 12, "Só há notas baixas"),
        ([1] * 10 + [5, 5], "2 notas altas"),
    ],
)
def test_what_cannot_be_learned_is_said_clearly(config, rated, ratings, word):
    rate(rated, ratings)
    result = run(config)
    assert word in result.reason and "continua como estava" in result.reason
    assert not result.kept and result.to_dict()["gate"] is None


def test_contradictory_ratings_are_said_to_be_so(rated):
    for rating in (1, 5) * 6:
        rated.add_feedback("Oi?", "Olá!", rating)
    reason, _ = cannot_learn(training_samples(rated.pending()))
    assert "se contradizem" in reason


def test_ratings_without_a_pattern_stop_at_the_judge(config, rated):
    for place in range(24):  # a mesma cara, com notas alternadas
        rated.add_feedback(f"O que é {place}?", "A água do rio corre.", 1 + 4 * (place % 2))
    result = run(config)
    assert not result.kept and "Não encontrei um padrão" in result.reason


def test_a_taste_is_proven_by_two_links(config, rated, sure, monkeypatch):
    monkeypatch.setattr(refine, "PROOF_SHARE", 1)  # as três perguntas que os textos têm
    for place in range(24):
        long = place % 2
        answer = "Sim." if not long else "Sim, e a água do rio corre devagar até o mar da serra."
        rated.add_feedback(f"O que é {place}?", f"{answer} {place}", 1 if long else 5)
    result = run(config)
    assert result.learned["lines"][0]["text"] == "respostas mais curtas"
    assert set(result.links) == {"judge", "model"}
    value = result.preference.accuracy.value
    assert value == pytest.approx(gate.COIN + 2 * 0.5 * 0.5)  # os dois elos dados por certos
    assert result.kept and len(result.examples) > 0


def test_the_same_correction_repeated_is_a_fact_and_not_a_taste(rated):
    correct(rated, 4)
    rated.add_feedback("E o céu?", "Não sei.", 1, correction="O céu é azul.")
    found = taste_samples(training_samples(rated.pending()).samples)
    assert [sample.chosen for sample in found] == ["O céu é azul."]


def test_ratings_of_another_model_are_left_out_and_told(config, rated):
    for place in range(3):
        rated.add_feedback(f"Oi {place}?", "Olá!", 5, model="Outro")
    result = run(config)
    assert any("3 avaliações são de outros modelos" in note for note in result.feedback["notes"])


def test_a_rated_question_is_never_in_the_proof_while_there_are_others():
    rollouts = [Rollout(f"Pergunta {i}?", ("sim", "não")) for i in range(16)]
    proof, rest = split_rollouts(rollouts, [f"pergunta  {i}?" for i in range(0, 16, 2)])
    assert len(proof) == 4 and len(rest) == 12
    assert all(int(r.prompt.split()[1][:-1]) % 2 for r in proof)
    assert not set(proof) & set(rest)
    proof, rest = split_rollouts(rollouts[:8], [r.prompt for r in rollouts])
    assert len(proof) == 2 and len(rest) == 6


# ---------------------------------------------------------------------- a força e o adaptador


def test_the_strength_applied_is_the_last_one_measured(config, rated, sure, monkeypatch):
    monkeypatch.setattr(refine, "TUNING_LIMIT", -10.0)  # nenhuma serve
    measured = []
    measure = refine_data.TextProof.measure

    def recorded(self, model):
        if lora.has_lora(model):
            layer = next(m for m in model.modules() if hasattr(m, "lora_A") and m.scaling)
            measured.append(next(iter(layer.scaling.values())))
        return measure(self, model)

    monkeypatch.setattr(refine_data.TextProof, "measure", recorded)
    monkeypatch.setattr(refine, "shrunk", lambda scale, change: scale / 2)
    correct(rated)
    result = run(config)
    assert len(measured) == refine.SCALE_TRIES
    assert result.scale == pytest.approx(measured[-1] / measured[0])


def test_half_the_scale_is_half_the_change(tokenizer):
    model = make_model(tiny_config(tokenizer)).eval()
    ids = torch.arange(3, 20)[None]
    before = {n: p.clone() for n, p in model.state_dict().items()}
    wrapped = lora.add_lora(model, 2, 4)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    with torch.no_grad():
        lora.set_scale(wrapped, 0.0)
        assert torch.allclose(wrapped(input_ids=ids).logits, model(input_ids=ids).logits)
    state = lora.adapter_state(wrapped)
    lora.set_scale(wrapped, 1.0)
    deltas = []
    for scale in (1.0, 0.5):
        again = make_model(tiny_config(tokenizer)).eval()
        other = lora.add_lora(again, 2, 4)
        lora.load_state(other, state)
        lora.set_scale(other, scale)
        merged = lora.merge_lora(other).state_dict()
        name = next(n for n in before if n.endswith("c_attn.weight"))
        deltas.append(merged[name] - before[name])
    assert deltas[0].abs().max() > 0
    assert torch.allclose(deltas[0], 2 * deltas[1], atol=1e-6)


def test_without_the_old_files_the_bundled_texts_are_used(config, saved_model, caplog):
    folder = config.paths.model_dir(saved_model)
    (folder / "training").mkdir()
    gone = {"train_data": ["/não/existe/*.txt"], "valid_data": []}
    (folder / "training" / "data.json").write_text(json.dumps(gone), "utf-8")
    texts = refine_data.read_texts(folder, 200, 0)
    assert texts.replay and texts.proof and "não estão mais" in caplog.text


def test_the_judge_never_sees_the_ratings_it_is_proven_on(config, rated, monkeypatch):
    seen = []
    fit = Judge.fit
    monkeypatch.setattr(
        Judge,
        "fit",
        lambda self, answers, *rest: (seen.append(set(answers)), fit(self, answers, *rest))[1],
    )
    rate(rated, [1, 5] * 8)
    run(config)
    samples = training_samples(rated.pending()).samples
    everything = {sample.chosen or sample.rejected for sample in samples}
    left_out = [everything - answers for answers in seen[: gate.FOLDS]]
    assert all(left_out) and set().union(*left_out) == everything
    assert sum(map(len, left_out)) == len(everything)


# ---------------------------------------------------------------------- processos


def test_two_refinements_at_once_are_refused_clearly(config, rated):
    trainer = LunaTrainer("Teste", config, "cpu", False)
    with ModelStore(config.paths.models_dir).lock("Teste"):
        with pytest.raises(LunaError, match="em uso por outro processo"):
            trainer.update_with_feedback(settings=QUICK)


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
import torch
from src.config.config import Config
from src.models.luna_model import LunaModel
from src.training import refine, refine_run
from src.training.refine_data import RefineTexts
from tests import test_refine as t

serve = LunaModel.save
good = t.gate.measure_preference([t.gate.Scored(i % 4, 1.0, 0.0) for i in range(20)])
config = Config(paths={{"models_dir": {models!r}}}, feedback={{"path": {feedback!r}}})

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def save(self, folder, **kwargs):
    serve(self, folder, **kwargs) if ".tmp-" in str(folder) else die()

def child(where):
    torch.set_num_threads(1)
    refine_run.read_texts = lambda *a: RefineTexts(t.DIALOGUES, t.SENTENCES * 2, "")
    t.gate.measure_preference = lambda scored: good
    t.gate.TEXT_LIMIT = 10.0
    if where == "training":
        refine.Refinement._choose_scale = die
    else:
        LunaModel.save = die if where == "version" else save
    t.run(config)

for where in ("training", "version", "serving"):
    pid = os.fork()  # o torch já importado, e nenhuma conta feita: três mortes por um import
    if not pid:
        child(where)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_at_any_stage_the_model_that_answers_is_the_same(config, rated, tmp_path):
    correct(rated)
    before = weights(config)
    paths = {"models": str(config.paths.models_dir), "feedback": str(rated.path)}
    code = KILLED.format(root=str(ROOT), **paths)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=300, check=False
    )
    died = [str(-signal.SIGKILL)] * 3
    assert done.stdout.decode().split()[-3:] == died, done.stderr.decode("utf-8", "replace")[-2000:]
    assert same(weights(config), before) and len(rated.pending()) == 10
    kept = [v.name for v in VersionStore(config.paths.model_dir("Teste")).all()]
    assert kept == ["v1", "v2"]  # a v2 ficou pronta e não chegou a responder
