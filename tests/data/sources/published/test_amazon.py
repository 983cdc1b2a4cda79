from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import threading
from functools import partial
from typing import get_args

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.config.schema import schema_of_target
from recsys_lab.config.values import problem_with
from recsys_lab.data.formats import chunks as lines
from recsys_lab.data.sources.published import amazon_2014, amazon_2018, amazon_2023
from recsys_lab.data.sources.published.amazon_2023 import Amazon2023
from tests.data.sources.published.amazon_files import (
    EVENTS,
    LOG,
    META,
    REVIEWS,
    YEARS,
    official,
    reader_of,
)


@pytest.fixture
def reader(make):
    return reader_of(make)


def events(raw):
    return pl.read_parquet(raw.interactions.files[0])


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("zipped", [True, False])
def test_official_files(tmp_path, reader, year, zipped):
    raw = reader(year, path=str(official(tmp_path, year, zipped=zipped))).read_raw(tmp_path)
    rows = events(raw)
    assert rows.select("user_id", "item_id", "rating", "timestamp").rows() == EVENTS
    if year == 2023:
        assert rows["order"].to_list() == [time * 1000 + 123 for *_, time in EVENTS]
    assert list(raw.interactions.columns) == rows.columns
    items = {item["item_id"]: item for item in raw.items.to_dicts()}
    assert set(items) == {"0001", "B00X"}
    assert items["0001"] == {
        "item_id": "0001",
        "title": "Rock & Roll's Café",
        "brand": "Oréal",
        "price": 8.5,
        "categories": ["Beauty", "Hair", "Gifts"],
    }
    assert items["B00X"]["title"] is None  # of the first row, not the second
    assert items["B00X"]["price"] is None
    assert items["B00X"]["categories"] == ["Beauty"]
    assert raw.features.items["categories"] == "list"
    assert raw.features.events == {"rating": "numeric"}
    assert raw.about.licence.startswith("No licence is stated")


@pytest.mark.parametrize("year", [2018, 2023])
def test_descriptions(tmp_path, reader, year):
    made = reader(year, path=str(official(tmp_path, year)), description=True).read_raw(tmp_path)
    found = dict(made.items.select("item_id", "description").rows())
    assert found == {"0001": "One. Two.", "B00X": None}
    assert made.features.items["description"] == "text"


def test_raw_ratings(tmp_path, reader):
    (tmp_path / "ratings_Beauty.csv").write_text(
        "A1,0001,5.0,1252800000\nA2,B00X,2.0,x\n,B00X,1,7\n"
    )
    (tmp_path / "All_Beauty.csv").write_text("0001,A1,5.0,1252800000\r\nB00X,A2,2.0,1252800001")
    options = {"path": str(tmp_path), "metadata": False, "subset": "raw"}
    assert events(reader(2014, **options).read_raw(tmp_path)).rows() == [
        ("A1", "0001", 5.0, 1252800000),
        ("A2", "B00X", 2.0, None),  # counted as 'unparseable timestamp' by the pipeline
        (None, "B00X", 1.0, 7),
    ]
    raw = reader(2018, **options).read_raw(tmp_path)
    assert raw.items is None
    assert events(raw).rows() == [
        ("A1", "0001", 5.0, 1252800000),
        ("A2", "B00X", 2.0, 1252800001),
    ]


def test_raw_2023(tmp_path, reader):
    records = [
        {
            "rating": 5.0,
            "title": "t",
            "text": "x",
            "images": [],
            "asin": "variant",
            "parent_asin": item,
            "user_id": user,
            "timestamp": time * 1000 + 5,
            "verified_purchase": True,
        }
        for user, item, _, time in EVENTS
    ]
    lines_ = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "All_Beauty.jsonl.gz").write_bytes(gzip.compress(lines_.encode()))
    raw = reader(2023, path=str(tmp_path), subset="raw", metadata=False).read_raw(tmp_path)
    assert events(raw).select("user_id", "item_id", "timestamp", "order").rows() == [
        (user, item, time, time * 1000 + 5) for user, item, _, time in EVENTS
    ]


