from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.diginetica import CATEGORIES, LOG, PRODUCTS, Diginetica
from tests.data.sources.published.readers import rows

FILES = {
    LOG: """sessionId;userId;itemId;timeframe;eventdate
1;NA;81766;526309;2016-05-09
1;NA;31331;1031018;2016-05-09
1;NA;32118;243569;2016-05-09
2;5;81766;0;2016-05-10
3;5;81766;NA;9 May
""",
    PRODUCTS: """itemId;pricelog2;product.name.tokens
81766;10;4875,776,56689
31331;8.5;
""",
    CATEGORIES: "itemId;categoryId\n139578;0\n81766;41\n",
}
DAY = 1462752000  # 2016-05-09


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def reader(make, tmp_path):
    def build(files=FILES):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return make(Diginetica, "data", "diginetica", path=str(tmp_path))

    return build


def test_views(reader, scratch):
    raw = reader().read_raw(scratch)
    assert rows(raw)[0] == {
        "user_id": 1, "item_id": 81766, "timestamp": DAY, "order": 526309,
    }  # fmt: skip
    assert [row["timestamp"] for row in rows(raw)] == [DAY, DAY, DAY, DAY + 86400, None]
    assert raw.items.to_dicts() == [
        {"item_id": 31331, "price_log2": 8.5, "name_tokens": None, "category": None},
        {"item_id": 81766, "price_log2": 10.0, "name_tokens": ["4875", "776", "56689"],
         "category": "41"},
        {"item_id": 139578, "price_log2": None, "name_tokens": None, "category": "0"},
    ]  # fmt: skip
    assert raw.features.items == {
        "price_log2": "numeric", "name_tokens": "list", "category": "categorical",
    }  # fmt: skip


def test_the_log_alone(reader, scratch):
    assert reader({LOG: FILES[LOG]}).read_raw(scratch).items is None


def test_timeframe_orders_a_session(reader, run):
    data = run(reader())
    ids = [data.item_ids()[code] for code in data.items.tolist()]
    assert ids == [32118, 81766, 31331, 81766]


def test_errors(reader, scratch, make):
    with pytest.raises(UserError, match="Diginetica cannot be downloaded automatically: down"):
        make(Diginetica, "data", "diginetica").read_raw(scratch)
    commas = {LOG: FILES[LOG].replace(";", ",")}
    with pytest.raises(UserError, match="is not the official file: it has no column sessionId"):
        reader(commas).read_raw(scratch)
