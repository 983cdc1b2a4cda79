from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.yoochoose import BUYS, CLICKS, Yoochoose
from tests.data.sources.published.readers import rows

CLICK_LINES = """1,2014-04-07T10:51:09.277Z,214536502,0
1,2014-04-07T10:51:09.300Z,214536500,S
2,2014-04-07T13:56:37.614Z,214662742,7
2,2014-04-07,214662742,7
"""
BUY_LINES = """2,2014-04-07T14:00:00.000Z,214662742,12462,1
2,2014-04-07T14:00:00.001Z,214662743,0,0
"""
T1 = 1396867869277


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def reader(make, tmp_path):
    def build(events="clicks", clicks=CLICK_LINES, folder=True):
        (tmp_path / CLICKS).write_text(clicks)
        (tmp_path / BUYS).write_text(BUY_LINES)
        path = tmp_path if folder else tmp_path / CLICKS
        return make(Yoochoose, "data", "yoochoose", path=str(path), events=events)

    return build


def test_clicks(reader, scratch):
    raw = reader().read_raw(scratch)
    got = rows(raw)
    assert got[0] == {
        "user_id": 1, "item_id": 214536502, "timestamp": 1396867869, "order": T1,
        "event_type": "click", "category": None,
    }  # fmt: skip
    assert [row["order"] for row in got] == [T1, T1 + 23, 1396878997614, None]
    assert [row["category"] for row in got] == [None, "S", "7", "7"]
    assert raw.features.events == {"category": "categorical"}


def test_buys(reader, scratch):
    raw = reader("buys").read_raw(scratch)
    assert [(r["event_type"], r["price"], r["quantity"]) for r in rows(raw)] == [
        ("buy", 12462.0, 1.0),
        ("buy", None, None),
    ]
    assert raw.features.events == {"price": "numeric", "quantity": "numeric"}


@pytest.mark.parametrize("folder", [True, False])
def test_both(reader, scratch, folder):
    raw = reader("both", folder=folder).read_raw(scratch)
    got = rows(raw)
    assert [row["event_type"] for row in got] == ["click"] * 4 + ["buy"] * 2
    assert [row["price"] for row in got] == [None] * 4 + [12462.0, None]
    assert set(raw.features.events) == {"category", "price", "quantity", "event_type"}
    keys = reader("both", folder=folder).source_key()
    assert len(keys) == 2
    assert keys != reader("both", CLICK_LINES + "3", folder=folder).source_key()


def test_errors(reader, scratch, make, tmp_path):
    with pytest.raises(UserError, match=r"yoochoose-data\.7z \(a 7z archive; unpack it: 7z x\)"):
        make(Yoochoose, "data", "yoochoose").read_raw(scratch)
    (tmp_path / "a.7z").write_bytes(b"7z")
    with pytest.raises(UserError, match="is a 7z archive; unpack it"):
        make(Yoochoose, "data", "yoochoose", path=str(tmp_path / "a.7z")).read_raw(scratch)
    with pytest.raises(UserError, match="has 'session,time,item,category' on each line"):
        reader(clicks=BUY_LINES).read_raw(scratch)
    (tmp_path / BUYS).unlink()
    only_clicks = make(Yoochoose, "data", "yoochoose", path=str(tmp_path), events="both")
    with pytest.raises(UserError, match=f"has no {BUYS}"):
        only_clicks.read_raw(scratch)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_prepared(reader, run, engine):
    data = run(reader("both"), engine=engine)
    assert data.manifest["num_interactions"] == 5
    # Both clicks of session 1 share a second: the milliseconds order them.
    assert [data.item_ids()[i] for i in data.items.tolist()[:2]] == [214536502, 214536500]