@pytest.mark.parametrize("size", [1, 64, 1000])
def test_chunks_do_not_matter(tmp_path, reader, size, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", size)
    for year in YEARS:
        folder = tmp_path / str(year)
        folder.mkdir()
        raw = reader(year, path=str(official(folder, year))).read_raw(folder)
        assert events(raw).select("user_id", "item_id", "rating", "timestamp").rows() == EVENTS
        assert len(raw.items) == 2


def test_prepared(tmp_path, reader, run):
    data = run(reader(2014, path=str(official(tmp_path, 2014))))
    assert data.user_ids() == ["A1", "A2"]
    assert data.item_ids() == ["0001", "0002", "B00X"]
    assert data.items.tolist() == [0, 1, 2, 0]
    assert data.item_titles() == ["Rock & Roll's Café", "0002", "B00X"]  # ids where untitled


@pytest.mark.parametrize("year", YEARS)
def test_text_of_the_published_recipes(tmp_path, reader, run, year):
    data = run(reader(year, path=str(official(tmp_path, year))))
    names = [f"item.{name}" for name in ("title", "price", "brand", "categories")]
    whole, unknown, bare = data.features.sentences(names)
    assert whole == "Rock & Roll's Café. 8.5. Oréal. Beauty, Hair, Gifts."
    assert (unknown, bare) == (None, "Beauty.")  # no metadata, or categories alone


def test_the_file_itself_and_its_key(tmp_path, reader):
    folder = official(tmp_path, 2014)
    by_folder = reader(2014, path=str(folder)).source_key()
    by_file = reader(2014, path=str(folder / "reviews_Beauty_5.json.gz")).source_key()
    assert by_folder == by_file
    assert list(by_file) == ["log", "metadata"]
    assert by_file["metadata"]["name"] == "meta_Beauty.json.gz"


BAD_LINES = {
    "cut": ('{"reviewerID": "A1", "asin":', r"row 5 is neither JSON nor .*character"),
    "list": ("[1, 2]", r"row 5 is list '\[1, 2\]'; expected a record in braces"),
    "encoding": (b'{"asin": "\xff"}', r"row 5 is not UTF-8 \(byte 11 of the line is 0xff\)"),
    "code": ("{'asin': __import__('os').getcwd()}", r"row 5 is neither JSON nor a Python literal"),
    "deep": ("{'a': " + "[" * 5000, r"row 5 is neither JSON nor a Python literal"),
}


@pytest.mark.parametrize("kind", BAD_LINES)
@pytest.mark.parametrize("where", ["log", "metadata"])
def test_bad_lines(tmp_path, reader, kind, where):
    line, message = BAD_LINES[kind]
    official(tmp_path, 2014, zipped=False)
    file = tmp_path / (LOG if where == "log" else META)[2014]
    line = line.encode() if isinstance(line, str) else line
    file.write_bytes(file.read_bytes() + line + b"\n")
    with pytest.raises(UserError, match=rf"data.path=.*{file.name}: {message}"):
        reader(2014, path=str(tmp_path)).read_raw(tmp_path)


def test_odd_values_are_missing(tmp_path, reader):
    folder = official(tmp_path, 2014, zipped=False)
    odd = [
        {"reviewerID": "A3", "asin": "0001", "overall": "five", "unixReviewTime": 1},
        {"reviewerID": "A3", "overall": 2.0, "unixReviewTime": "soon"},
        {},
    ]
    with (folder / LOG[2014]).open("a") as stream:
        stream.write("\n".join(["", *map(json.dumps, odd)]))
    rows = events(reader(2014, path=str(folder)).read_raw(tmp_path)).rows()
    assert rows[:4] == EVENTS
    assert rows[4:] == [("A3", "0001", None, 1), ("A3", None, 2.0, None), (None,) * 4]


def test_literals_in_the_log(tmp_path, reader):
    folder = official(tmp_path, 2014, zipped=False)
    records = [json.loads(line) for line in REVIEWS.split("\n") if line]
    (folder / LOG[2014]).write_text("".join(f"{record!r}\n" for record in records))
    assert events(reader(2014, path=str(folder)).read_raw(tmp_path)).rows() == EVENTS


def test_wrong_places(tmp_path, reader):
    def fails(message, **options):
        with pytest.raises(UserError, match=message):
            reader(2014, **options).read_raw(tmp_path)

    fails(r"data.path=.*nowhere: no such file or folder.*reviews_Beauty_5.json.gz \(https://snap",
          path=str(tmp_path / "nowhere"))  # fmt: skip
    fails(r"has no reviews_Beauty_5.json.gz, the official file of data.category=Beauty",
          path=str(tmp_path))  # fmt: skip
    official(tmp_path, 2014)
    (tmp_path / "meta_Beauty.json.gz").unlink()
    fails(r"has no meta_Beauty.json.gz with the items' titles.*or set data.metadata=false",
          path=str(tmp_path))  # fmt: skip
    log = tmp_path / "reviews_Beauty_5.json.gz"
    log.write_bytes(log.read_bytes()[:-20])
    fails(r"reviews_Beauty_5.json.gz: not a complete gzip archive", path=str(log), metadata=False)
    (tmp_path / "All_Beauty.csv").write_text("user,item,rating,time\n")
    with pytest.raises(UserError, match=r"row 1 is 'user,item,rating,time'; expected 'user_id,p"):
        reader(2023, path=str(tmp_path), metadata=False).read_raw(tmp_path)


@pytest.mark.parametrize("year", YEARS)
def test_categories_are_checked(year):
    module = {2014: amazon_2014, 2018: amazon_2018, 2023: amazon_2023}[year]
    schema = schema_of_target(f"recsys_lab.data.sources.published.amazon_{year}.Amazon{year}")
    kind = schema.types["category"]
    assert kind == module.Category
    assert len(get_args(kind)) == {2014: 24, 2018: 29, 2023: 34}[year]
    assert problem_with("Video_Games", kind) is None
    assert "did you mean 'Video_Games'" in problem_with("Videogames", kind)


def test_download(tmp_path, reader, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = tmp_path / "site"
    site.mkdir()
    official(site, 2023)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    source = dataclasses.replace(Amazon2023.sources["5core"], url=f"{base}/{{}}.csv.gz")
    monkeypatch.setattr(Amazon2023, "sources", {"5core": source})
    monkeypatch.setattr(Amazon2023, "metadata_url", f"{base}/meta_{{}}.jsonl.gz")
    folder = tmp_path / "downloads"
    try:
        raw = reader(2023, download_dir=str(folder)).read_raw(tmp_path)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert len(raw.items) == 2
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*") if p.is_file()) == [
        "amazon_2023/5core/All_Beauty.csv.gz",
        "amazon_2023/5core/All_Beauty.csv.gz.sha256",
        "amazon_2023/metadata/meta_All_Beauty.jsonl.gz",
        "amazon_2023/metadata/meta_All_Beauty.jsonl.gz.sha256",
    ]
    assert len(reader(2023, download_dir=str(folder)).source_key()) == 2  # without the server
    with pytest.raises(UserError, match=r"data.sha256=abc: .*All_Beauty.csv.gz"):
        reader(2023, download_dir=str(folder), sha256="abc").source_key()
