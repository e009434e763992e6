"""As avaliações no chat: conversas inteiras, como a pessoa as vê, e o que fica no arquivo.

Quem responde é um roteiro, no lugar do modelo.
"""

import io
import json
import sys
from pathlib import Path

import pytest

from src.chat import commands, rating_commands
from src.chat.answer import ReadyAnswer
from src.chat.luna_chat import AnswerInfo, LunaChat
from src.chat.sessions import SessionStore
from src.chat.terminal import TerminalChat, TerminalOptions
from src.models.emotion import read_emotion
from src.models.feedback_system import FeedbackSystem
from src.utils.errors import StorageError, UsageError

TRAIN, TRAIN_ANSWER = "Que horas parte o trem?", "Às nove."
RIVER, RIVER_ANSWER = "Aonde vai o rio?", "Até o mar."


class ScriptedChat(LunaChat):
    """Dá as respostas do roteiro, na ordem; não há modelo. A que vem numa tupla é interrompida."""

    def __init__(self, config, folder, answers):
        super().__init__("Roteiro", config, folder=folder)
        self.answers = iter(answers)

    def _open(self):
        self.model_version = "v1"
        return True

    def generate_response(self, prompt, history=None, on_text=None):
        self.last = AnswerInfo(0, 0, 0, read_emotion(prompt))
        answer = next(self.answers)
        cut = isinstance(answer, tuple)
        self.last_stream = ReadyAnswer(answer[0] if cut else answer, on_text)
        if cut:
            raise KeyboardInterrupt
        return self.last_stream.text


class ScriptedReader:
    """Digita as linhas do roteiro e as mostra ao lado do convite, como num terminal."""

    def __init__(self, lines):
        self.lines = iter(lines)

    def read(self, label):
        line = next(self.lines, EOFError)
        print(label + (line if isinstance(line, str) else "^C"), file=sys.stderr)
        if not isinstance(line, str):
            raise line
        return line


@pytest.fixture
def path(config):
    """O arquivo das avaliações."""
    config.chat.proactive = False
    return Path(config.feedback.path)


@pytest.fixture
def talk(config, path, tmp_path, monkeypatch):
    """Uma conversa inteira: recebe as respostas e as linhas digitadas; devolve o que se viu."""

    def run(answers, lines, resume=None, keyboard=False, **options):
        session = TerminalChat(
            ScriptedChat(config, tmp_path, answers),
            TerminalOptions(resume=resume, quiet=True, **options),
        )
        screen = io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr("src.chat.terminal.make_reader", lambda *a: ScriptedReader(lines))
            patched.setattr(rating_commands, "is_interactive", lambda stream: keyboard)
            patched.setattr(sys, "stdout", screen)
            patched.setattr(sys, "stderr", screen)
            session.run()
        return transcript(screen.getvalue())

    return run


def transcript(screen):
    """O que se viu, sem linhas em branco nem a despedida."""
    lines = [line for line in screen.splitlines() if line.strip()]
    return [
        line for line in lines if not line.startswith(("Até logo", "Para continuar", "Você: ^"))
    ]


def active(path):
    return FeedbackSystem(path=path).get_all_feedback()


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# --- Conversas inteiras --------------------------------------------------------------------------


def test_a_bad_answer_is_rated_corrected_and_undone(talk, path):
    seen = talk(
        [TRAIN_ANSWER],
        [TRAIN, "/nota 2", "/avaliar precisão=1 tom=4", "/corrigir Às dez e meia.", "/desfazer"],
    )
    assert seen == [
        f"Você: {TRAIN}",
        f"Luna: {TRAIN_ANSWER}",
        "Você: /nota 2",
        "Anotado: nota 2. /corrigir diz qual seria a resposta boa; /desfazer desfaz.",
        "Você: /avaliar precisão=1 tom=4",
        "Anotado: precisão 1, tom 4. Obrigada! /desfazer desfaz.",
        "Você: /corrigir Às dez e meia.",
        "Anotado: esta é a resposta boa, e vale daqui em diante. /desfazer desfaz.",
        "Você: /desfazer",
        "Desfeito: correção. Continua valendo: nota 2, precisão 1, tom 4.",
    ]
    (record,) = active(path)
    assert record["rating"] == 2 and record["aspects"] == {"precisao": 1, "tom": 4}
    assert "correction" not in record
    kinds = [line["type"] for line in lines_of(path)]
    assert kinds == ["feedback"] * 3 + ["retract"]


