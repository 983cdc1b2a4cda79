"""Amazon's reviews: prices, texts, endless and bad lines."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.formats import chunks as lines
from recsys_lab.data.sources.published.reviews import names, price, text
from tests.data.sources.published.amazon_files import LOG, REVIEWS, reader_of
from tests.data.sources.published.test_amazon import events


@pytest.fixture
def reader(make):
    return reader_of(make)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$5.00", 5.0),
        ("$1,299.50", 1299.5),
        ("$12.99 - $24.99", 12.99),
        ("from 14.99", 14.99),
        (3, 3.0),
        ("", None),
        (None, None),
        (True, None),
        ("3px { margin }", None),
        (".a-box", None),
        ("—", None),
    ],
)
def test_prices(value, expected):
    assert price(value) == expected


def test_text_and_names():
    assert text("  A &amp;  B\n") == "A & B"
    assert text(["a", "", "b"]) == "a b"
    assert text(5) is None
    assert names([["a", "b"], ["a", " "], 3]) == ["a", "b"]
    assert names("abc") == []
    assert names(None) == []


def test_endless_lines(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", 1000)
    monkeypatch.setattr(lines, "MAX_LINE", 5000)
    (tmp_path / LOG[2014]).write_text(REVIEWS + "x" * 10_000)
    with pytest.raises(UserError, match=r"row 5 is longer than 5,000 bytes"):
        reader(2014, path=str(tmp_path), metadata=False).read_raw(tmp_path)


def test_delimited_logs_name_the_row(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", 40)
    good = "A1,0001,5.0,1252800000\n"
    log = tmp_path / "ratings_Beauty.csv"
    options = {"path": str(tmp_path), "metadata": False, "subset": "raw"}
    log.write_bytes(good.encode() * 10 + b"A\xff,0001,5.0,1252800000\n")
    with pytest.raises(UserError, match=r"ratings_Beauty.csv: row 11 is not UTF-8 \(byte 0xff\)"):
        reader(2014, **options).read_raw(tmp_path)
    log.write_text(good * 10 + "A,B,C,D,E\n" + good)
    with pytest.raises(
        UserError, match=r"row 11 is not in the official format \(user, item, rating"
    ):
        reader(2014, **options).read_raw(tmp_path)
    log.write_text(good * 10)
    assert events(reader(2014, **options).read_raw(tmp_path)).height == 10
