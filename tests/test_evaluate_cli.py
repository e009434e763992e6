"""``evaluate`` e ``benchmark`` como a pessoa os usa."""

import json
import math
import re

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from src.cli import benchmark as benchmark_command
from src.evaluation import evaluate as evaluate_module
from src.evaluation.history import read
from src.models.tokenizer import LunaTokenizer
from tests import cli_support, evaluation_support
from tests.conftest import SENTENCES
from tests.evaluation_support import save_gpt2
from tests.test_likelihood import direct_nats

luna, journey, trained = cli_support.luna, cli_support.journey, cli_support.trained
gpt2_folder = evaluation_support.gpt2_folder

PROSE = " ".join(SENTENCES)
DIALOGUE = "Usuário: Oi, tudo bem?\nLuna: Tudo ótimo, e você?\n\nUsuário: E o rio?\nLuna: Corre.\n"
QUESTIONS = [
    {"pergunta": "O que corre no rio?", "resposta": "a água"},
    {"pergunta": "Qual é o seu nome?", "esperado": ["Luna"], "persona": "formal"},
]
QUICK = ["--quick", "--max_answers", "2"]


@pytest.fixture
def files(luna):
    """Um arquivo de cada tipo na casa do teste."""
    lines = "\n".join(json.dumps(item, ensure_ascii=False) for item in QUESTIONS)
    return [
        luna.write("prosa.txt", PROSE),
        luna.write("conversa.txt", DIALOGUE),
        luna.write("perguntas.jsonl", lines),
    ]


# ---------------------------------------------------------------------- evaluate


def test_everything_is_measured_and_shown(trained, files):
    done = trained("evaluate", "--model", "Luna", "--data", *files, *QUICK)
    assert done.code == 0, done.err
    for label in (
        "bits por byte, tudo ↓",
        "bits por byte, textos ↓",
        "bits por byte, respostas das conversas ↓",
        "perplexidade",
        "conversas: BLEU ↑",
        "conversas: chrF ↑",
        "conversas: ROUGE-L ↑",
        "conversas: repetição ↓",
        "conversas: respostas vazias",
        "perguntas: exatas (de 1) ↑",
        "perguntas: F1 (de 1) ↑",
        "perguntas: aceitáveis (de 1) ↑",
        "primeiro token, ms (p50 / p95) ↓",
        "por token, ms (p50 / p95) ↓",
        "tokens por palavra",
        "menos é melhor",
    ):
        assert label in done.out, label
    assert "perguntas.jsonl: 2 perguntas." in done.err
    (report,) = (trained.home / "logs" / "evaluation").iterdir()
    assert str(report) in done.err and report.suffix == ".html"


def test_json_is_one_object_with_the_agreed_fields(trained, files):
    done = trained("evaluate", "--model", "Luna", "--data", *files, *QUICK, "--json")
    found = done.json
    assert {"bits_per_byte", "perplexity", "tokens", "bytes"} <= set(found)
    groups = found["likelihood"]
    assert set(groups) == {"all", "texts", "conversations", "questions"}
    parts = [groups[name] for name in ("texts", "conversations", "questions")]
    assert found["bytes"] == sum(part["bytes"] for part in parts)
    assert found["tokens"] == sum(part["tokens"] for part in parts)
    assert groups["texts"]["bytes"] == len(PROSE.encode("utf-8"))
    assert groups["conversations"]["bytes"] == len("Tudo ótimo, e você?Corre.".encode())
    assert groups["questions"]["bytes"] == len("a água".encode())
    assert groups["all"]["bits_per_byte"] == found["bits_per_byte"]
    for part in groups.values():  # o que se mostra é o do intervalo
        assert part["interval"]["value"] == pytest.approx(part["bits_per_byte"])
    assert found["answers"]["count"] == 2 and found["questions"]["count"] == 2
    assert found["questions"]["acceptable"]["count"] == found["questions"]["exact"]["count"] == 1
    assert found["protocol"]["window"] == 96 and found["protocol"]["stride"] == 48
    assert found["memory"] is None and found["latency"]["prompts"] == 5
    assert [len(found["samples"][name]) for name in ("questions", "answers")] == [2, 2]
    assert found["samples"]["questions"][1]["persona"] == "formal"
    assert found["samples"]["answers"][1]["history"][0]["content"] == "Oi, tudo bem?"