def test_undoing_goes_back_step_by_step_over_the_whole_conversation(talk, path):
    seen = talk(
        [TRAIN_ANSWER, RIVER_ANSWER],
        ["/nps 9", TRAIN, "/nota 2", "/nota 4", RIVER, "/nota 5", *["/desfazer"] * 5],
    )
    assert seen[-10:] == [
        "Você: /desfazer",
        "Desfeito: nota 5.",
        "Você: /desfazer",
        f"Desfeito: nota 4, da resposta a '{TRAIN}'. Continua valendo: nota 2.",
        "Você: /desfazer",
        f"Desfeito: nota 2, da resposta a '{TRAIN}'.",
        "Você: /desfazer",
        "Desfeito: NPS 9.",
        "Você: /desfazer",
        "Ainda não há avaliação para desfazer nesta conversa.",
    ]
    assert "Anotado: nota 4 no lugar da 2. Que bom! /desfazer desfaz." in seen
    assert "Anotado: nota 5. Que bom! /desfazer desfaz." in seen
    assert active(path) == []


def test_nothing_to_rate_is_told_and_the_conversation_goes_on(talk, path):
    told = "Ainda não há resposta para avaliar nesta conversa."
    seen = talk(
        [TRAIN_ANSWER, ""],
        [
            "/nota 3",
            "/avaliar 1 2 3",
            "/corrigir Oi.",
            TRAIN,
            "/limpar",
            "/nota 3",
            RIVER,
            "/nota 3",
        ],
    )
    assert [line for line in seen if line == told] == [told] * 4
    assert seen[-1] == "A última mensagem ficou sem resposta: /refazer responde."
    assert not path.exists()


def test_experience_is_rated_before_any_answer_and_with_one(talk, path):
    seen = talk([TRAIN_ANSWER], ["/nps 7", TRAIN, "/nota 4", "/nps 10"])
    assert "Anotado: NPS 10, de 0 a 10. Obrigada! /desfazer desfaz." in seen
    alone, together = active(path)
    assert (alone["prompt"], alone["response"], alone["nps"]) == ("", "", 7)
    assert (together["rating"], together["nps"], together["response"]) == (4, 10, TRAIN_ANSWER)


def test_answer_done_again_is_the_one_rated_and_the_other_keeps_its_rating(talk, path):
    talk(["Às nove.", "Às dez e meia."], [TRAIN, "/nota 1", "/refazer", "/nota 5"])
    assert [(r["response"], r["rating"]) for r in active(path)] == [
        ("Às nove.", 1),
        ("Às dez e meia.", 5),
    ]


def test_interrupted_answer_is_rated_with_what_came_out(talk, path):
    seen = talk([("Às no",)], [TRAIN, "/nota 2"])
    assert "(resposta interrompida)" in seen
    assert active(path)[0]["response"] == "Às no"


def test_the_same_words_later_in_the_conversation_are_another_answer(talk, path):
    talk([TRAIN_ANSWER, TRAIN_ANSWER], [TRAIN, "/nota 2", TRAIN, "/avaliar t=5"])
    first, second = active(path)
    assert first["rating"] == 2 and "rating" not in second and "aspects" not in first


def test_saying_the_same_again_writes_nothing(talk, path):
    talk([TRAIN_ANSWER], [TRAIN, "/nota 2", "/nota 2", "/desfazer"])
    assert active(path) == []
    assert [line["type"] for line in lines_of(path)] == ["feedback", "retract"]


def test_aspects_are_asked_one_by_one_and_enter_skips(talk, path):
    seen = talk(
        [TRAIN_ANSWER],
        [TRAIN, "/avaliar", "4", "", "9", "muito", "2", "/avaliar", "", "", ""],
        keyboard=True,
    )
    assert seen[3:] == [
        "De 1 a 5; Enter pula.",
        "precisão: 4",
        "relevância: ",
        "tom: 9",
        "tom '9': esperado um número inteiro de 1 a 5. Enter pula.",
        "tom: muito",
        "tom 'muito': esperado um número inteiro de 1 a 5. Enter pula.",
        "tom: 2",
        "Anotado: precisão 4, tom 2. Obrigada! /desfazer desfaz.",
        "Você: /avaliar",
        "De 1 a 5; Enter pula.",
        "precisão: ",
        "relevância: ",
        "tom: ",
        "Nada anotado.",
    ]


