"""A memória das correções: o que é a mesma pergunta, e a correção que vale já na conversa."""

import argparse
import json

import pytest

from src.chat.corrections_memory import ChatCorrections, correction_hint
from src.chat.document_chat import DocumentChat
from src.chat.luna_chat import LunaChat
from src.chat.terminal import source_lines
from src.cli import chat as chat_command
from src.models.feedback_system import FeedbackSystem
from src.models.luna_model import LunaModel
from src.retrieval.corrections import Correction, CorrectionMemory
from src.retrieval.question_form import plain_words, read_question
from src.utils.errors import ModelFormatError
from tests import corrections_support
from tests.conftest import tiny_config

QUESTION, GOOD = "Qual é a capital da Argentina?", "A capital da Argentina é Buenos Aires."


def remember(*pairs, encoder=None):
    """Uma memória com estas (pergunta, correção), que só olha as palavras."""
    return CorrectionMemory([Correction(*pair) for pair in pairs], encoder)


def found(memory, question):
    """O texto da correção achada."""
    match = memory.match(question)
    return match and match.correction.text


def unwanted():
    """Um codificador que ninguém devia abrir."""
    raise AssertionError("o codificador não era preciso")


# ---------------------------------------------------------------------- as palavras


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Qto é 15 × 4, mais vinte e três?", "quanto e 15 vezes 4 mais 23"),
        ("DOIS MIL E VINTE E QUATRO", "2024"),
        ("cento e um, dois e três", "100 e um 2 e 3"),
        ("a 2ª via do wi-fi", "a segunda via do wifi"),
        ("30% e trinta por cento", "30 porcento e 30 porcento"),
    ],
)
def test_abbreviations_and_numbers_are_written_one_way(text, plain):
    assert plain_words(text) == plain


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("Me diz aí, em que ano acabou a guerra?", "date", ["acabou", "guerra"]),
        ("Quem descobriu o Brasil?", "who", ["descobriu", "brasil"]),
        ("o que vem a ser metáfora", "what", ["metafora"]),
        ("De que jeito eu planto manjericão?", "how", ["planto", "manjericao"]),
        ("Você sabe onde fica o museu?", "where", ["fica", "museu"]),
        ("Por qual motivo o céu é azul?", "why", ["ceu", "azul"]),
        ("Qual é a minha idade?", "count", ["anos"]),
        ("Você tem medo?", "", ["medo"]),
    ],
)
def test_a_question_is_read_as_what_it_wants_and_about_what(text, kind, words):
    form = read_question(text)
    assert (form.kind, [word.text for word in form.words], form.asks) == (kind, words, True)


def test_a_long_text_is_only_the_same_as_itself():
    text = "Corrija este texto, por favor: " + "era uma vez um gato. " * 40
    memory = remember((text, GOOD))
    assert found(memory, text.upper()) == GOOD
    assert found(memory, text + "E um cachorro.") is None


# ---------------------------------------------------------------------- a memória


@pytest.mark.parametrize(
    "asked",
    [
        QUESTION,
        "qual a capital da argentina",
        "A capital da Argentina é qual?",
        "Você sabe me dizer que cidade é a capital da Argentina?",
        "Me diga o nome da capital argentina, por favor.",
    ],
)
def test_the_same_question_in_other_words_is_recognized(asked):
    assert found(remember((QUESTION, GOOD)), asked) == GOOD


@pytest.mark.parametrize(
    "asked",
    [
        "Qual é a capital do Chile?",
        "Quantos habitantes tem a Argentina?",
        "Quando Buenos Aires virou capital da Argentina?",
        "Qual é a segunda maior cidade da Argentina?",
        "Moro na capital da Argentina com a minha prima.",
        "e a do Chile?",
        "Oi, tudo bem?",
        "",
        "?!",
    ],
)
def test_another_question_is_not(asked):
    assert found(remember((QUESTION, GOOD)), asked) is None


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Qual é o meu time?", "Qual é o seu time?"),
        ("Quanto é 15% de 240?", "Quanto é 15% de 250?"),
        ("Quanto é 240 menos 15?", "Quanto é 15 menos 240?"),
        ("Onde nasceu Ayrton Senna?", "Quando nasceu Ayrton Senna?"),
        ("A que horas passa o ônibus?", "Em que dia passa o ônibus?"),
        ("Quando é o aniversário da Júlia?", "Quando é o aniversário da Juliana?"),
        ("Posso dar chocolate ao cachorro?", "Faz mal dar chocolate ao cachorro?"),
        ("Qual é o maior planeta?", "Qual é o menor planeta?"),
    ],
)
def test_one_changed_detail_makes_another_question(stored, asked):
    assert found(remember((stored, GOOD), encoder=unwanted), asked) is None


