"""O texto do terminal: nada nele manda no terminal, e ele se quebra na largura da janela."""

import ctypes
import io
import re
import sys
import types
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from src.chat.terminal_style import LOOKS, SYMBOLS, Style, supports_unicode, symbol, use_color
from src.chat.terminal_text import (
    MAX_SEQUENCE_CHARS,
    StreamWrapper,
    TextCleaner,
    clean_text,
    clusters,
    display_width,
    one_line,
)

FAMILY = "👩\u200d👩\u200d👧"
#: O que abre, continua e fecha sequências, partes de pares e texto comum.
TRICKY = "\x1b[]PX^_k\\\x07\x18\x90\x98\x9b\x9c\x9d\x85\x7f\x00 0;m12a#(é\r\n\t\u2028\u2029"
TRICKY += "\u202e\u2066\ud83d\ude00\udb40\udc41\U000e0041\u200d\ufe0f👩"
hostile_text = st.text(st.sampled_from(TRICKY), max_size=40)
tricky_text = hostile_text | st.text(st.characters(exclude_categories=()), max_size=20)


def pieces_of(text, cuts):
    """``text`` partido em cada posição de ``cuts``."""
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in zip(places, places[1:])]


cuts = st.lists(st.integers(0, 60), max_size=12)


# ---------------------------------------------------------------------- a referência, lenta e óbvia

STOPS = set("\n\r\x18\x1a\x1b\u2028\u2029") | {chr(code) for code in range(0x80, 0xA0)}
HIDDEN_RANGES = [
    (0x00, 0x08),
    (0x0B, 0x1F),
    (0x7F, 0x9F),
    (0x202A, 0x202E),
    (0x2066, 0x2069),
    (0xE0000, 0xE007F),
]


def is_hidden(char):
    return any(first <= ord(char) <= last for first, last in HIDDEN_RANGES)


def run(text, start, allowed, limit):
    """Onde acaba a série de até ``limit`` caracteres que ``allowed`` aceita."""
    end = start
    while end < len(text) and end - start < limit and allowed(text[end]):
        end += 1
    return end


def sequence_end(text, start):
    """Onde acaba a sequência inteira que começa em ``start``; ``None`` se não há uma."""
    opening = text[start : start + 2] if text[start] == "\x1b" else text[start]
    body = start + len(opening)
    if opening in ("\x1b[", "\x9b"):
        end = run(text, body, lambda c: "0" <= c <= "?", MAX_SEQUENCE_CHARS)
        end = run(text, end, lambda c: " " <= c <= "/", 16)
        return end + 1 if end < len(text) and "@" <= text[end] <= "~" else None
    osc = opening in ("\x1b]", "\x9d")
    if osc or opening in ("\x1bP", "\x1bX", "\x1b^", "\x1b_", "\x1bk", *"\x90\x98\x9e\x9f"):
        stops = STOPS | {"\x07"} if osc else STOPS
        end = run(text, body, lambda c: c not in stops, MAX_SEQUENCE_CHARS)
        if text[end : end + 2] == "\x1b\\":
            return end + 2
        return end + 1 if text[end : end + 1] in ({"\x9c", "\x07"} if osc else {"\x9c"}) else None
    if opening[0] == "\x1b":
        end = run(text, start + 1, lambda c: " " <= c <= "/", 16)
        return end + 1 if end < len(text) and "0" <= text[end] <= "~" else None
    return None


def reference_clean(text):
    """Um caractere por vez, com o texto inteiro à vista."""
    out, at = [], 0
    while at < len(text):
        char, pair = text[at], text[at : at + 2]
        if end := sequence_end(text, at):
            at = end
        elif char == "\x1b":  # a abertura de uma sequência que não se completa
            at += 2 if len(pair) == 2 and "0" <= pair[1] <= "~" else 1
        elif char == "\r":
            out.append("\n")
            at += 2 if pair == "\r\n" else 1
        elif len(pair) == 2 and "\ud800" <= char <= "\udbff" and "\udc00" <= pair[1] <= "\udfff":
            whole = chr(0x10000 + (ord(char) - 0xD800) * 0x400 + ord(pair[1]) - 0xDC00)
            out.append("" if is_hidden(whole) else whole)
            at += 2
        else:
            surrogate, line = "\ud800" <= char <= "\udfff", char in "\u2028\u2029"
            plain = "" if is_hidden(char) else char
            out.append("\ufffd" if surrogate else "\n" if line else plain)
            at += 1
    return "".join(out)


