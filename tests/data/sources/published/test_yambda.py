from __future__ import annotations

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.yambda import Yambda
from tests.data.sources.published.readers import rows

NUMBERS = {"uid": pl.UInt32, "timestamp": pl.UInt32, "item_id": pl.UInt32, "is_organic": pl.UInt8}
# Sorted by user and time, in steps of 5 seconds, as published.
LIKES = pl.DataFrame(
    {
        "uid": [10, 20, 20, 20, 30],
        "timestamp": [15929455, 18111700, 18111700, 18111945, 106910],
        "item_id": [6928395, 6417612, 9362291, 6983647, 9270848],
        "is_organic": [1, 0, 0, 1, 1],
    },
    schema=NUMBERS,
)
EXTRA = {"played_ratio_pct": pl.UInt16, "track_length_seconds": pl.UInt32}
KINDS = ["listen", "like", "dislike", "unlike", "undislike"]


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def folder(tmp_path):
    """A copy of the repository, with one size."""
    flat = tmp_path / "yambda" / "flat" / "50m"
    flat.mkdir(parents=True)
    LIKES.write_parquet(flat / "likes.parquet")
    played = pl.DataFrame(
        {"played_ratio_pct": [100, 49, 50, 230, 0], "track_length_seconds": [200] * 5},
        schema=EXTRA,
    )
    LIKES.hstack(played).write_parquet(flat / "listens.parquet")
    kind = pl.Series("event_type", KINDS, dtype=pl.Enum(KINDS))
    null = played.with_columns(pl.when(pl.int_range(5) == 0).then(pl.all()).otherwise(None))
    LIKES.hstack(null).hstack([kind]).write_parquet(flat / "multi_event.parquet")
    pl.DataFrame({"artist_id": [2, 1, 2], "item_id": [6417612, 6417612, 6928395]}).write_parquet(
        tmp_path / "yambda" / "artist_item_mapping.parquet"
    )
    pl.DataFrame({"album_id": [7], "item_id": [6928395]}).write_parquet(
        tmp_path / "yambda" / "album_item_mapping.parquet"
    )
    return tmp_path / "yambda"


@pytest.fixture
def reader(make, folder):
    def build(path="", **options):
        return make(Yambda, "data", "yambda", path=str(folder / path), **options)

    return build


@pytest.mark.parametrize("path", ["", "flat/50m", "flat/50m/likes.parquet"])
def test_likes_are_scanned_where_they_lie(reader, scratch, path):
    raw = reader(path).read_raw(scratch)
    assert rows(raw)[0] == {
        "user_id": 10, "item_id": 6928395, "timestamp": 15929455, "event_type": "like",
        "is_organic": 1,
    }  # fmt: skip
    assert list(scratch.iterdir()) == []
    assert raw.interactions.files[0].endswith("likes.parquet")
    assert raw.features.events == {"is_organic": "categorical"}
    assert raw.items is None


def test_listens_have_the_share_as_rating(reader, scratch):
    raw = reader(events="listens").read_raw(scratch)
    assert [row["rating"] for row in rows(raw)] == [100.0, 49.0, 50.0, 230.0, 0.0]
    assert raw.features.events["track_length_seconds"] == "numeric"


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_all_types(reader, run, scratch, engine):
    raw = reader(events="multi_event").read_raw(scratch)
    assert [row["event_type"] for row in rows(raw)] == KINDS
    data = run(reader(events="multi_event"), engine=engine, event_types=KINDS[:4])
    assert data.manifest["num_interactions"] == 4
    # The tie at 18111700 stays in the file's order: the like, then the dislike.
    ids = data.item_ids()
    assert [ids[code] for code in data.items.tolist()] == [6928395, 6417612, 9362291, 6983647]


def test_artists_and_albums(reader, scratch):
    for path in ("", "flat/50m/likes.parquet"):  # above the file, as in the repository
        raw = reader(path, item_tables=True).read_raw(scratch)
        assert raw.items.rows() == [(6417612, ["1", "2"], None), (6928395, ["2"], ["7"])]
        assert raw.features.items == {"artists": "list", "albums": "list"}
    assert set(reader(item_tables=True).source_key()) == {"events", "artist", "album"}
    assert set(reader().source_key()) == {"events"}


def test_errors(reader, scratch, folder):
    with pytest.raises(UserError, match=r"has no unlikes\.parquet"):
        reader(events="unlikes").read_raw(scratch)
    with pytest.raises(UserError, match=r"has no likes\.parquet.*data\.variant=500m"):
        reader(variant="500m").read_raw(scratch)
    (folder / "artist_item_mapping.parquet").unlink()
    with pytest.raises(
        UserError, match=r"item_tables=true: artist_item_mapping\.parquet is not in"
    ):
        reader(item_tables=True).read_raw(scratch)
    likes = folder / "flat/50m/likes.parquet"
    LIKES.rename({"uid": "user"}).write_parquet(likes)
    with pytest.raises(UserError, match=r"no column uid\. Its columns are user, timestamp"):
        reader().read_raw(scratch)
    likes.write_bytes(b"PAR1 not")
    with pytest.raises(UserError, match="cannot be read in its official form"):
        reader().read_raw(scratch)
