"""Encoded columns, by hand, and as batches carry them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.config import UserError
from recsys_lab.data.batches import EvaluationBatches, TrainingBatches
from recsys_lab.data.features.encode import _summary
from recsys_lab.data.raw import Features
from tests.data.conftest import Given

# Users 1 and 2 see items 10, 11, 12 in training; 13 is a validation, 14 a test target alone.
LOG = pl.DataFrame(
    {
        "user_id": [1] * 5 + [2] * 5,
        "item_id": [10, 11, 12, 13, 14, 12, 11, 10, 13, 14],
        "timestamp": list(range(5)) * 2,
        "device": ["tv", None, "tv", "web", "app", "web ", " ", "ios", "tv", "new"],
        "price": [1.0, 2.0, None, 9.0, 9.0, 3.0, float("nan"), 6.0, 9.0, 9.0],
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": [14, 13, 12, 11, 10],
        "brand": ["z", "b", " ", "b", "a"],
        "size": [40, 7, None, 9, 100],
        "weight": ["4", "3", "", "1.5", None],
        "genres": ["Drama|New", "Comedy", None, "Comedy|Drama", "Action"],
        "tags": [[9], [], None, [3, 1], [1]],
        "title": ["E", "D", "", "B", None],
    }
)
USERS = pl.DataFrame({"user_id": [2, 1], "age": [30, 20], "city": ["Ulm", "Aue"]})
FEATURES = Features(
    items={
        "brand": "categorical",
        "size": "categorical",
        "weight": "numeric",
        "genres": "list",
        "tags": "list",
        "title": "text",
    },
    users={"age": "numeric", "city": "categorical"},
    events={"device": "categorical", "price": "numeric"},
)


@pytest.fixture
def data(run):
    return run(Given(interactions=LOG, items=ITEMS, users=USERS, features=FEATURES))


def test_codes_by_hand(data):
    store = data.features
    # Items 10 .. 14: b is known by item 11, z (item 14) is never trained on.
    assert store.column("item.brand").tolist() == [2, 3, 0, 3, 1]
    assert store.values("item.brand") == ["a", "b"]
    assert store.column("item.size").tolist() == [3, 2, 0, 1, 1]  # 9 before 100, as numbers
    assert store.values("item.size") == [9, 100]
    assert store.column("user.city").tolist() == [2, 3]
    # Of the three items that are trained on one has no brand, one no genres, one no tags.
    third = pytest.approx(1 / 3)
    entry = {"type": "categorical", "cardinality": 4, "missing_share": third}
    assert store.entry("item.brand") == entry
    assert store.entry("item.genres")["missing_share"] == third
    assert store.entry("item.tags")["missing_share"] == third
    assert store.entry("event.device")["missing_share"] == third  # 2 of 6 events
    genres = store.column("item.genres")
    assert store.values("item.genres") == ["Action", "Comedy", "Drama"]
    assert genres.offsets.tolist() == [0, 1, 3, 3, 4, 6]
    assert genres.codes.tolist() == [2, 3, 4, 3, 4, 1]
    tags = store.column("item.tags")
    assert (tags.codes.tolist(), tags.offsets.tolist()) == ([2, 3, 2, 1], [0, 1, 3, 3, 3, 4])
    assert store.text("item.title") == [None, "B", "", "D", "E"]


def test_sentences_by_hand(data):
    names = [f"item.{name}" for name in ("title", "weight", "brand", "genres", "tags")]
    assert data.features.sentences(names) == [  # items 10 .. 14
        "a. Action. 1.",
        "B. 1.5. b. Comedy, Drama. 3, 1.",
        None,
        "D. 3. b. Comedy.",
        "E. 4. z. Drama, New. 9.",
    ]
    assert data.features.sentences(["item.brand", "item.title"])[3:] == ["b. D.", "z. E."]
    with pytest.raises(UserError, match=r"no feature 'item.titel'.*title"):
        data.features.sentences(["item.brand", "item.titel"])


def test_numbers_by_hand(data):
    weight = data.features.column("item.weight")
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, [np.nan, 1.5, np.nan, 3, 4])
    entry = data.features.entry("item.weight")  # items 10, 11, 12 are trained on
    assert (entry["mean"], entry["std"], entry["min"], entry["max"]) == (1.5, 0, 1.5, 1.5)
    assert entry["missing_share"] == pytest.approx(2 / 3)
    price = data.features.entry("event.price")  # 1, 2, missing, 3, NaN, 6
    assert (price["mean"], price["min"], price["max"]) == (3, 1, 6)
    assert price["std"] == pytest.approx(np.std([1, 2, 3, 6]))
    assert price["missing_share"] == pytest.approx(1 / 3)


def test_events_by_hand(data):
    # Known in training: tv, "web " (blanks around do not count), ios; blank counts as missing.
    assert data.features.values("event.device") == ["ios", "tv", "web"]
    want = [3, 0, 3, 4, 1, 4, 0, 2, 3, 1]
    assert data.features.column("event.device").tolist() == want


def test_batches_carry_what_is_asked_for(data):
    names = ("event.device", "event.price", "item.genres", "item.brand", "user.age")
    options = {"batch_size": 2, "window": 2, "features": names}
    [batch] = list(EvaluationBatches(data, "test", exclude_seen=True, **options))
    history = batch.history.to("cpu")
    assert history.items_T.tolist() == [2, 3, 0, 3]  # items 12 13, then 10 13
    assert set(history.features) == set(names)
    assert history.features["event.device"].tolist() == [3, 4, 2, 3]
    assert history.features["item.brand"].tolist() == [0, 3, 2, 3]
    assert history.features["user.age"].tolist() == [20, 30]
    assert history.features["user.age"].dtype == torch.float32
    price = history.features["event.price"]
    assert torch.equal(price.isnan(), torch.tensor([True, False, False, False]))
    genres = history.features["item.genres"]
    assert genres.codes.tolist() == [3, 2, 3]
    assert genres.offsets.tolist() == [0, 0, 1, 2, 3]
    [training] = list(TrainingBatches(data, seed=0, **options))
    assert training.features["event.device"].shape == training.items_T.shape
    [plain] = list(TrainingBatches(data, seed=0, batch_size=2, window=2))
    assert plain.features == {}


def test_the_manifest_and_the_card_name_them(data):
    stored = json.loads((data.path / "manifest.json").read_text())
    assert {side: set(columns) for side, columns in stored["features"].items()} == {
        "item": {"brand", "size", "weight", "genres", "tags", "title"},
        "user": {"age", "city"},
        "event": {"device", "price"},
    }
    assert "genres" in (data.path / "card.html").read_text()
    for name, noted in stored["files"].items():
        assert (data.path / name).stat().st_size == noted["bytes"]


def test_what_is_not_there_is_told(data):
    with pytest.raises(UserError, match=r"no feature 'item.brnd'; did you mean 'item.brand'\?"):
        TrainingBatches(data, batch_size=2, window=2, seed=0, features=("item.brnd",))
    with pytest.raises(UserError, match=r"'item.title' is text: read it with text\(\)"):
        data.features.require(["item.brand", "item.title"])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"items": {"brnd": "text"}}, "table of items has no column 'brnd'; did you mean 'brand'"),
        ({"items": {"brand": "numeric"}}, r"'brand' is declared numeric but holds 'a' \(row 1 of"),
        ({"items": {"tags": "numeric"}}, "'tags' is declared numeric but holds"),
        ({"items": {"tags": "categorical"}}, "'tags' is declared categorical but its values are"),
        ({"items": {"size": "list"}}, "'size' is declared list but its values are Int64"),
        ({"events": {"devce": "numeric"}}, "the log has no column 'devce'; did you mean 'device'"),
        ({"events": {"device": "text"}}, "'device' is declared text; allowed for event columns"),
    ],
)  # fmt: skip
def test_declarations_that_do_not_fit(run, tmp_path, declared, message):
    with pytest.raises(UserError, match=message):
        run(Given(interactions=LOG, items=ITEMS, users=USERS, features=Features(**declared)))
    assert list((tmp_path / "prepared").iterdir()) == []


def test_summary_of_parts_is_that_of_the_whole():
    values = np.random.default_rng(0).normal(1e4, 1, 1000)
    values[::7] = np.nan
    whole, parts = _summary([values]), _summary(np.split(values, [1, 2, 300, 300]))
    assert whole == pytest.approx(parts)
    assert whole["std"] == pytest.approx(np.nanstd(values))
    assert _summary([np.array([np.nan])])["mean"] is None


RESIDENT = """
import numpy as np, sys
from pathlib import Path
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.formats.npy import map_npy
folder = Path(sys.argv[1])
users, length = 200_000, 300

class Flat:
    items = map_npy(folder / "items.npy")
    timestamps = map_npy(folder / "timestamps.npy")
    features = None
    dropped_targets = np.empty(0, np.int64)
    def segments(self, phase):
        starts = np.arange(users) * length
        return np.stack([np.arange(users), starts, starts + length], axis=1)

def resident():
    line = [l for l in open("/proc/self/status") if l.startswith("VmRSS")][0]
    return int(line.split()[1]) << 10

batches = TrainingBatches(Flat(), batch_size=256, window=50, seed=0)
before, peak = None, 0
for number, batch in enumerate(batches):
    if number == 5:
        before = resident()
    elif number > 5:
        peak = max(peak, resident())
print(peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_does_not_grow_with_the_log(tmp_path):
    events = 200_000 * 300  # 720 MB on disk
    np.save(tmp_path / "items.npy", np.ones(events, np.int32))
    np.save(tmp_path / "timestamps.npy", np.ones(events, np.int64))
    command = [sys.executable, "-c", RESIDENT, str(tmp_path)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 100 << 20