def test_a_repeated_question_needs_no_encoder():
    memory = CorrectionMemory([Correction(QUESTION, GOOD)], unwanted)
    match = memory.match("oi, luna! QUAL É A CAPITAL DA ARGENTINA, POR FAVOR")
    assert match.similarity == 1 and match.correction.text == GOOD


def test_of_the_same_question_the_newest_correction_holds():
    assert found(remember((QUESTION, "La Plata."), (QUESTION.lower(), GOOD)), QUESTION) == GOOD


def test_correcting_a_remembered_answer_replaces_it():
    paraphrase = "Que cidade é a capital da Argentina?"
    memory = remember((QUESTION, "La Plata.", "Não sei."), (paraphrase, GOOD, "La Plata."))
    assert found(memory, QUESTION) == found(memory, paraphrase) == GOOD


def test_an_encoder_that_does_not_open_leaves_the_words(caplog):
    def broken():
        raise ModelFormatError("faltam os pesos")

    memory = CorrectionMemory([Correction(QUESTION, GOOD)], broken)
    for _ in range(2):
        assert found(memory, "A capital da Argentina é qual?") == GOOD
    assert caplog.text.count("só pelas palavras: faltam os pesos") == 1


def test_paraphrases_are_recognized_and_neighbors_are_not(tmp_path):
    """Um terço do conjunto de teste, com o codificador."""
    cases = corrections_support.read_lines("eval/correcoes_teste.jsonl")[::3]
    measured = corrections_support.measure(tmp_path, cases)
    assert measured.paraphrases == 60 and measured.recognized >= 0.8, measured.missed
    assert measured.mistaken <= 0.03, measured.taken


# ---------------------------------------------------------------------- na conversa


@pytest.fixture
def system(config):
    """As avaliações do teste."""
    return FeedbackSystem(config, sync=False)


@pytest.fixture
def memory(config, system):
    """As correções que valem para o modelo ``Teste``."""
    return ChatCorrections(config, "Teste", lambda: system)


def correct(system, prompt=QUESTION, text=GOOD, **extra):
    """Registra uma correção; devolve o id."""
    return system.add_feedback(prompt, "Não sei.", 1, correction=text, **extra)


def told(memory, message, before=()):
    """O texto da correção que vale para a mensagem."""
    correction = memory.find(message, before)
    return correction and correction.text


def turns(*texts):
    """Falas alternadas da pessoa e da Luna."""
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(texts)
    ]


def test_without_corrections_nothing_is_opened(config):
    def opened():
        raise AssertionError("não há o que abrir")

    assert ChatCorrections(config, "Teste", opened).find(QUESTION) is None


def test_a_correction_holds_and_is_withdrawn_at_the_next_message(memory, system):
    assert told(memory, QUESTION) is None
    identity = correct(system)
    assert told(memory, QUESTION) == GOOD
    correct(system, text="Buenos Aires.")
    assert told(memory, QUESTION) == "Buenos Aires."
    for record in system.get_all_feedback():
        system.retract(record["id"])
    assert told(memory, QUESTION) is None and identity


def test_an_archived_correction_still_holds(memory, system):
    system.mark_processed([correct(system)], "Teste", "1")
    assert system.clear_processed_feedback() == 1
    assert told(memory, QUESTION) == GOOD


def test_a_correction_belongs_to_its_model(memory, system):
    correct(system, model="Outro")
    assert told(memory, QUESTION) is None
    correct(system, "Quem descobriu o Brasil?", "Cabral.", model="Teste")
    correct(system, "O que é saudade?", "É sentir falta.")
    assert told(memory, "Quem descobriu o Brasil?") == "Cabral."
    assert told(memory, "O que é saudade?") == "É sentir falta."