# ---------------------------------------------------------------------- limpeza

ATTACKS = {
    "título da janela, BEL": ("a\x1b]0;tomado\x07b", "ab"),
    "título da janela, ST": ("a\x1b]2;tomado\x1b\\b", "ab"),
    "título da janela, C1": ("a\x9d0;tomado\x9cb", "ab"),
    "título do screen": ("a\x1bktomado\x1b\\b", "ab"),
    "link": ("\x1b]8;;https://mau.exemplo\x1b\\clique\x1b]8;;\x1b\\ aqui", "clique aqui"),
    "link, BEL": ("\x1b]8;id=1;https://mau.exemplo\x07clique\x1b]8;;\x07", "clique"),
    "área de transferência": ("a\x1b]52;c;cm0gLXJmIH4=\x07b", "ab"),
    "cores": ("\x1b[1;38;2;255;0;0mvermelho\x1b[0m", "vermelho"),
    "cores com dois-pontos": ("\x1b[4:3m\x1b[38:2::1:2:3monda\x1b[m", "onda"),
    "cursor": ("a\x1b[10;20H\x1b[3A\x1b[2K\x1b[Gb", "ab"),
    "limpa a tela": ("a\x1b[2J\x1b[3J\x1b[Hb", "ab"),
    "limpa a tela, C1": ("a\x9b2Jb", "ab"),
    "tela alternativa": ("a\x1b[?1049hb\x1b[?1049lc", "abc"),
    "fim de colagem": ("a\x1b[201~rm -rf ~\n", "arm -rf ~\n"),
    "pergunta ao terminal": ("a\x1b[c\x1b[6n\x1b[>0q\x1b[21tb", "ab"),
    "reinício suave, com intermediário": ("a\x1b[!p\x1b[2 qb", "ab"),
    "reinício": ("a\x1bcb", "ab"),
    "cursor guardado": ("a\x1b7b\x1b8c\x1b=d\x1b>e", "abcde"),
    "letras trocadas": ("a\x1b(0b\x1b)Bc\x1b#8d\x1b%Ge", "abcde"),
    "letras trocadas, controles": ("a\x0eb\x0fc", "abc"),
    "sixel": ("a\x1bPq#0;2;0;0;0#0~~@@vv@@~~$-\x1b\\b", "ab"),
    "sixel, C1": ("a\x90q~~@@\x9cb", "ab"),
    "tecla programada": ("a\x1bP0;1|17/6c73\x1b\\b", "ab"),
    "BEL dentro de um DCS": ("a\x1bPtmux;\x07x\x1b\\b", "ab"),
    "SOS, PM e APC": ("a\x1bXum\x1b\\b\x1b^dois\x1b\\c\x1b_Gtrês\x1b\\d", "abcd"),
    "SOS, PM e APC, C1": ("a\x98um\x9cb\x9edois\x9cc\x9ftrês\x9cd", "abcd"),
    "abertura e fim de formas diferentes": ("a\x9d0;t\x1b\\b\x1b]0;t\x9cc", "abc"),
    "sequência dentro do texto de outra": ("a\x1b\x1b[31m[31mb", "a[31mb"),
    "sequência cancelada": ("a\x1b]0;t\x18b\x1b]0;t\x1ac", "a0;tb0;tc"),
    "apaga o que veio antes": ("senha\b\b\b\b\bcerta", "senhacerta"),
    "volta ao começo da linha": ("verdade\rmentira", "verdade\nmentira"),
    "inverte as letras": ("a\u202egpj.exe\u202c b\u2067c\u2069", "agpj.exe bc"),
    "etiquetas invisíveis": ("oi\U000e0001\U000e0041\U000e007f!", "oi!"),
    "etiquetas num par UTF-16": ("oi\udb40\udc41!", "oi!"),
    "linha e parágrafo": ("a\u2028b\u2029c", "a\nb\nc"),
    "outros controles": ("a\x00b\x05c\x0bd\x0ce\x7ff\x80g\x85h\x9fi", "abcdefghi"),
    "quebras de linha": ("a\r\nb\rc\n\rd\r\r\ne", "a\nb\nc\n\nd\n\ne"),
    "metades soltas": ("a\ud83db\ude00c", "a\ufffdb\ufffdc"),
    "par inteiro": ("a\ud83d\ude00b", "a😀b"),
    "ESC no fim": ("a\x1b", "a"),
    "CSI no fim": ("a\x1b[", "a"),
}


