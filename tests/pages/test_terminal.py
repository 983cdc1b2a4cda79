"""Text from elsewhere on its way to a terminal or a log."""

from __future__ import annotations

import io
import logging

import pytest
from rich.table import Table
from rich.text import Text

from recsys_lab.pages.terminal import LogFormatter, Terminal, printable

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "c1": "\x9b31mred",
    "overwritten line": "good\rbad",
    "backspace": "bad\x08\x08\x08good",
    "direction": "abc\u202egpj.exe\u2066",
    "separator": "one\u2028two",
    "half a pair": "\ud800",
    "null": "a\x00b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_a_terminal_acts_on_is_left(text):
    for made in (printable(text), _printed(text), _printed(Text(text)), _printed(_table(text))):
        assert all(sign.isprintable() or sign in "\n\t" for sign in made)
        made.encode()
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    "text", ["Amélie (2001)", "東京物語", "שלום", "a\n\tb", "👩‍👩‍👧", "50% [x]"]
)
def test_other_texts_stay(text):
    assert printable(text) == text


def test_the_terminals_own_colours_work():
    out = io.StringIO()
    Terminal(file=out, force_terminal=True, color_system="standard", width=40).print(
        Text("\x1b[31mred", style="bold")
    )
    assert out.getvalue() == "\x1b[1m?[31mred\x1b[0m\n"


@pytest.mark.parametrize("text", ["[red]Alert[/red]", "[/]", ":smile:", "[link=http://x]y[/link]"])
def test_markup_is_shown_as_it_stands(text):
    assert _printed(text).strip() == text
    assert text in _printed(_table(text))


def test_secrets_are_masked_in_what_is_printed_and_logged(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "c4nary-9")
    for text in ("the key c4nary-9 and mysql://me:c4nary-8@host", Text("pw c4nary-9 ?")):
        assert "c4nary" not in _printed(text)
        assert "c4nary" not in _printed(_table(text))
    line = logging.LogRecord("x", 30, "f", 1, "%s \x1b[2J", ("pw c4nary-9",), None)
    assert LogFormatter("%(message)s").format(line) == "pw *** ?[2J"


def _printed(what) -> str:
    out = io.StringIO()
    Terminal(file=out, width=100).print(what)
    return out.getvalue()


def _table(text: str) -> Table:
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    return table