def test_plain_gpt2_folder_equals_a_direct_computation(luna, gpt2_folder):
    data = luna.write("prosa.txt", PROSE + "\n")
    argv = ["evaluate", "--model", gpt2_folder, "--data", data, "--quick", "--json"]
    found = luna(*argv, "--window", "64").json
    tokenizer = AutoTokenizer.from_pretrained(gpt2_folder)
    model = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    ids = [tokenizer.eos_token_id, *tokenizer(PROSE, add_special_tokens=False).input_ids]
    nats = direct_nats(model, ids, 64, 32)
    assert (found["tokens"], found["bytes"]) == (len(ids) - 1, len(PROSE.encode("utf-8")))
    assert found["perplexity"] == pytest.approx(math.exp(nats / (len(ids) - 1)), rel=1e-4)
    bits = nats / math.log(2) / found["bytes"]
    assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-4)


def test_two_models_are_compared_on_the_same_things(trained, files):
    same_tokens = LunaTokenizer().load(trained.models / "Luna" / "tokenizer")
    other = save_gpt2(trained.home / "outro", same_tokens)
    argv = ["evaluate", "--model", "Luna", "--compare", other, "--data", *files, *QUICK]
    found = trained(*argv, "--json").json
    assert found["compare"]["model"] == "outro"
    assert found["compare"]["bytes"] == found["bytes"]
    rows = {row["metric"]: row for row in found["differences"]}
    assert {"bits_per_byte.all", "answers.bleu", "answers.rougeL", "questions.f1"} <= set(rows)
    gap = found["bits_per_byte"] - found["compare"]["bits_per_byte"]
    assert rows["bits_per_byte.all"]["value"] == pytest.approx(gap)
    assert gap < 0  # o outro tem pesos ao acaso; mas com quatro textos não se diz quem venceu
    assert all(row["winner"] is None and row["units"] < 20 for row in rows.values())
    shown = trained(*argv)
    assert "Luna menos outro" in shown.out and "não se diz" in shown.out


def test_a_model_against_itself_has_no_winner(trained, files):
    argv = ["evaluate", "--model", "Luna", "--compare", "Luna", "--data", *files, *QUICK]
    found = trained(*argv, "--json").json
    assert all(row["winner"] is None and row["value"] == 0 for row in found["differences"])
    assert "Luna (1) menos Luna (2)" in trained(*argv).out


def test_window_and_stride_are_obeyed(luna, gpt2_folder):
    data = luna.write("prosa.txt", PROSE)
    argv = ["evaluate", "--model", gpt2_folder, "--data", data, "--quick", "--json"]
    found = luna(*argv, "--window", "16", "--stride", "4").json
    assert (found["protocol"]["window"], found["protocol"]["stride"]) == (16, 4)
    assert found["bits_per_byte"] != luna(*argv).json["bits_per_byte"]


def test_files_used_in_training_are_pointed_out(trained):
    data = str(trained.home / "texto.txt")
    copied = trained.write("outro-nome.txt", (trained.home / "texto.txt").read_bytes())
    fresh = trained.write("novo.txt", PROSE)
    manifest = trained.models / "Luna" / "training" / "manifest.json"
    assert len(json.loads(manifest.read_text("utf-8"))["files"]) == 1
    for path, warned in ((data, True), (copied, True), (fresh, False)):
        done = trained("evaluate", "--model", "Luna", "--data", path, *QUICK, "--json")
        assert ("treinou com" in done.err) is warned
        assert bool(done.json["warnings"]) is warned


def test_without_data_the_bundled_validation_is_used(trained):
    done = trained("evaluate", "--model", "Luna", "--quick", "--max_answers", "1", "--json")
    names = {path.rsplit("/", 1)[-1] for path in done.json["data"]}
    assert names == {
        "dialogos.txt",
        "dialogos_variados.txt",
        "texto.txt",
        "texto_variado.txt",
        "perguntas.jsonl",
    }


def test_the_validation_of_the_last_training_is_remembered(trained):
    from src.training.records import remember_data

    valid = trained.write("valid.txt", PROSE)
    remember_data(trained.models / "Luna", [str(trained.home / "texto.txt")], [valid])
    found = trained("evaluate", "--model", "Luna", *QUICK, "--json").json
    assert found["data"] == [valid]


