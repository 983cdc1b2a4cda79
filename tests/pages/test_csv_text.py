"""CSV that a spreadsheet opens without computing anything."""

from __future__ import annotations

import csv
import io

import polars as pl
import pytest

from recsys_lab.pages.csv_text import frame_as_csv, rows_as_csv

FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    '=HYPERLINK("x")',
]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_would_be_a_formula_has_an_apostrophe(text):
    frame = pl.DataFrame({text: [text, None], "n": [-1.5, 2.0]})
    for made in (rows_as_csv([(text, "n"), (text, -1.5), (None, 2.0)]), frame_as_csv(frame)):
        rows = list(csv.reader(io.StringIO(made, newline="")))
        text_cell = "'" + text.replace("\r", "\n")
        assert rows == [[text_cell, "n"], [text_cell, "-1.5"], ["", "2.0"]]


@pytest.mark.parametrize("value", ["-1.5", "+3", "1e-3", -1.5, 3, "a=b", "x@y", "", True, "-.5E+9"])
def test_numbers_and_other_texts_stay(value):
    assert next(csv.reader([rows_as_csv([[value, "x"]])])) == [str(value), "x"]
