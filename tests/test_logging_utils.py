"""Registros na saída de erro, em português, sem repetição."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.utils import logging_utils
from src.utils.errors import StorageError
from src.utils.logging_utils import ensure_utf8_streams, is_interactive, setup_logging, use_color


class Terminal(io.StringIO):
    """Um fluxo que se diz terminal."""

    def isatty(self) -> bool:
        return True


class ByteTerminal(io.TextIOWrapper):
    """Um fluxo de bytes que se diz terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    levels = {name: logging.getLogger(name).level for name in logging_utils.NOISY_LIBRARIES}
    yield
    logging_utils._remove_own_handlers(root)
    root.setLevel(level)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("level", "name"),
    [("debug", "DETALHE"), ("info", "INFO"), ("warning", "AVISO"), ("error", "ERRO")]
    + [("critical", "GRAVE")],
)
def test_lines_have_time_portuguese_level_and_origin(level: str, name: str) -> None:
    stream = io.StringIO()
    setup_logging(debug=True, stream=stream)
    getattr(logging.getLogger("src.teste"), level)("ação %d", 7)
    (line,) = lines(stream)
    assert line[2] == line[5] == ":" and line[8:] == f" {name} src.teste: ação 7"


def test_calling_twice_does_not_repeat_lines() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup_logging(stream=first)
    setup_logging(stream=second)
    logging.getLogger("src.teste").info("uma vez")
    assert lines(first) == [] and len(lines(second)) == 1


def test_handlers_of_others_are_kept() -> None:
    root, other = logging.getLogger(), logging.NullHandler()
    root.addHandler(other)
    setup_logging(stream=io.StringIO())
    assert other in root.handlers
    root.removeHandler(other)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ["info", "warning", "error"]),
        ({"quiet": True}, ["warning", "error"]),
        ({"quiet": True, "level": logging.ERROR}, ["error"]),
        ({"debug": True, "quiet": True}, ["debug", "info", "warning", "error"]),
        ({"level": logging.ERROR}, ["error"]),
    ],
)
def test_level_quiet_and_debug(options: dict, shown: list[str]) -> None:
    stream = io.StringIO()
    setup_logging(**options, stream=stream)
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("src.teste"), level)(level)
    assert [line.rpartition(" ")[2] for line in lines(stream)] == shown


def test_libraries_are_quiet_unless_debugging() -> None:
    stream = io.StringIO()
    setup_logging(stream=stream)
    logging.getLogger("urllib3.connectionpool").info("conversa")
    logging.getLogger("urllib3").warning("importante")
    assert len(lines(stream)) == 1
    setup_logging(debug=True, stream=stream)
    logging.getLogger("urllib3.connectionpool").debug("conversa")
    assert len(lines(stream)) == 2


def test_standard_output_stays_clean(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging()
    logging.getLogger("src.teste").warning("na saída de erro")
    captured = capsys.readouterr()
    assert captured.out == "" and "na saída de erro" in captured.err


def test_a_log_file_gets_the_same_lines_in_utf8(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "luna.log"
    for number in range(2):
        setup_logging(stream=Terminal(), log_file=path)
        logging.getLogger("src.teste").error("ação %d \udcff", number)
    text = path.read_text(encoding="utf-8")
    assert "ação 0" in text and "ação 1" in text and "\033" not in text


def test_a_log_file_that_cannot_be_opened_keeps_the_old_setup(tmp_path: Path) -> None:
    stream = io.StringIO()
    setup_logging(stream=stream)
    with pytest.raises(StorageError):
        setup_logging(log_file=tmp_path)
    logging.getLogger("src.teste").info("ainda aqui")
    assert len(lines(stream)) == 1


def test_a_terminal_gets_colour_only_on_warnings() -> None:
    stream = Terminal()
    setup_logging(stream=stream)
    logging.getLogger("src.teste").info("normal")
    logging.getLogger("src.teste").warning("atenção")
    normal, warning = lines(stream)
    assert "\033" not in normal
    assert warning.startswith("\033[33m") and warning.endswith("\033[0m")


def test_colour_needs_a_terminal_and_honours_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert use_color(Terminal()) and not use_color(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_color(Terminal())
    monkeypatch.setenv("NO_COLOR", "")  # vazio não conta, diz a convenção
    assert use_color(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not use_color(Terminal())


def test_closed_and_absent_streams_are_not_interactive() -> None:
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    assert not is_interactive(closed) and not is_interactive(None) and is_interactive(Terminal())


def test_redirected_streams_become_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    err = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    ensure_utf8_streams()
    print("ação \udcff 🙂", flush=True)
    print("ação \udcff", file=err, flush=True)
    assert out.buffer.getvalue() == "ação \\udcff 🙂\n".encode()
    assert err.buffer.getvalue() == "ação ?\n".encode()


def test_a_terminal_that_is_not_utf8_keeps_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    out = ByteTerminal(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    ensure_utf8_streams()
    print("ação 🙂", flush=True)
    expected = "ação 🙂\n".encode() if os.name == "nt" else "ação ?\n".encode("latin-1")
    assert out.buffer.getvalue() == expected


def test_streams_that_cannot_change_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    ensure_utf8_streams()
    assert sys.stdout is stream


def test_accents_survive_the_c_locale() -> None:
    code = "from src.utils.logging_utils import *; ensure_utf8_streams()"
    code += "; print('cora\\u00e7\\u00e3o')"
    root = Path(__file__).resolve().parents[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    env |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=env, capture_output=True, check=False
    )
    assert done.stdout.decode("utf-8").strip() == "coração", done.stderr