def test_a_remembered_validation_that_is_gone_gives_way_to_the_bundled_one(trained):
    from src.training.records import remember_data

    remember_data(trained.models / "Luna", ["x"], [str(trained.home / "sumiu" / "*.txt")])
    done = trained("evaluate", "--model", "Luna", "--quick", "--max_answers", "1", "--json")
    assert done.code == 0 and "não está mais lá" in done.err
    assert len(done.json["data"]) == 5


def test_unknown_personas_are_told(trained):
    line = json.dumps({"pergunta": "Oi?", "esperado": ["x"], "persona": "pirata"})
    data = trained.write("p.jsonl", line)
    done = trained("evaluate", "--model", "Luna", "--data", data, *QUICK, "--json")
    assert done.code == 0 and "pirata" in done.err and "pirata" in str(done.json["warnings"])


def test_a_question_file_above_the_limit_is_skipped(trained):
    small, large = trained.write("prosa.txt", PROSE), trained.write("p.jsonl", " " * 4000)
    lines = "\n".join(json.dumps(QUESTIONS[0]) for _ in range(60))
    large = trained.write("p.jsonl", lines)
    argv = ["evaluate", "--model", "Luna", "--data", small, large, *QUICK, "--json"]
    done = trained(*argv, "--max_file_mb", "0.002")
    assert done.json["questions"] is None and "--max_file_mb" in done.err


def test_report_goes_where_it_was_asked_and_replaces_what_was_there(trained):
    data, report = trained.write("prosa.txt", PROSE), trained.home / "saida" / "r.html"
    argv = ["evaluate", "--model", "Luna", "--data", data, *QUICK, "--report", report]
    for _ in range(2):
        assert trained(*argv).code == 0
    assert "<svg" in report.read_text("utf-8")
    assert not (trained.home / "logs").exists()
    assert [p.name for p in report.parent.iterdir()] == ["r.html"]


def test_only_term_questions_still_give_answers(trained):
    line = json.dumps({"pergunta": "Qual é o seu nome?", "esperado": ["Luna"]})
    data = trained.write("p.jsonl", line)
    found = trained("evaluate", "--model", "Luna", "--data", data, *QUICK, "--json").json
    assert found["bits_per_byte"] is None and found["likelihood"] == {}
    assert found["tokenizer"]["tokens_per_word"] is None
    assert found["questions"]["acceptable"]["count"] == 1
    assert trained("evaluate", "--model", "Luna", "--data", data, *QUICK).code == 0


def test_a_question_too_long_for_the_context_gets_an_empty_answer(trained):
    line = json.dumps({"pergunta": "palavra " * 400, "esperado": ["Luna"]})
    data = trained.write("p.jsonl", line)
    done = trained("evaluate", "--model", "Luna", "--data", data, *QUICK, "--json")
    assert (
        done.json["samples"]["questions"][0]["answer"] == ""
        and done.json["questions"]["empty"] == 1
    )
    assert "p.jsonl:1" in done.err


def test_bad_question_records_are_told_and_the_rest_is_used(trained):
    lines = [json.dumps(QUESTIONS[0]), json.dumps(QUESTIONS[1]), '{"pergunta": "Sem resposta?"}']
    data = trained.write("p.jsonl", "\n".join(lines))
    done = trained("evaluate", "--model", "Luna", "--data", data, *QUICK, "--json")
    assert done.code == 0 and done.json["questions"]["count"] == 2
    assert "p.jsonl:3" in done.err and "p.jsonl:3" in str(done.json["warnings"])


def test_memory_is_measured_without_quick(trained):
    data = trained.write("prosa.txt", PROSE)
    argv = ["evaluate", "--model", "Luna", "--data", data, "--max_answers", "1"]
    found = trained(*argv, "--json").json
    assert found["memory"]["peak_gb"] > found["memory"]["model_gb"] > 0
    assert "memória no pico" in trained(*argv).out