def test_without_a_keyboard_aspects_are_not_asked(talk, path):
    seen = talk([TRAIN_ANSWER], [TRAIN, "/avaliar"])
    assert seen[-1].startswith("Diga as notas, de 1 a 5: /avaliar precisão=4") and not path.exists()


def test_correction_is_asked_for_and_may_have_several_lines(talk, path):
    seen = talk([TRAIN_ANSWER], [TRAIN, "/corrigir", '"""Às dez', 'e meia."""', "/nota 2"])
    assert "Como seria a resposta boa? Enter desiste." in seen
    assert seen[-1] == "Anotado: nota 2. /desfazer desfaz."  # a resposta boa já foi dita
    assert active(path)[0]["correction"] == "Às dez\ne meia."


def test_correction_in_the_command_may_open_a_block(talk, path):
    talk([TRAIN_ANSWER], [TRAIN, '/corrigir """/Às dez', 'e meia."""'])
    assert active(path)[0]["correction"] == "/Às dez\ne meia."


@pytest.mark.parametrize(
    "typed,told",
    [
        ([""], "Nada anotado."),
        (["/sair"], "é um comando"),
        (['"""Às dez'], "Nada anotado."),  # Ctrl-D no meio do bloco
        ([TRAIN_ANSWER], "A correção é igual à resposta. Se ela já está boa: /nota 5."),
        ([KeyboardInterrupt], "Ctrl-C de novo sai; Ctrl-D também."),
    ],
)
def test_correction_given_up_records_nothing(talk, path, typed, told):
    seen = talk([TRAIN_ANSWER], [TRAIN, "/corrigir", *typed])
    assert told in seen[-1] and not path.exists()


def test_terminal_sequences_never_get_into_a_correction(talk, path):
    talk([TRAIN_ANSWER], [TRAIN, "/corrigir Às \x1b[31mdez\x07."])
    assert active(path)[0]["correction"] == "Às dez."


def test_a_full_disk_is_told_and_the_conversation_goes_on(talk, path, monkeypatch):
    def refuse(self, *arguments, **extra):
        raise StorageError("Não foi possível gravar: o disco está cheio.")

    monkeypatch.setattr(FeedbackSystem, "add_feedback", refuse)
    seen = talk([TRAIN_ANSWER, RIVER_ANSWER], [TRAIN, "/nota 2", "/desfazer", RIVER])
    assert seen[3] == "Não foi possível gravar: o disco está cheio."
    assert "Ainda não há avaliação" in seen[5] and seen[-1] == f"Luna: {RIVER_ANSWER}"


def test_enough_new_ratings_invite_to_refine_once_per_conversation(talk, config, path):
    config.feedback.min_new = 2
    talk([TRAIN_ANSWER], [TRAIN, "/nota 2"])
    seen = talk([RIVER_ANSWER, TRAIN_ANSWER], [RIVER, "/nota 4", TRAIN, "/nota 5"])
    invitation = "Já há 2 avaliações novas: python main.py refine --model Roteiro"
    assert seen[3:5] == ["Anotado: nota 4. Que bom! /desfazer desfaz.", invitation]
    assert sum("refine" in line for line in seen) == 1


def test_ratings_of_another_model_do_not_invite(talk, config, path):
    config.feedback.min_new = 2
    FeedbackSystem(config).add_feedback("Oi", "Olá", 4, model="Outro")
    assert "refine" not in " ".join(talk([TRAIN_ANSWER], [TRAIN, "/nota 2"]))


# --- O que fica no registro ----------------------------------------------------------------------


def test_record_says_who_answered_where_and_after_what(talk, config, path):
    questions = [f"Pergunta {number}?" for number in range(5)]
    talk([f"Resposta {n}." for n in range(5)], [*questions, "/persona formal", "/nota 3"])
    (record,) = active(path)
    assert [record["session"]] == SessionStore(Path(config.paths.logs_dir) / "chat").ids()
    assert (record["model"], record["model_version"]) == ("Roteiro", "v1")
    assert record["persona"] == "casual"  # a de quando respondeu
    assert [turn["content"] for turn in record["history"]] == [
        text for n in (1, 2, 3) for text in (f"Pergunta {n}?", f"Resposta {n}.")
    ]


