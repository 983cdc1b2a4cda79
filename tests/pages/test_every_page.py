"""Every HTML page in Chromium, on a laptop, a phone and paper: nothing is lost at the side."""

from pathlib import Path

import pytest

import recsys_lab
from tests.support.browser import LAPTOP, PHONE, faults
from tests.support.every_page import MAKERS, write_every_page

PAPER = 690  # pixels between the margins of A4


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return write_every_page(tmp_path_factory.mktemp("pages"))


def test_every_template_of_a_page_is_among_them():
    package = Path(recsys_lab.__file__).parent
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.html")
        if 'extends "pages/base.html"' in file.read_text()
    }
    assert found == set(MAKERS)


def test_nothing_is_wider_than_the_window_without_a_hint(pages, tmp_path):
    shown = [(page, width) for page in pages.values() for width in (LAPTOP[0], PHONE[0])]
    for page in pages.values():  # the rules for paper, and what cannot be scrolled there
        printed = tmp_path / page.name
        text = page.read_text().replace("@media screen", "@media speech")
        text = text.replace("@media print", "@media all")
        printed.write_text(text.replace("</style>", ".scroll { overflow: hidden }</style>"))
        shown.append((printed, PAPER))
    found = faults(shown, tmp_path)
    assert {
        (page.name, width): wrong
        for (page, width), wrong in zip(shown, found, strict=True)
        if wrong
    } == {}


def test_a_hidden_column_without_a_hint_is_noticed(tmp_path):
    table = '<table><tr><td style="min-width:900px">a</td><td>last</td></tr></table>'
    bodies = {
        "scrolls without a hint": f'<div style="overflow-x:auto">{table}</div>',
        "cut off": f'<div style="overflow:hidden">{table}</div>',
        "beyond the window": f'<body style="overflow-x:clip">{table}',
    }
    files = []
    for number, body in enumerate(bodies.values()):
        files.append((tmp_path / f"{number}.html", PHONE[0]))
        files[-1][0].write_text(f"<!doctype html>{body}")
    for expected, found in zip(bodies, faults(files, tmp_path), strict=True):
        assert any(one.startswith(expected) for one in found)