BAD_USAGE = [
    (["--model", "Nada", "--data", "prosa.txt"], 2, "não existe"),
    (["--model", "./pasta", "--data", "prosa.txt"], 2, "não há config.json"),
    (["--model", "Luna", "--compare", "Nada", "--data", "prosa.txt"], 2, "não existe"),
    (["--model", "Luna", "--data", "nada*.txt"], 2, "não encontrou nenhum arquivo"),
    (["--model", "Luna", "--data", "prosa.txt", "--window", "500"], 2, "--window 500"),
    (["--model", "Luna", "--data", "prosa.txt", "--window", "8", "--stride", "8"], 2, "--stride 8"),
    (["--model", "Luna", "--data", "prosa.txt", "--max_answers", "0"], 2, "--max_answers"),
    (["--model", "Luna", "--data", "prosa.txt", "--max_answers", "1.5"], 2, "--max_answers"),
    (["--model", "Luna", "--data", "prosa.txt", "--report", "."], 2, "--report"),
    (["--model", "Luna", "--data", "prosa.txt", "--report", "r.pdf"], 2, "--report"),
    (["--model", "Luna", "--data", "prosa.txt", "--report", "prosa.txt/r.html"], 1, "gravar"),
    (["--model", "Luna", "--data", "prosa.txt", "--device", "tpu"], 2, "--device"),
    (["--model", "Luna", "--data", "ruins.jsonl"], 2, "pergunta sem texto"),
    (["--model", "Luna", "--data", "mudas.jsonl"], 2, "pergunta sem resposta"),
    (["--model", "luna", "--data", "prosa.txt"], 2, "Você quis dizer 'Luna'"),
    (["--data", "prosa.txt"], 2, "--model"),
]


@pytest.mark.parametrize(("argv", "code", "message"), BAD_USAGE)
def test_bad_usage_is_explained(trained, argv, code, message):
    trained.write("prosa.txt", PROSE)
    trained.write("ruins.jsonl", '{"pergunta": "", "resposta": "x"}\n')
    trained.write("mudas.jsonl", '{"pergunta": "E agora?"}\n')
    (trained.home / "pasta").mkdir()
    done = trained("evaluate", *argv)
    assert done.code == code and message in done.err and "Traceback" not in done.err
    assert not (trained.home / "logs" / "evaluation").exists() or not any(
        (trained.home / "logs" / "evaluation").iterdir()
    )


def test_a_luna_answers_as_in_the_chat_with_persona_and_history(trained, files, monkeypatch):
    from src.chat.luna_chat import LunaChat

    calls = []

    def fake(self, prompt, history=None, on_text=None):
        calls.append((str(prompt), self.persona.name, [m["content"] for m in history]))
        settings = self.config.chat
        assert (settings.temperature, settings.max_new_tokens) == (0.0, 64)
        return "Corre."

    monkeypatch.setattr(LunaChat, "generate_response", fake)
    found = trained("evaluate", "--model", "Luna", "--data", *files, *QUICK, "--json").json
    assert sorted(calls) == [
        ("E o rio?", "casual", ["Oi, tudo bem?", "Tudo ótimo, e você?"]),
        ("O que corre no rio?", "casual", []),
        ("Oi, tudo bem?", "casual", []),
        ("Qual é o seu nome?", "formal", []),
    ]
    assert [item["answer"] for item in found["samples"]["answers"]] == ["Corre.", "Corre."]


def test_a_folder_of_any_name_is_measured(trained):
    folder = trained.home / "Meu modelo $x$ (velho)"
    (trained.models / "Luna").rename(folder)
    data = trained.write("p.txt", DIALOGUE * 3)
    argv = ["evaluate", "--model", folder, "--compare", folder, "--data", data, *QUICK]
    done = trained(*argv, "--report", trained.home / "r.html")
    assert done.code == 0, done.err
    assert "$x$" in (trained.home / "r.html").read_text("utf-8")


def test_a_failed_memory_measure_costs_only_itself(trained, monkeypatch):
    from src.utils.errors import LunaError

    def fail(*args):
        raise LunaError("A medida de memória falhou.")

    monkeypatch.setattr(evaluate_module, "measure_memory", fail)
    data = trained.write("p.txt", PROSE)
    done = trained("evaluate", "--model", "Luna", "--data", data, "--max_answers", "1", "--json")
    assert done.code == 0 and done.json["memory"] is None and "memória falhou" in done.err


def test_a_failed_page_does_not_hide_the_measures(trained, monkeypatch):
    from src.evaluation import report as report_module

    monkeypatch.setattr(report_module, "evaluation_page", lambda _: 1 / 0)
    data = trained.write("p.txt", PROSE)
    done = trained("evaluate", "--model", "Luna", "--data", data, *QUICK)
    assert done.code == 1 and "bits por byte" in done.out


