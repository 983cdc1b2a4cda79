"""``retrain``: values of columns and semantic IDs are those of equal raw ids."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from recsys_lab.cli.main import run_command
from recsys_lab.data.prepared import PreparedDataset
from tests.cli.flow import in_shop, record, train
from tests.deploy.retraining import ONE, STILL, outcome


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


@pytest.fixture
def retrain(capsys):
    return partial(outcome, capsys)


def test_values_of_columns_keep_their_vectors(retrain):
    """Brands, tags and channels that sort before all others shift every code."""
    log = pl.read_csv("log.csv").with_row_index("row")
    log = log.with_columns(channel=pl.format("c{}", pl.col("row") % 3)).drop("row")
    items = log.select(pl.col("item_id").unique().sort()).with_row_index("n")
    items = items.with_columns(
        brand=pl.format("b{}", pl.col("n") % 4), tags=pl.format("t{}|x", pl.col("n") % 5)
    ).drop("n")
    log.write_csv("log.csv")
    items.write_csv("items.csv")
    later = pl.DataFrame(
        {
            "user_id": ["u1", "u2"] * 3, "item_id": ["0 a", "i1"] * 3,
            "timestamp": [-n for n in range(1, 7)], "channel": ["a new one"] * 6,
        }
    )  # fmt: skip
    pl.concat([log, later]).write_csv("new.csv")
    more = pl.DataFrame({"item_id": ["0 a"], "brand": ["a brand"], "tags": ["a tag|x"]})
    pl.concat([more, items]).write_csv("new_items.csv")
    columns = [
        "data.items_path=items.csv", "+data.item_features.brand=categorical",
        "+data.item_features.tags=list", "+data.event_features.channel=categorical",
        "inputs=side_information", "inputs.features=[brand,tags]",
        "inputs.context=[event.channel,time.hour]",
    ]  # fmt: skip
    assert train("run_dir=first", ONE, *columns) == 0
    newer = ["data.path=new.csv", "data.items_path=new_items.csv"]
    said = retrain("first", *newer, "warm=true", "run_dir=second", *STILL)
    assert said["status"] == "trained"
    counts = {"taken": 4, "fresh": 1, "left_out": 0}
    assert record("second")["init_from"]["columns"]["item.brand"] == counts
    runs = [
        (load_file(f"{r}/checkpoints/best.safetensors"), record(r)) for r in ("first", "second")
    ]
    (old, _), (new, _) = runs
    stores = [PreparedDataset(values["data"]["path"]).features for _, values in runs]
    tables = {
        "item.brand": "items.parts.1.table.weight",
        "item.tags": "items.parts.2.table.weight",
        "event.channel": "context.tables.event_channel.weight",
    }
    for column, name in tables.items():
        before, after = (store.values(column) for store in stores)
        assert after.index(before[0]) == 1  # codes have moved by one
        for code, value in enumerate(after):
            expected = old[name][2 + before.index(value)] if value in before else None
            if expected is not None:
                assert np.array_equal(new[name][2 + code], expected)
        assert np.array_equal(new[name][:2], old[name][:2])  # missing and unknown
        mean_D = old[name][2:].mean(0)
        assert np.abs(new[name][2] - mean_D).max() < 0.1  # an average value, and a little noise
    others = set(old) - {*tables.values(), "items.parts.0.items.weight"}
    assert all(np.allclose(old[name], new[name], rtol=0, atol=1e-20) for name in others)


@pytest.fixture(scope="module")
def tiger(tmp_path_factory):
    """A folder with a run that generates semantic IDs, and a newer log with two more items."""
    folder = tmp_path_factory.mktemp("tiger")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        rng = np.random.default_rng(0)
        ids = [f"i{item}" for item in range(25)] + ["0 a", "z"]
        table = pl.DataFrame({"item_id": ids, **{c: rng.normal(size=27) for c in "abc"}})
        table.filter(pl.col("item_id").str.starts_with("i")).write_csv("items.csv")
        table.sample(fraction=1.0, shuffle=True, seed=1).write_csv("new_items.csv")
        base = [
            "data=table", "data.path=log.csv", "data.items_path=items.csv",
            "+data.item_features.a=numeric", "+data.item_features.b=numeric",
            "+data.item_features.c=numeric", "model=tiger", "model.hidden_dim=8",
            "model.num_layers=1", "model.num_decoder_layers=1", "model.num_heads=1",
            "model.head_dim=8", "model.feedforward_dim=8", "model.max_length=4",
            "model.user_tokens=5", "semantic_ids.levels=2", "semantic_ids.codes=4",
            "decoding=exact", "recipe.batch_size=64", ONE,
        ]  # fmt: skip
        assert train("run_dir=first", base=base) == 0
        new = pl.DataFrame(
            {"user_id": ["u1", "u2", "u3"], "item_id": ["0 a", "z", "z"], "timestamp": [10**5] * 3}
        )
        pl.concat([pl.read_csv("log.csv"), new]).write_csv("new.csv")
    return folder


def codes_of(run):
    table = pl.read_parquet(f"{run}/semantic_ids.parquet").drop("has_training_events")
    return {row[0]: row[1:] for row in table.iter_rows()}


def test_known_items_keep_their_semantic_ids(tiger, retrain):
    shutil.copytree(tiger, Path(), dirs_exist_ok=True)
    newer = ["data.path=new.csv", "data.items_path=new_items.csv"]
    said = retrain("first", *newer, "warm=true", "run_dir=second", *STILL)
    old, new = codes_of("first"), codes_of("second")
    assert set(new) - set(old) == {"0 a", "z"}
    assert all(new[item] == codes for item, codes in old.items())
    assert said["semantic_ids"]["kept"] is True
    churn = said["semantic_ids"]["churn"]
    assert (churn["items"], churn["new"], churn["gone"]) == (25, 2, 0)
    assert churn["levels"][-1]["equal"] == 1.0
    assert record("second")["config"]["semantic_ids"]["keep"] == str(Path("first").absolute())
    ours, theirs = (load_file(f"{f}/checkpoints/best.safetensors") for f in ("second", "first"))
    shared = [n for n in ours if n not in ("codes.weight", "users.weight")]
    assert all(np.allclose(ours[n], theirs[n], rtol=0, atol=1e-20) for n in shared)
    count = len(theirs["codes.weight"])
    assert np.array_equal(ours["codes.weight"][:count], theirs["codes.weight"])
    # Vectors of user indices are others' in other data: they start anew.
    assert not np.array_equal(ours["users.weight"], theirs["users.weight"])
    # Codes of other options are other codes: no weights for these.
    other = ["semantic_ids.codes=3", "run_dir=third"]
    assert (
        "known items have other semantic IDs"
        in retrain("first", *newer, "warm=true", *other)["error"]
    )
    said = retrain("first", *newer, *other)
    assert (said["status"], said["semantic_ids"]["kept"]) == ("trained", False)
    assert said["semantic_ids"]["churn"]["levels"][-1]["equal"] < 1
    assert run_command(["evaluate", "second"]) == 0