@pytest.mark.parametrize("hostile, clean", ATTACKS.values(), ids=ATTACKS)
def test_nothing_that_the_terminal_obeys_is_left(hostile, clean):
    assert clean_text(hostile) == clean


@pytest.mark.parametrize("hostile, clean", ATTACKS.values(), ids=ATTACKS)
def test_one_character_at_a_time_gives_the_same(hostile, clean):
    cleaner = TextCleaner()
    assert "".join(map(cleaner.feed, hostile)) + cleaner.flush() == clean


@pytest.mark.parametrize(
    "text",
    [
        "Olá, você! Ação — “aspas” e\ttab\n\n- item\n",
        f"{FAMILY} ❤️ 👍🏽 🇧🇷 1️⃣",
        "e\u0301 a\u0303",
        "a [31m b ]0; c \\ 100% {x} ~",
        "שלום مرحبا नमस्ते 日本語",
        "",
    ],
)
def test_ordinary_text_is_kept_as_it_is(text):
    assert clean_text(text) == text


@given(tricky_text)
@example("\x1b]0;" + "a" * 300 + "\x07fim")
@example("\x1b[" + "1" * 300 + "mfim")
@example("\x1b[" + "1" * 256 + " " * 16 + "mfim")
@example("\x1b[1" + " " * 17 + "mfim")
@example("\x1b" + " " * 17 + "Ffim")
def test_the_cleaner_agrees_with_the_reference(text):
    assert clean_text(text) == reference_clean(text)


@given(tricky_text, cuts)
@example("\x1b]0;título\x1b\\fim", [1, 5, 12])
@example("a\r\nb", [2])
@example("a\ud83d\ude00b", [2])
@example("a\x1b", [1])
def test_where_the_text_is_cut_changes_nothing(text, places):
    cleaner = TextCleaner()
    streamed = "".join(cleaner.feed(piece) for piece in pieces_of(text, places)) + cleaner.flush()
    assert streamed == clean_text(text)


@pytest.mark.parametrize("size", range(MAX_SEQUENCE_CHARS - 3, MAX_SEQUENCE_CHARS + 4))
@pytest.mark.parametrize("opening", ["\x1b]", "\x9d", "\x1bP", "\x1b[", "\x9b"])
@pytest.mark.parametrize("end", ["", "\x1b", "\x1b\\", "\x07", "\x9c", "m", "\n", "\x1b[m"])
def test_at_the_size_limit_cuts_change_nothing_either(size, opening, end):
    text = "a" + opening + "1" * size + end + "fim"
    expected = reference_clean(text)
    for place in (1, 2, 3, 4, len(text) - 5, len(text) - 4, len(text) - 3, len(text) - 1):
        cleaner = TextCleaner()
        assert cleaner.feed(text[:place]) + cleaner.feed(text[place:]) + cleaner.flush() == expected
    cleaner = TextCleaner()
    assert "".join(map(cleaner.feed, text)) + cleaner.flush() == expected


@given(tricky_text)
def test_cleaning_twice_is_cleaning_once(text):
    assert clean_text(clean_text(text)) == clean_text(text)


@given(tricky_text)
def test_what_comes_out_is_always_safe_and_encodable(text):
    clean = clean_text(text)
    clean.encode("utf-8")
    assert all(
        c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in clean
    )
    assert not any(is_hidden(char) for char in clean)


@pytest.mark.parametrize("opening", ["\x1b]0;", "\x9d", "\x1bP", "\x90", "\x1b_", "\x1b[", "\x9b"])
def test_a_sequence_without_end_does_not_swallow_the_answer(opening):
    answer = "é uma resposta comprida. " * 40
    assert clean_text(f"{opening}1\n{answer}").endswith("1\n" + answer)
    assert answer in clean_text(opening + answer)
    assert answer in clean_text(f"{opening}{answer}\x07")