def test_interrupted_evaluation_leaves_nothing_behind(trained, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_module, "score", interrupt)
    done = trained("evaluate", "--model", "Luna", "--data", trained.write("p.txt", PROSE), *QUICK)
    assert done.code == 130 and "Traceback" not in done.err
    assert list((trained.home / "logs" / "evaluation").iterdir()) == []


def test_sampling_is_off_so_two_runs_give_the_same_answers(trained, files):
    argv = ["evaluate", "--model", "Luna", "--data", *files, *QUICK, "--json"]
    first, second = (trained(*argv).json for _ in range(2))
    same = ("bits_per_byte", "samples", "answers", "questions", "likelihood", "tokenizer")
    assert all(first[name] == second[name] for name in same)


# ---------------------------------------------------------------------- benchmark


@pytest.fixture
def fast_benchmark(monkeypatch):
    """Um modelo minúsculo no lugar do nano: aqui se testa o comando, não a velocidade."""
    from tests.conftest import make_model, tiny_config

    monkeypatch.setattr(benchmark_command, "random_nano", lambda: make_model(tiny_config()))


def test_benchmark_shows_records_and_compares(luna, fast_benchmark):
    first = luna("benchmark", "--repeats", "3")
    assert first.code == 0, first.err
    assert (
        "abaixo de 1, este é mais rápido" in first.out
        and "Primeira medição desta série" in first.out
    )
    sizes = [int(n) for n in re.findall(r"^\| (\d+) +\|", first.out, re.MULTILINE)]
    assert sizes == [32, 44]  # o contexto é de 64 tokens, e 20 são gerados
    second = luna("benchmark", "--repeats", "3", "--json").json
    assert [row["seq_len"] for row in second["comparison"]["rows"]] == [32, 44]
    records = read(luna.home / "logs" / "benchmarks.jsonl")
    assert len(records) == 2 and records[1]["rows"] == second["rows"]
    page = (luna.home / "logs" / "benchmarks.html").read_text("utf-8")
    assert page.count("<svg") == 2 and "Ao longo do tempo" in page


def test_quick_benchmark_keeps_the_shortest_and_the_longest_prompt(luna, monkeypatch):
    from tests.conftest import make_model, tiny_config

    wide = make_model(tiny_config(n_positions=150))
    monkeypatch.setattr(benchmark_command, "random_nano", lambda: wide)
    quick, full = (luna("benchmark", "--repeats", "1", "--json", *f) for f in (["--quick"], []))
    assert [row["seq_len"] for row in quick.json["rows"]] == [32, 130]
    assert [row["seq_len"] for row in full.json["rows"]] == [32, 64, 128, 130]
    assert [row["seq_len"] for row in full.json["comparison"]["rows"]] == [32, 130]


def test_benchmark_takes_names_folders_and_the_default_model(trained, tokenizer):
    folder = save_gpt2(trained.home / "gpt2", tokenizer)
    named = trained("benchmark", "--model", "Luna", "--repeats", "1", "--json").json
    assert named["model"]["name"] == "Luna" and named["model"]["type"] == "luna"
    plain = trained("benchmark", "--model", folder, "--repeats", "1", "--json").json
    assert plain["model"]["type"] == "gpt2" and plain["comparison"] is None
    (trained.models / "Luna").rename(trained.models / "benchmark")
    default = trained("benchmark", "--repeats", "1", "--json").json
    assert default["model"]["name"] == "benchmark"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "Nada"], "não existe"),
        (["--repeats", "0"], "--repeats"),
        (["--repeats", "x"], "--repeats"),
        (["--device", "tpu"], "--device"),
    ],
)
def test_bad_benchmark_usage_is_explained(luna, argv, message):
    done = luna("benchmark", *argv)
    assert done.code == 2 and message in done.err
    assert not (luna.home / "logs").exists()


def test_random_nano_is_the_preset():
    model = benchmark_command.random_nano()
    assert (model.config.n_embd, model.config.n_positions) == (128, 256)
    described = benchmark_command.describe("x", model)
    assert described["ssm"] == len(model.state_space_layers) > 0
    assert described["parameters"] == model.parameter_count() and described["context"] == 256
    assert torch.equal(
        model.get_input_embeddings().weight,
        benchmark_command.random_nano().get_input_embeddings().weight,
    )