def test_without_history_ratings_are_kept_and_the_session_is_not(talk, path):
    talk([TRAIN_ANSWER], [TRAIN, "/nota 2", "/nota 3", "/desfazer"], no_history=True)
    (record,) = active(path)
    assert record["rating"] == 2 and "session" not in record


def test_resumed_conversation_goes_on_with_its_ratings(talk, path):
    talk([TRAIN_ANSWER], [TRAIN, "/nota 2"])
    seen = talk([], ["/corrigir Às dez e meia.", "/desfazer", "/desfazer"], resume="")
    assert seen[-1] == "Desfeito: nota 2." and active(path) == []
    corrected = next(line for line in lines_of(path) if "correction" in line)
    assert corrected["rating"] == 2 and corrected["model_version"] == "v1"


def test_answer_from_a_kept_conversation_has_no_known_version(talk, path):
    talk([TRAIN_ANSWER], [TRAIN])
    talk([], ["/nota 2"], resume="")
    (record,) = active(path)
    assert record["model"] == "Roteiro" and "model_version" not in record


def test_loading_another_conversation_leaves_the_ratings_of_this_one(talk, config, path):
    talk([TRAIN_ANSWER], [TRAIN])
    (first,) = SessionStore(Path(config.paths.logs_dir) / "chat").ids()
    seen = talk([RIVER_ANSWER], [RIVER, "/nota 5", f"/carregar {first}", "/desfazer"])
    assert seen[-1] == "Ainda não há avaliação para desfazer nesta conversa."
    assert active(path)[0]["rating"] == 5


# --- O que se digita -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    ["precisao=4 relevancia=5 tom=2", "Precisão = 4, relevância: 5; TOM=2", "p=4 r=5 t=2", "4 5 2"],
)
def test_aspects_are_understood_however_they_are_written(typed):
    expected = {"precisao": 4, "relevancia": 5, "tom": 2}
    assert rating_commands.parsed_aspects(typed) == expected


@pytest.mark.parametrize(
    "typed,told",
    [
        ("4 5", "esperadas três notas"),
        ("humor=3", "'humor': não existe. Há: precisão, relevância, tom"),
        ("=3", "não existe"),
        ("tom=6", "/avaliar tom '6': esperado um número inteiro de 1 a 5"),
        ("tom=", "tom ''"),
        ("t=1 tom=2", "tom aparece duas vezes"),
        ("p=1 2", "'2': não existe"),
    ],
)
def test_aspects_that_do_not_serve_are_told(typed, told):
    with pytest.raises(UsageError) as error:
        rating_commands.parsed_aspects(typed)
    assert told in str(error.value)


@pytest.mark.parametrize("typed", ["0", "6", "-1", "4,5", "dois", "1" * 50, "٣"])
def test_ratings_out_of_the_scale_are_told(typed):
    with pytest.raises(UsageError, match="esperado um número inteiro de 1 a 5"):
        rating_commands.parsed_number("/nota", typed, rating_commands.RATINGS)


def test_commands_without_their_number_say_how(talk, path):
    seen = talk([TRAIN_ANSWER], [TRAIN, "/nota", "/nps", "/rate 3", "/undo"])
    assert seen[3].startswith("Diga a nota: /nota 4") and "/nps 9" in seen[5]
    assert seen[-1] == "Desfeito: nota 3."


def test_completion_knows_the_commands_and_what_is_missing(config, path, tmp_path):
    session = TerminalChat(ScriptedChat(config, tmp_path, []))

    def complete(text):
        return list(commands.completions(session, text))

    assert "/nota" in complete("/n") and "/nps" in complete("/n")
    assert complete("/nota ") == list("12345") and complete("/nps 1") == ["1", "10"]
    assert complete("/avaliar ") == ["precisao=", "relevancia=", "tom="]
    assert complete("/avaliar Precisão=4 ") == ["precisão=4 relevancia=", "precisão=4 tom="]
    assert complete("/avaliar tom=4 re") == ["tom=4 relevancia="]


def test_every_command_is_in_the_help_and_in_the_documentation(talk, path):
    documented = (Path(__file__).parents[1] / "docs" / "chat.md").read_text("utf-8")
    told = "\n".join(talk([], ["/ajuda"]))
    for command in commands.COMMANDS:
        assert command.names[0] in told
        assert all(f"`{name}" in documented for name in command.names[:2]), command.names