def test_the_switch_turns_the_memory_off(memory, system, config):
    correct(system)
    config.feedback.memory = False
    assert told(memory, QUESTION) is None


def test_a_message_that_follows_another_only_holds_after_the_same_one(memory, system):
    before = turns(QUESTION, GOOD)
    correct(system, "e a do Chile?", "Santiago.", history=before)
    assert told(memory, "E a do Chile?", before) == "Santiago."
    assert told(memory, "e a do Chile?", [*before, *turns("e a do Chile?", "Lima.")]) == "Santiago."
    assert told(memory, "e a do Chile?", turns("Qual é a moeda do Peru?", "O sol.")) is None
    assert told(memory, "e a do Chile?") is None
    assert told(memory, "e a do Peru?", before) is None


def test_a_greeting_before_the_question_follows_nothing(memory, system):
    correct(system, "Qual é o seu nome?", "Luna.")
    assert told(memory, "E aí, qual é o seu nome?") == "Luna."


def test_unreadable_feedback_leaves_the_chat_without_corrections(config, caplog):
    class Unreadable:
        """O arquivo existe e o disco o recusa."""

        def corrections(self, model):
            raise ModelFormatError("disco com defeito")

    with open(config.feedback.path, "w", encoding="utf-8"):
        memory = ChatCorrections(config, "Teste", Unreadable)
    with open(config.feedback.path, "a", encoding="utf-8") as stream:
        stream.write("{}\n")
    assert memory.find(QUESTION) is None and memory.find(QUESTION) is None
    assert caplog.text.count("segue sem as correções: disco com defeito") == 1


@pytest.fixture
def saved_model(config, tokenizer):
    """Um modelo minúsculo, com contexto para a persona e algumas trocas."""
    folder = config.paths.model_dir("Teste")
    LunaModel.from_scratch(tiny_config(tokenizer, n_positions=256)).save(folder)
    tokenizer.save(folder / "tokenizer")
    return "Teste"


@pytest.mark.parametrize("mode", ["low_latency", "high_precision"])
def test_the_chat_answers_with_the_correction(saved_model, config, mode):
    chat = LunaChat(saved_model, config, mode=mode, device="cpu")
    answer = chat.say(QUESTION)
    assert not chat.last.corrected and source_lines(chat.last) == []
    identity = chat.add_feedback(QUESTION, answer or "?", 1, correction=GOOD)
    pieces = []
    assert chat.say("qual a capital da argentina", pieces.append) == GOOD == "".join(pieces)
    assert chat.last.corrected and not chat.last.quoted and chat.last.tokens == 0
    assert chat.history[-1]["content"] == GOOD
    (line,) = source_lines(chat.last)
    assert line.startswith("(resposta corrigida por você em ") and identity[:8] in line
    chat.feedback.retract(identity)
    assert chat.say(QUESTION) != GOOD and not chat.last.corrected


def test_a_correction_also_holds_without_a_model(config, system):
    correct(system)
    folder = config.paths.model_dir("Teste")
    folder.mkdir(parents=True)
    chat = DocumentChat("Teste", config, folder=folder)
    assert chat.say(QUESTION) == GOOD and chat.last.corrected
    assert chat.say("Qual é a capital do Chile?") != GOOD


def test_one_shot_says_that_the_answer_was_corrected(saved_model, config, system, capsys):
    correct(system)
    chat = LunaChat(saved_model, config, device="cpu")
    args = argparse.Namespace(json=True, resume=None, quiet=False)
    result = chat_command.answer_once(args, chat, QUESTION)
    assert result["answer"] == GOOD and result["corrected"] and json.dumps(result)
    args.json = False
    chat_command.answer_once(args, chat, QUESTION)
    shown = capsys.readouterr()
    assert shown.out == f"{GOOD}\n" and "feedback undo" in shown.err


def test_the_hint_gives_the_day_when_it_is_known():
    known = Correction(QUESTION, GOOD, timestamp="2026-11-28T10:00:00-03:00", id="0123456789")
    assert "por você em 28/11; python main.py feedback undo 01234567" in correction_hint(known)
    assert "por você; " in correction_hint(Correction(QUESTION, GOOD, id="01"))
    assert correction_hint(None) == ""
