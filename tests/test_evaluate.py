"""A avaliação como biblioteca: quem vence, o que se lê, o que se pergunta e o que se recusa."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from src.config.personas import PERSONAS
from src.evaluation import evaluate as evaluate_module
from src.evaluation import plots, subject
from src.evaluation.comparison import MIN_UNITS
from src.evaluation.data import EvaluationData
from src.evaluation.display import difference_rows
from src.evaluation.evaluate import (
    Contestant,
    Settings,
    evaluate,
    fertility,
    greedy_answer,
    read_by,
    sample,
)
from src.evaluation.questions import Question, questions_of
from src.evaluation.report import evaluation_page
from src.evaluation.subject import load_subject, unit_starts
from src.evaluation.text_metrics import bleu, chrf, repetition, rouge
from src.utils.documents import Document
from src.utils.errors import LunaError, ModelFormatError
from tests import evaluation_support
from tests.conftest import SENTENCES
from tests.evaluation_support import save_gpt2, save_luna

gpt2_folder, luna_folder = evaluation_support.gpt2_folder, evaluation_support.luna_folder

QUICK = Settings(quick=True)
REFERENCES = [f"a resposta número {i} fala de rios e de mares distantes" for i in range(24)]
GOOD = [text + " também" for text in REFERENCES]
BAD = ["não sei não sei não sei não sei não sei"] * 24


def conversation(index, persona="casual"):
    messages = [
        {"role": "user", "content": f"pergunta {index}?"},
        {"role": "assistant", "content": REFERENCES[index]},
    ]
    return Document("x", f"c:{index}", messages=messages, persona=persona)


def data_of(count=24):
    """``count`` conversas e ``count`` perguntas, com as respostas de ``REFERENCES``."""
    data = EvaluationData()
    for index in range(count):
        document = conversation(index)
        data.add(document, "conversations")
        data.turns += questions_of(document)
        data.questions.append(
            Question(f"pergunta {index}?", [REFERENCES[index]], expected=["rios"], refused=["não"])
        )
    return data


def scripted(model, answers):
    """Um concorrente que responde o combinado a "pergunta N?"."""
    return Contestant(model, lambda question: answers[int(question.split()[1].strip("?"))])


def compared(model, first, second, count=24):
    contestants = [scripted(model, answers) for answers in (first, second)]
    return evaluate(contestants, data_of(count), QUICK).result


# ---------------------------------------------------------------------- quem vence


def test_every_difference_is_the_first_minus_the_second(luna_folder):
    result = compared(load_subject(luna_folder), GOOD, BAD)
    rows = {row["metric"]: row for row in result["differences"]}
    expected = {
        "answers.bleu": bleu(GOOD, REFERENCES).estimate.value
        - bleu(BAD, REFERENCES).estimate.value,
        "answers.chrf": chrf(GOOD, REFERENCES).estimate.value
        - chrf(BAD, REFERENCES).estimate.value,
        "answers.repetition": -repetition(BAD[0]),
        "questions.exact": 0.0,
        "questions.contains": 1.0,
        "questions.acceptable": 0.0,  # nenhuma termina como frase
        "bits_per_byte.all": 0.0,
    }
    for kind in ("rouge1", "rouge2", "rougeL"):
        good, bad = (np.mean(rouge(side, REFERENCES)[kind]) for side in (GOOD, BAD))
        expected[f"answers.{kind}"] = good - bad
    for metric, value in expected.items():
        assert rows[metric]["value"] == pytest.approx(value), metric
    assert rows["questions.f1"]["value"] > 0.8


@pytest.mark.parametrize("swapped", [False, True])
def test_the_better_one_wins_each_measure_in_whatever_order(luna_folder, swapped):
    sides = [BAD, GOOD] if swapped else [GOOD, BAD]
    result = compared(load_subject(luna_folder), *sides)
    winners = {row["metric"]: row["winner"] for row in result["differences"]}
    better = 2 if swapped else 1
    decided = "bleu chrf rouge1 rouge2 rougeL repetition".split()
    assert all(winners[f"answers.{name}"] == better for name in decided)
    assert winners["questions.f1"] == winners["questions.contains"] == better
    for metric in ("questions.exact", "questions.acceptable", "bits_per_byte.all"):
        assert winners[metric] is None  # iguais
    names = ["A", "B"]
    shown = {row["label"]: row["winner"] for row in difference_rows(result, names)}
    assert (
        shown["BLEU, conversas ↑"] == names[better - 1] and shown["exatas, perguntas ↑"] == "empate"
    )


def test_fewer_bits_win(tmp_path, tokenizer):
    plain = load_subject(save_luna(tmp_path / "a", tokenizer))
    noisy = load_subject(save_luna(tmp_path / "b", tokenizer))
    with torch.no_grad():  # pesos dez vezes maiores: certezas erradas
        noisy.model.get_input_embeddings().weight.mul_(10)
    contestants = [scripted(model, GOOD) for model in (plain, noisy)]
    rows = evaluate(contestants, data_of(), QUICK).result["differences"]
    (found,) = [row for row in rows if row["metric"] == "bits_per_byte.all"]
    assert found["value"] < 0 and found["winner"] == 1


def test_few_units_name_no_winner_however_different(luna_folder):
    result = compared(load_subject(luna_folder), GOOD, BAD, count=MIN_UNITS - 1)
    assert all(row["winner"] is None for row in result["differences"])
    (shown,) = {row["winner"] for row in difference_rows(result, ["A", "B"])}
    assert shown == f"só {MIN_UNITS - 1}: não se diz"


def test_equal_models_rarely_differ_beyond_chance():
    """O limite existe porque com poucas unidades o intervalo por reamostragem é estreito demais."""
    from src.evaluation.intervals import mean_difference

    generator = np.random.default_rng(0)

    def false_alarms(units):
        noise = generator.normal(0, 1, (100, units))
        return sum(mean_difference(values, np.zeros(units)).excludes_zero for values in noise)

    assert false_alarms(2) > 25 > 15 > false_alarms(MIN_UNITS)


# ---------------------------------------------------------------------- o que se lê


def test_conversations_are_read_with_their_persona(luna_folder):
    model, data = load_subject(luna_folder), EvaluationData()
    data.add(conversation(0, "formal"), "conversations")
    found = read_by(model, data)["all"].total()
    other = EvaluationData()
    messages = [{"role": "system", "content": PERSONAS["formal"].system_prompt}]
    messages += data.documents[0].messages
    other.add(Document("x", messages=messages), "conversations")
    assert found == read_by(model, other)["all"].total()
    other.documents[0] = conversation(0, "tecnico")
    assert found != read_by(model, other)["all"].total()


def test_tokens_belong_to_the_unit_in_which_they_begin(luna_folder, monkeypatch):
    model = load_subject(luna_folder)
    text = "\n".join(SENTENCES * 30)
    ids, starts = model.encode(text)
    bounds = [*unit_starts(text), len(text)]
    monkeypatch.setattr(subject, "BLOCK_CHARS", 500)  # em muitas partes
    encoded = model.text(text)
    assert encoded.ids[1:].tolist() == ids
    for unit, start in zip(encoded.unit[1:].tolist(), starts):
        assert bounds[unit] <= start < bounds[unit + 1]


def test_fertility_counts_words_tokens_and_bytes(luna_folder):
    model = load_subject(luna_folder)
    texts = ["três palavras aqui", "ção"]
    tokens = sum(len(model.encode(text)[0]) for text in texts)
    found = fertility(model, texts)
    assert found["tokens"] == tokens and found["tokens_per_word"] == tokens / 4
    size = len("três palavras aquição".encode())
    assert found["bytes_per_token"] == size / tokens


def test_nan_weights_are_told(luna_folder):
    model, data = load_subject(luna_folder), EvaluationData()
    data.add(Document(SENTENCES[0]), "texts")
    with torch.no_grad():
        model.model.get_input_embeddings().weight.fill_(math.nan)
    with pytest.raises(LunaError, match="NaN"):
        read_by(model, data)


def test_the_start_token_comes_before_the_end_token(tmp_path, tokenizer):
    folder = save_gpt2(tmp_path / "m", tokenizer)
    loaded = PreTrainedTokenizerFast.from_pretrained(folder)
    assert load_subject(folder).prefix_id == tokenizer.eos_id  # sem início, vale o fim
    loaded.bos_token = tokenizer.user_token
    loaded.save_pretrained(folder)
    assert load_subject(folder).prefix_id == tokenizer.user_id


# ---------------------------------------------------------------------- modelos que não servem


def word_level(folder):
    """Um tokenizador de seis palavras: o resto vira [UNK]."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "<s>", "a", "o", "de", "rio"]
    encoder = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    encoder.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=encoder, unk_token="[UNK]", bos_token="<s>", eos_token="<s>"
    )