def test_a_sequence_without_end_is_not_awaited_beyond_the_limit():
    cleaner = TextCleaner()
    assert cleaner.feed("oi\x1b]0;" + "a" * (MAX_SEQUENCE_CHARS - 2)) == "oi"
    assert len(cleaner.feed("aa")) >= MAX_SEQUENCE_CHARS
    assert cleaner.feed("b") == "b"


def test_ordinary_text_is_never_held_back():
    cleaner = TextCleaner()
    assert cleaner.feed("Olá, voc") == "Olá, voc" and cleaner.feed("ê") == "ê"
    assert cleaner.flush() == ""


def test_after_flush_the_cleaner_serves_another_text():
    cleaner = TextCleaner()
    cleaner.feed("a\x1b]0;t")
    cleaner.flush()
    assert cleaner.feed("\x07b") == "b"


@pytest.mark.parametrize(
    "unit",
    ["\x1b]0;", "\x9d", "\x1bP" + "a" * 300, "\x1b[", "\x9b" + "1" * 255, "\x1b", "\r", "\ud83d"],
    ids=["OSC", "OSC C1", "DCS longo", "CSI", "CSI longo", "ESC", "CR", "meio par"],
)
@pytest.mark.parametrize("piece", [1_000_000, 7])
def test_a_megabyte_of_hostile_text_is_cleaned(unit, piece):
    hostile = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    cleaner = TextCleaner()
    parts = [cleaner.feed(hostile[at : at + piece]) for at in range(0, len(hostile), piece)]
    clean = "".join(parts) + cleaner.flush()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", clean)


def test_an_unclosed_megabyte_comes_out_as_text():
    assert clean_text("\x1b]" + "a" * 1_000_000) == "a" * 1_000_000
    assert clean_text("\x1b[" + "1" * 1_000_000) == "1" * 1_000_000


# ---------------------------------------------------------------------- larguras


@pytest.mark.parametrize(
    "text, parts",
    [
        ("abc", ["a", "b", "c"]),
        ("e\u0301a", ["e\u0301", "a"]),
        (f"{FAMILY}x", [FAMILY, "x"]),
        ("👩\u200d❤️\u200d👩a", ["👩\u200d❤️\u200d👩", "a"]),
        ("🇧🇷🇵🇹🇧", ["🇧🇷", "🇵🇹", "🇧"]),
        ("👍🏽👍", ["👍🏽", "👍"]),
        ("❤️1️⃣", ["❤️", "1️⃣"]),
        ("日本", ["日", "本"]),
        ("\u0301a", ["\u0301", "a"]),
        ("", []),
    ],
)
def test_what_is_drawn_together_stays_together(text, parts):
    assert clusters(text) == parts


@pytest.mark.parametrize(
    "text, width",
    [("abc", 3), ("ação", 4), ("e\u0301", 1), ("日本", 4), (FAMILY, 2), ("é\x85", 1)],
)
def test_widths_are_those_of_the_terminal(text, width):
    assert display_width(text) == width


def test_piled_up_accents_do_not_wait_forever():
    written = []
    wrapper = StreamWrapper(written.append, 10)
    wrapper.feed("e" + "\u0301" * 100)
    assert written
    wrapper.flush()
    assert "".join(written) == "e" + "\u0301" * 100


# ---------------------------------------------------------------------- uma linha


