from __future__ import annotations

import io
import tarfile

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.lastfm import LOG, USERS, LastFM
from tests.data.sources.published.readers import rows, taken

# Newest first; quotes are plain characters; the second track has no id, nor has the last artist.
LISTENS = """user_000001\t2009-05-04T23:08:57Z\ta-1\tDeep Dish\tt-1\t"Fuck" Me
user_000001\t2009-05-04T13:54:10Z\ta-1\tDeep Dish\t\tFlashdance
user_000002\t2009-05-04T13:52:04Z\t\tUnderworld\t\tBorn \t extra
user_000002\tsoon\t\t\t\t
"""
PROFILES = """#id\tgender\tage\tcountry\tregistered
user_000001\tm\t\tJapan\tAug 13, 2006
user_000002\t\t19\t\t
"""


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def reader(make, tmp_path):
    def build(listens=LISTENS, item="track", form="tar"):
        files = {LOG: listens, USERS: PROFILES}
        place = tmp_path / "lastfm-dataset-1K"
        if form == "tar":
            place = tmp_path / "lastfm-dataset-1K.tar.gz"
            with tarfile.open(place, "w:gz") as archive:
                for name, text in files.items():
                    member = tarfile.TarInfo(f"lastfm-dataset-1K/{name}")
                    member.size = len(text.encode())
                    archive.addfile(member, io.BytesIO(text.encode()))
        else:
            place.mkdir()
            for name, text in files.items():
                (place / name).write_text(text)
            place = place if form == "folder" else place / LOG
        return make(LastFM, "data", "lastfm", path=str(place), item=item)

    return build


@pytest.mark.parametrize("form", ["tar", "folder", "file"])
def test_tracks(reader, scratch, form):
    raw = reader(form=form).read_raw(scratch)
    assert rows(raw) == [
        {"user_id": "user_000002", "item_id": None, "timestamp": None},
        {"user_id": "user_000002", "item_id": "Underworld - Born", "timestamp": 1241445124},
        {"user_id": "user_000001", "item_id": "Deep Dish - Flashdance", "timestamp": 1241445250},
        {"user_id": "user_000001", "item_id": "t-1", "timestamp": 1241478537},
    ]
    assert taken(raw, "item", "title")[1:] == [
        "Underworld - Born", "Deep Dish - Flashdance", 'Deep Dish - "Fuck" Me',
    ]  # fmt: skip
    assert taken(raw, "item", "artist")[1:] == ["Underworld", "Deep Dish", "Deep Dish"]
    assert raw.users.rows() == [
        ("user_000001", "m", None, "Japan", "Aug 13, 2006"),
        ("user_000002", None, 19.0, None, None),
    ]
    assert raw.features.users["age"] == "numeric"


def test_artists(reader, scratch):
    raw = reader(item="artist").read_raw(scratch)
    assert [row["item_id"] for row in rows(raw)] == [None, "Underworld", "a-1", "a-1"]
    assert taken(raw, "item", "title")[1:] == ["Underworld", "Deep Dish", "Deep Dish"]


def test_errors(reader, scratch, make, tmp_path):
    with pytest.raises(UserError, match="the official file has 'user TAB time TAB artist id"):
        reader("user_000001,2009,a\n").read_raw(scratch)
    archive = tmp_path / "lastfm-dataset-1K.tar.gz"
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(UserError, match="damaged or cut short"):
        make(LastFM, "data", "lastfm", path=str(archive)).read_raw(scratch)


def test_prepared(reader, run):
    older = "user_000001\t2009-05-03T13:54:10Z\ta-1\tDeep Dish\tt-1\tMe\n"
    data = run(reader(LISTENS + older))
    assert data.user_ids() == ["user_000001", "user_000002"]
    ids = data.item_ids()
    assert [ids[code] for code in data.items.tolist()[:3]] == ["t-1", "Deep Dish - Flashdance",
                                                               "t-1"]  # fmt: skip
    dropped = {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}
    assert dropped == {"missing item": 1}
    assert data.manifest["about"]["title"] == "Last.fm Dataset - 1K users"