def test_a_tokenizer_that_loses_text_is_told_and_never_wins(tmp_path, tokenizer, caplog):
    luna = load_subject(save_luna(tmp_path / "luna", tokenizer))
    folder = save_gpt2(tmp_path / "unk", tokenizer)
    word_level(folder).save_pretrained(folder)
    lossy = load_subject(folder)
    assert luna.is_lossless(SENTENCES) and not lossy.is_lossless(SENTENCES)
    found = evaluate([scripted(lossy, GOOD), scripted(luna, GOOD)], data_of(), QUICK).result
    assert found["tokenizer"]["lossless"] is False
    assert found["compare"]["tokenizer"]["lossless"] is True
    (row,) = [r for r in found["differences"] if r["metric"] == "bits_per_byte.all"]
    assert row["value"] < 0 and row["high"] < 0 and row["winner"] is None
    assert "não devolve o texto" in caplog.text


def test_a_model_that_looks_ahead_is_refused(tmp_path, tokenizer):
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.3,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    with pytest.raises(ModelFormatError, match="não é causal"):
        load_subject(tmp_path)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path, tokenizer):
    from transformers import GPT2Config, GPT2LMHeadModel

    small = GPT2Config(vocab_size=50, n_positions=32, n_embd=8, n_layer=1, n_head=1)
    GPT2LMHeadModel(small).save_pretrained(tmp_path)
    tokenizer.hf.save_pretrained(tmp_path)
    with pytest.raises(ModelFormatError, match="modelos diferentes"):
        load_subject(tmp_path)


