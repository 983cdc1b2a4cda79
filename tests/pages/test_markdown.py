"""Text from elsewhere in Markdown, judged by a parser of Markdown."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from recsys_lab.pages.markdown import Marked, bullets, code, line, plain, table

HOSTILE = [
    "a | b", "one\ntwo", "`code`", "<img src=x onerror=alert(1)>", "[a](http://evil)",
    "![a](http://evil/x.png)", "<http://evil>", "*bold* and _em_ and __x__", "~~gone~~",
    "back\\slash", "a\\|b", "&lt;b&gt;", "[a][b]", "# heading", "> quote", "- item", "1. item",
    "+ item", "===", "---", "[x] task", "[a]: http://evil", "```", "    four", "\x1b[31m",
]  # fmt: skip


def parsed(text: str) -> list:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(text)


def leaves(text: str) -> list[tuple[str, str]]:
    """Kind and content of everything within lines."""
    return [(t.type, t.content) for b in parsed(text) if b.children for t in b.children]


def seen(text: str) -> str:
    return " ".join(text.replace("\x1b", "?").split())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_stands(text):
    blocks = [block.type for block in parsed(line(text))]
    assert blocks == ["paragraph_open", "inline", "paragraph_close"]
    for made in (line(text), f"x {plain(text)}", bullets([text])):
        kinds = {kind for kind, _ in leaves(made)}
        assert kinds <= {"text", "text_special"}
        assert "".join(content for _, content in leaves(made)).removeprefix("x ") == seen(text)
    assert [b.type for b in parsed(bullets([text, text]))].count("list_item_open") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_is_one_cell(text):
    made = parsed(table(["h", text], [[text, "x"], ["y", text]]))
    assert [block.type for block in made].count("td_open") == 4
    assert [block.type for block in made].count("th_open") == 2
    cells = [b for b in made if b.type == "inline"]
    assert "".join(t.content for t in cells[1].children) == seen(text)
    assert {t.type for cell in cells for t in cell.children} <= {"text", "text_special"}


@pytest.mark.parametrize("text", ["a", "a `b` c", "``", "`", "x\n# y", "a``b`c"])
def test_code_is_one_piece_of_code(text):
    assert leaves(code(text)) == [("code_inline", " ".join(text.split()))]


def test_markdown_that_was_made_here_stays():
    assert table(["a"], [[Marked("**1**<br>")]]).endswith("| **1**<br> |")
