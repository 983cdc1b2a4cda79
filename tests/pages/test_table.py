"""One table in every format: the same words, each escaped as its format needs."""

from __future__ import annotations

from html.parser import HTMLParser
from io import StringIO

import pytest
from jinja2 import UndefinedError
from rich.console import Console

from recsys_lab.pages.latex import Tex
from recsys_lab.pages.markdown import Marked
from recsys_lab.pages.markup import Markup, render, tag
from recsys_lab.pages.table import Span, Table

HOSTILE = "<b>&amp; [red]x_y| 5%"
CELL = [Span("0.5", "bold"), Span(" ± 0.1*"), Span("0.4 - 0.6", "below")]
TABLE = Table("caption", ("name", "value"), [(HOSTILE, CELL), (), ("other", "1")], right=(1,))


class Texts(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, _):
        self.tags.append(tag)

    def handle_data(self, data):
        self.parts += [data] if data.strip() else []


def test_html_shows_the_words_and_nothing_else():
    page = Texts(TABLE.__html__())
    assert page.parts == [
        "caption", "name", "value", HOSTILE, "0.5", " ± 0.1*", "0.4 - 0.6", "other", "1",
    ]  # fmt: skip
    assert [t for t in page.tags if t in ("b", "u", "small")] == ["b", "small"]


def test_a_terminal_shows_brackets_and_draws_a_rule():
    out = StringIO()
    Console(file=out, width=80).print(TABLE)
    assert "[red]" in out.getvalue()
    assert out.getvalue().count("├") == 1


def test_markdown_and_latex_escape_what_is_text_and_keep_what_is_theirs():
    table = Table("a_b", ("x", "y"), [("1_000 <", CELL)], right=(1,))
    assert table.markdown().splitlines() == [
        "| x | y |",
        "| --- | ---: |",
        r"| 1_000 \< | **0.5** ± 0.1*<br>0.4 - 0.6 |",
    ]
    assert r"\caption{a\_b}" in table.latex("mine")
    assert r"1\_000 \textless{} & \textbf{0.5} $\pm$ 0.1* {\scriptsize 0.4 - 0.6} \\" in (
        table.latex("mine")
    )
    assert "\\caption{a\\_b}\n  \\label{tab:mine}\n" in table.latex("mine")
    assert r"\begin{tabular}{lr}" in table.latex("mine")
    own = Table("", ("x", "y"), [(Marked("**1**"), Tex(r"\textbf{1}"))])
    assert "**1**" in own.markdown()
    assert r"\textbf{1}" in own.latex("mine")


def test_a_template_escapes_what_is_not_markup_and_names_what_it_lacks():
    context = {"caption": HOSTILE, "heads": (), "rows": [[tag("i", HOSTILE), Markup("<b>1</b>")]]}
    page = Texts(render("pages/table.html", **context, n=["", ""]))
    assert page.parts == [HOSTILE, HOSTILE, "1"]
    assert [t for t in page.tags if t in ("b", "i", "script")] == ["i", "b"]
    with pytest.raises(UndefinedError, match="'n'"):
        render("pages/table.html", **context)