def test_a_context_too_short_to_measure_is_refused(tmp_path, tokenizer):
    with pytest.raises(ModelFormatError, match="contexto de 2 tokens"):
        load_subject(save_gpt2(tmp_path / "m", tokenizer, n_positions=2))


@pytest.mark.parametrize("broken", ['"doze"', "{}", "null"])
def test_a_config_that_makes_no_sense_is_told_briefly(gpt2_folder, broken):
    path = gpt2_folder / "config.json"
    text = path.read_text("utf-8").replace('"n_layer": 2', f'"n_layer": {broken}')
    path.write_text(text, "utf-8")
    with pytest.raises(ModelFormatError, match="não abriu") as failure:
        load_subject(gpt2_folder)
    assert len(str(failure.value)) < 500 and "\n" not in str(failure.value)


def test_code_of_the_folder_is_never_trusted(gpt2_folder, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    seen = []
    for kind in (AutoModelForCausalLM, AutoTokenizer):
        real = kind.from_pretrained

        def spy(*args, real=real, **options):
            seen.append(options)
            return real(*args, **options)

        monkeypatch.setattr(kind, "from_pretrained", spy)
    load_subject(gpt2_folder)
    assert len(seen) == 2
    assert all(o["trust_remote_code"] is False and o["local_files_only"] for o in seen)


# ---------------------------------------------------------------------- respostas de um modelo


def generated(model, monkeypatch, text):
    """Troca a geração por uma que diz ``text``; devolve o que ``generate`` recebeu."""
    seen = {}

    def fake(inputs, **options):
        seen.update(options, ids=inputs[0].tolist())
        return torch.cat([inputs, torch.tensor([model.encode(text)[0]])], dim=1)

    monkeypatch.setattr(model.model, "generate", fake)
    return seen


@pytest.mark.parametrize("kind", ["gpt2", "luna"])
def test_the_question_is_what_the_model_continues(kind, tmp_path, tokenizer, monkeypatch):
    save = save_gpt2 if kind == "gpt2" else save_luna
    options = {} if kind == "gpt2" else {"n_positions": 256}
    model = load_subject(save(tmp_path / "m", tokenizer, **options))
    seen = generated(model, monkeypatch, " Corre para o mar.")
    question = Question("E o rio?", history=[{"role": "user", "content": "Oi"}])
    assert greedy_answer(model, 10)(question) == "Corre para o mar."
    assert seen["ids"] == model.prompt(question.messages)
    assert seen["max_new_tokens"] == 10 and seen["do_sample"] is False
    assert seen["eos_token_id"] == model.stop_ids and tokenizer.eos_id in model.stop_ids


def test_a_long_prompt_keeps_its_start_and_its_end(tmp_path, tokenizer, monkeypatch):
    model = load_subject(save_gpt2(tmp_path / "m", tokenizer, n_positions=64))
    seen = generated(model, monkeypatch, " sim")
    question = Question("palavra " * 60 + "final?")
    greedy_answer(model)(question)
    whole = model.prompt(question.messages)
    assert len(seen["ids"]) == 32  # metade do contexto fica para a resposta
    assert seen["ids"] == [whole[0], *whole[-31:]] and seen["max_new_tokens"] == 32


def test_a_plain_answer_stops_at_the_first_turn_it_invents(gpt2_folder):
    model = load_subject(gpt2_folder)
    ids = model.encode(" um\nUsuário: dois\nLuna: três")[0]
    assert model.answer(ids) == "um"


def test_a_sample_of_questions_is_spread_and_always_the_same():
    questions = [Question(str(i), ["x"]) for i in range(100)]
    chosen = sample(questions, 10)
    assert chosen == sample(questions, 10) and len(set(chosen)) == 10
    places = [int(item) for item in chosen]
    assert places == sorted(places) and places[-1] > 50
    assert sample(questions, 100) == questions


def test_the_page_shows_scores_from_zero_to_a_hundred(luna_folder, monkeypatch):
    seen = []
    real = plots.bars
    monkeypatch.setattr(plots, "bars", lambda g, *rest: seen.append(g) or real(g, *rest))
    evaluation = evaluate([scripted(load_subject(luna_folder), GOOD)], data_of(), QUICK)
    evaluation.result.update(date="d", data=[], warnings=[], machine_line="m")
    evaluation_page(evaluation)
    likelihood, answers, questions = (next(iter(groups.values())) for groups in seen)
    found = evaluation.result
    assert answers["BLEU"].value == found["answers"]["bleu"]["value"]
    assert answers["ROUGE-1"].value == 100 * found["answers"]["rouge1"]["value"]
    assert questions["contêm a esperada"].value == 100.0
    assert likelihood["tudo" if "tudo" in likelihood else "respostas das conversas"].value == (
        pytest.approx(found["bits_per_byte"])
    )


def test_the_window_is_checked_before_any_work(luna_folder, monkeypatch):
    monkeypatch.setattr(evaluate_module, "score", lambda *_: pytest.fail("mediu"))
    contestant = scripted(load_subject(luna_folder), GOOD)
    with pytest.raises(LunaError, match="--window 500"):
        evaluate([contestant], data_of(2), Settings(window=500))


def test_the_folder_of_the_model_is_only_read(luna_folder):
    before = {path: path.read_bytes() for path in Path(luna_folder).rglob("*") if path.is_file()}
    evaluate([scripted(load_subject(luna_folder), GOOD)], data_of(2), QUICK)
    after = {path: path.read_bytes() for path in Path(luna_folder).rglob("*") if path.is_file()}
    assert before == after
