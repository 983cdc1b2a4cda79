from __future__ import annotations

import zipfile

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.retailrocket import LOG, PROPERTIES, TREE, Retailrocket
from tests.data.sources.published.readers import rows

FILES = {
    LOG: """timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433221332118,257597,transaction,355908,4000
1433224214164,992329,addtocart,248676,
late,992329,view,248676,
""",
    PROPERTIES[0]: """timestamp,itemid,property,value
1435460400000,355908,categoryid,1338
1431226800000,248676,categoryid,209
1441508400000,248676,888,"1116713 960601, n277.200"
""",
    PROPERTIES[1]: """timestamp,itemid,property,value
1433041200000,355908,categoryid,50
1431226800000,355908,available,0
1442113200000,248676,categoryid,1016
""",
    TREE: "categoryid,parentid\n1338,9\n50,8\n209,\n",
}


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def reader(make, tmp_path):
    def build(form="folder", files=FILES, **options):
        place = tmp_path
        if form == "zip":
            place = tmp_path / "archive.zip"
            with zipfile.ZipFile(place, "w") as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
        else:
            for name, text in files.items():
                (tmp_path / name).write_text(text)
            place = tmp_path / LOG if form == "file" else tmp_path
        return make(Retailrocket, "data", "retailrocket", path=str(place), **options)

    return build


@pytest.mark.parametrize("form", ["folder", "zip", "file"])
def test_events(reader, scratch, form):
    raw = reader(form).read_raw(scratch)
    got = rows(raw)
    assert got[0] == {
        "user_id": 257597, "item_id": 355908, "timestamp": 1433221332, "order": 1433221332117,
        "event_type": "view",
    }  # fmt: skip
    assert [row["event_type"] for row in got] == ["view", "transaction", "addtocart", "view"]
    assert got[3]["timestamp"] is None
    # The first that is known: 50 of 31 May is older than 1338 of 28 June.
    assert raw.items.rows() == [(248676, "209", None), (355908, "50", "8")]
    assert raw.features.items == {"category": "categorical", "parent_category": "categorical"}


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2015-05-01", []),
        ("2015-05-10T03:00:00+00:00", [(248676, "209")]),  # the very moment of a snapshot
        ("2015-06-15", [(248676, "209"), (355908, "50")]),
        ("2015-12-31", [(248676, "1016"), (355908, "1338")]),
    ],
)
def test_categories_as_of_a_date(reader, scratch, date, expected):
    raw = reader(category_as_of=date).read_raw(scratch)
    assert raw.items.select("item_id", "category").rows() == expected


def test_without_properties(reader, scratch):
    raw = reader(files={LOG: FILES[LOG]}).read_raw(scratch)
    assert raw.items is None
    assert raw.features.items == {}


def test_errors(reader, scratch, make):
    with pytest.raises(UserError, match=r"download it from https://www\.kaggle.*account is needed"):
        make(Retailrocket, "data", "retailrocket").source_key()
    with pytest.raises(UserError, match="category_as_of=soon: not a valid date"):
        reader(category_as_of="soon")
    wrong = {LOG: FILES[LOG].replace("visitorid", "visitor")}
    with pytest.raises(UserError, match=r"no column visitorid; did you mean 'visitor'\?"):
        reader(files=wrong).read_raw(scratch)


def test_prepared(reader, run):
    more = "".join(f"143322421416{i},992329,view,{i},\n" for i in range(5, 9))
    data = run(reader(files={**FILES, LOG: FILES[LOG] + more}), event_types=["view", "addtocart"])
    dropped = {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}
    assert dropped == {
        "unparseable timestamp": 1,
        "event type is none of view, addtocart": 1,
    }
    ids = data.item_ids()
    second = data.items.tolist()[data.offsets[1] :]  # visitor 992329, by milliseconds
    assert [ids[code] for code in second] == [248676, 5, 6, 7, 8]