@pytest.mark.parametrize(
    "text, width, line",
    [
        ("Olá", 10, "Olá"),
        ("Olá, mundo", 10, "Olá, mundo"),
        ("Olá, mundo!", 10, "Olá, mund…"),
        ("Olá, mundo", 6, "Olá,…"),
        (" a\n\n b\t c\r\nd ", 10, "a b c d"),
        ("\x1b[2J\x1b]0;t\x07oi\x1b[0m", 10, "oi"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        (FAMILY + FAMILY, 3, FAMILY + "…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("abc", -3, ""),
        ("", 5, ""),
        ("abc", sys.maxsize, "abc"),
    ],
)
def test_one_line_fits_the_width(text, width, line):
    assert one_line(text, width) == line


@given(hostile_text, st.integers(0, 20))
def test_one_line_is_one_line_of_at_most_the_width(text, width):
    line = one_line(text, width)
    assert "\n" not in line and display_width(line) <= width
    assert line == line.strip()


# ---------------------------------------------------------------------- quebra de linhas


def wrap(text, width, places=(), **options):
    """``text`` quebrado, chegando em pedaços."""
    written = []
    wrapper = StreamWrapper(written.append, width, **options)
    for piece in pieces_of(text, places):
        wrapper.feed(piece)
    wrapper.flush()
    assert "" not in written
    return "".join(written)


@pytest.mark.parametrize(
    "text, width, lines",
    [
        ("uma frase que não cabe", 10, ["uma frase", "que não", "cabe"]),
        ("cabe justo", 10, ["cabe justo"]),
        ("cabe justos", 10, ["cabe", "justos"]),
        ("extraordinariamente", 8, ["extraord", "inariame", "nte"]),
        ("um extraordinariamente", 8, ["um", "extraord", "inariame", "nte"]),
        ("a\n\nb\n", 10, ["a", "", "b", ""]),
        ("a   \n   \nb  ", 10, ["a", "", "b"]),
        ("a  b", 10, ["a  b"]),
        ("a\tb", 10, ["a    b"]),
        ("\tcódigo recuado aqui", 16, ["    código", "    recuado aqui"]),
        ("- um item que segue", 11, ["- um item", "  que segue"]),
        ("* um item que segue", 11, ["* um item", "  que segue"]),
        ("1. um item que segue", 12, ["1. um item", "   que segue"]),
        ("10) um item que segue", 13, ["10) um item", "    que segue"]),
        ("  - um item que segue", 13, ["  - um item", "    que segue"]),
        ("-  um item\ne o resto", 8, ["-  um", "   item", "e o", "resto"]),
        ("em 2024. um dois", 9, ["em 2024.", "um dois"]),
        ("isto - e mais nada", 8, ["isto - e", "mais", "nada"]),
        ("isto aqui - e mais nada", 9, ["isto aqui", "- e mais", "nada"]),
        ("-menos um dois", 9, ["-menos um", "dois"]),
        (" " * 50 + "fundo", 21, [" " * 10 + "fundo"]),
        ("日本語日本", 5, ["日本", "語日", "本"]),
        ("日本", 1, ["日", "本"]),
        ("abc", 1, ["a", "b", "c"]),
        ("abc", 0, ["a", "b", "c"]),
        ("- abc", 2, ["-", "ab", "c"]),
        (f"oi {FAMILY} oi", 5, [f"oi {FAMILY}", "oi"]),
        (f"ois {FAMILY} oi", 5, ["ois", f"{FAMILY} oi"]),
        ("um\u00a0dois três", 8, ["um\u00a0dois", "três"]),
        ("", 10, [""]),
        ("   ", 10, [""]),
    ],
)
def test_text_is_wrapped_between_words(text, width, lines):
    assert wrap(text, width).split("\n") == lines
    assert wrap(text, width, places=range(len(text))).split("\n") == lines


def test_the_first_line_starts_after_the_prefix_and_the_others_at_the_indent():
    text = "um dois três quatro\ncinco\n\n- seis sete oito"
    lines = wrap(text, 14, prefix_width=6, indent=2).split("\n")
    assert lines == ["um dois", "  três quatro", "  cinco", "", "  - seis sete", "    oito"]


def test_a_list_right_after_the_prefix_hangs_from_its_item():
    lines = wrap("- um dois três", 16, prefix_width=6).split("\n")
    assert lines == ["- um dois", " " * 7 + "três"]


def test_a_first_word_that_does_not_fit_after_the_prefix_goes_to_the_next_line():
    assert wrap("maravilha", 12, prefix_width=6) == "\nmaravilha"
    assert wrap("oi", 5, prefix_width=6) == "\noi"


def test_the_indent_never_takes_more_than_half_of_a_narrow_window():
    assert wrap("a\nbcde", 5, indent=40).split("\n") == ["a", "  bcd", "  e"]


def test_words_appear_as_soon_as_they_have_a_place():
    shown = []
    wrapper = StreamWrapper(shown.append, 12)

    def after(piece):
        wrapper.feed(piece)
        return "".join(shown)

    assert after("Extra") == "Extr"  # abre a linha; a última letra pode ganhar um acento
    assert after("or") == "Extrao"
    assert after(" é") == "Extraor"  # ainda não se sabe se cabe
    assert after(" ") == "Extraor é"
    assert after("is") == "Extraor é"
    assert after("so") == "Extraor é\niss"  # já não cabe
    wrapper.flush()
    assert "".join(shown) == "Extraor é\nisso"


def test_a_word_waits_for_the_accent_that_comes_later():
    assert wrap("abc ❤\ufe0f", 5, places=[5]) == wrap("abc ❤\ufe0f", 5) == "abc\n❤\ufe0f"
    assert wrap("abcd❤\ufe0f", 5, places=[5]) == "abcd\n❤\ufe0f"


def test_a_window_resized_in_the_middle_is_followed():
    shown, width = [], 20
    wrapper = StreamWrapper(shown.append, lambda: width)
    wrapper.feed("uma linha bem larga ")
    width = 9
    wrapper.feed("e outra estreita e outra ")
    width = 30
    wrapper.feed("e de novo uma larga")
    wrapper.flush()
    assert "".join(shown).split("\n") == [
        "uma linha bem larga",
        "e outra",
        "estreita",
        "e outra e de novo uma larga",
    ]


def test_without_a_terminal_nothing_is_wrapped():
    text = "uma linha muito comprida, " * 100
    assert wrap(text, sys.maxsize) == text.rstrip()


@pytest.mark.parametrize("width", [80, sys.maxsize])
@pytest.mark.parametrize("start", ["", "e "])
@pytest.mark.parametrize("unit", ["a", "\u0301"], ids=ascii)
def test_a_word_of_any_size_is_wrapped(unit, start, width):
    text = start + unit * 300_000
    wrapped = wrap(text, width, places=range(0, len(text), 3))
    assert re.sub("[ \n]", "", wrapped) == text.replace(" ", "")


words = st.text(st.sampled_from("aábcdç-.1*é,;"), min_size=1, max_size=12) | st.sampled_from(
    [
        FAMILY,
        "❤️",
        "👍🏽",
        "🇧🇷",
        "1️⃣",
        "日本語",
        "e\u0301",
        "-",
        "1.",
        "extraordinariamente",
        "\u0301",
    ]
)
blanks = st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", "\t", " \n", "\n    "])
prose = st.lists(st.tuples(words, blanks), max_size=15).map(
    lambda pairs: "".join(word + blank for word, blank in pairs)
)
anything = prose | hostile_text.map(clean_text)
widths = st.integers(1, 30)
options = st.fixed_dictionaries({"prefix_width": st.integers(0, 8), "indent": st.integers(0, 8)})


@given(anything, widths, options)
@settings(max_examples=300)
def test_no_line_is_wider_than_the_window(text, width, chosen):
    first, *others = wrap(text, width, **chosen).split("\n")
    used = chosen["prefix_width"] + display_width(first)
    assert used <= max(width, chosen["prefix_width"]) or len(clusters(first)) == 1
    for line in others:
        assert max(wcswidth(line), 0) <= width or len(clusters(line)) == 1


@given(anything, widths, cuts, options)
@settings(max_examples=300)
def test_where_the_text_is_cut_does_not_change_the_lines(text, width, places, chosen):
    assert wrap(text, width, places, **chosen) == wrap(text, width, **chosen)


@given(anything, widths, options)
@settings(max_examples=300)
def test_only_blanks_change(text, width, chosen):
    wrapped = wrap(text, width, **chosen)
    assert re.sub("[ \t\n]", "", wrapped) == re.sub("[ \t\n]", "", text)
    assert not re.search(r" (\n|$)", wrapped)


@given(prose, st.integers(40, 60), options)
def test_words_that_fit_are_never_broken(text, width, chosen):
    assert wrap(text, width, **chosen).split() == text.split()


@given(anything, options)
def test_the_text_keeps_its_own_line_breaks(text, chosen):
    lines = wrap(text, sys.maxsize, **chosen).split("\n")
    assert len(lines) == len(text.split("\n"))


# ---------------------------------------------------------------------- cores e símbolos


class Terminal(io.StringIO):
    """Um fluxo que se diz terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def fileno(self):
        return 1


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    "variables, terminal, colored",
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": ""}, False, False),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_color_follows_the_conventions(monkeypatch, variables, terminal, colored):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert use_color(Terminal() if terminal else io.StringIO()) is colored


def test_closed_and_absent_streams_get_no_color():
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    assert not use_color(closed) and not use_color(None)


class FakeConsole:
    """O console do Windows, como o ctypes o mostra."""

    def __init__(self, is_console=True, obeys=True):
        self.is_console, self.obeys, self.mode = is_console, obeys, 3

    def GetConsoleMode(self, handle, pointer):  # noqa: N802
        pointer._obj.value = self.mode
        return int(self.is_console)

    def SetConsoleMode(self, handle, mode):  # noqa: N802
        if self.obeys:
            self.mode = mode
        return int(self.obeys)


@pytest.fixture
def windows(monkeypatch):
    """Finge um Windows com o console dado."""

    def install(console):
        handles = types.SimpleNamespace(get_osfhandle=lambda number: number)
        library = types.SimpleNamespace(kernel32=console)
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setitem(sys.modules, "msvcrt", handles)
        monkeypatch.setattr(ctypes, "windll", library, raising=False)
        return console

    return install


def test_on_windows_the_console_is_asked_to_obey_sequences(windows):
    console = windows(FakeConsole())
    assert use_color(Terminal()) and console.mode == 3 | 4


@pytest.mark.parametrize("console", [FakeConsole(obeys=False), FakeConsole(is_console=False), None])
def test_on_windows_a_console_that_cannot_obey_gets_no_color(windows, console):
    windows(console)
    assert not use_color(Terminal())


def test_forced_color_needs_no_console(windows, monkeypatch):
    windows(FakeConsole(is_console=False))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert use_color(io.StringIO())


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_has_a_method_that_vanishes_when_disabled(look):
    painted = getattr(Style(True), look)("Olá")
    assert painted == f"\033[{LOOKS[look]}mOlá\033[0m" and clean_text(painted) == "Olá"
    assert getattr(Style(False), look)("Olá") == "Olá"
    assert getattr(Style(True), look)("") == ""


def luminance(color):
    """Luminância relativa, WCAG 2.2."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(color, background):
    light, dark = sorted((luminance(color), luminance(background)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


#: As oito cores do xterm, normais e claras (há terminais que clareiam o negrito).
XTERM = {
    "31": [(205, 0, 0), (255, 0, 0)],
    "32": [(0, 205, 0), (0, 255, 0)],
    "33": [(205, 205, 0), (255, 255, 0)],
    "34": [(0, 0, 238), (92, 92, 255)],
    "35": [(205, 0, 205), (255, 0, 255)],
    "36": [(0, 205, 205), (0, 255, 255)],
}


@pytest.mark.parametrize("look", LOOKS)
def test_colors_read_well_on_light_and_dark(look):
    """3:1 é o mínimo da WCAG para texto grande ou em negrito."""
    for parameter in set(LOOKS[look].split(";")) & set(XTERM):
        for color in XTERM[parameter]:
            assert contrast(color, (255, 255, 255)) >= 3 and contrast(color, (0, 0, 0)) >= 3


def stream_of(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    "encoding, whole", [("utf-8", True), ("utf-16", True), ("cp1252", False), ("ascii", False)]
)
def test_unicode_support_is_that_of_the_encoding(encoding, whole):
    assert supports_unicode(stream_of(encoding)) is whole


@pytest.mark.parametrize("encoding", [None, "não existe"])
def test_an_unknown_encoding_gets_plain_symbols(encoding):
    stream = types.SimpleNamespace(encoding=encoding)
    assert not supports_unicode(stream) and symbol("suggestion", stream) == "*"


def test_symbols_fall_back_only_where_they_cannot_be_written():
    assert symbol("suggestion", stream_of("utf-8")) == "💡"
    assert symbol("suggestion", stream_of("cp1252")) == "*"
    assert symbol("bullet", stream_of("cp1252")) == "•"  # a cp1252 tem este
    assert symbol("ellipsis", stream_of("latin-1")) == "..."


def test_symbols_look_at_stdout_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream_of("ascii"))
    assert symbol("suggestion") == "*"


@pytest.mark.parametrize("preferred, plain", SYMBOLS.values())
def test_every_fallback_is_ascii(preferred, plain):
    assert plain.isascii() and not preferred.isascii()


def test_indent_holds_from_the_second_line_on_even_without_a_prefix():
    pieces = []
    wrapper = StreamWrapper(pieces.append, 12, indent=4)
    wrapper.feed("um dois três quatro cinco")
    wrapper.flush()
    assert "".join(pieces) == "um dois três\n    quatro\n    cinco"
