"""Histories given from outside become the batches that the prepared dataset gives."""

from dataclasses import fields

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.api.dataset import Dataset
from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.given_histories import HistoryReader
from recsys_lab.data.prepared import PreparedDataset

FEATURES = ("item.kind", "item.tags", "user.city", "user.age", "event.device", "event.paid")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(5)
    rows = [
        (f"u{u}", f"i{i}", 100 * t + u) for u in range(12) for t, i in enumerate(rng.permutation(9))
    ]
    log = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").with_columns(
        device=pl.Series(rng.choice(["phone", "desk", None], len(rows))),
        paid=pl.Series(rng.random(len(rows)).astype(np.float32)),
    )
    log.write_parquet(folder / "log.parquet")
    items = pl.DataFrame(
        {"item_id": [f"i{i}" for i in range(9)], "kind": [*list("abcabcab"), None]}
    )
    items = items.with_columns(tags=pl.Series([["x"], ["x", "y"], []] * 3))
    items.write_parquet(folder / "items.parquet")
    users = pl.DataFrame({"user_id": [f"u{u}" for u in range(12)], "city": ["here", "there"] * 6})
    users.with_columns(age=pl.Series([*range(20, 31), None])).write_parquet(
        folder / "users.parquet"
    )
    kinds = "{kind: categorical, tags: list}"
    assert run_command([
        "prepare", "data=table", f"data.path={folder / 'log.parquet'}",
        f"data.items_path={folder / 'items.parquet'}",
        f"data.users_path={folder / 'users.parquet'}",
        f"+data.item_features={kinds}", "+data.user_features={city: categorical, age: numeric}",
        "+data.event_features={device: categorical, paid: numeric}",
        f"prepared_dir={folder / 'prepared'}",
    ]) == 0  # fmt: skip
    (made,) = (folder / "prepared").glob("table*")
    return Dataset(PreparedDataset(made)), log


def batch_of(data) -> object:
    (batch,) = EvaluationBatches(
        data, "test", batch_size=64, window=4, exclude_seen=True, features=FEATURES
    )
    return batch


def test_batches_are_those_of_the_prepared_dataset(dataset):
    data, log = dataset
    frame = data.histories("test").join(
        log, on=["user_id", "item_id", "timestamp"], how="left", maintain_order="left"
    )
    reader = HistoryReader(data.prepared, "Model", FEATURES, reads_times=True)
    given = reader(frame)
    assert given.num_unknown == 0
    wanted, in_order = batch_of(data.prepared), batch_of(given)
    for field in fields(wanted.history):
        if field.name != "features":
            same(getattr(in_order.history, field.name), getattr(wanted.history, field.name))
    for name in FEATURES:
        same(in_order.history.features[name], wanted.history.features[name])
    same(in_order.seen_rows, wanted.seen_rows)
    same(in_order.seen_items, wanted.seen_items)


def same(one, other) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one.nan_to_num(-7.0), other.nan_to_num(-7.0))
    elif hasattr(one, "codes"):
        same(one.codes, other.codes)
        same(one.offsets, other.offsets)
    else:
        assert one == other


def test_users_and_values_that_are_not_known(dataset):
    data, _ = dataset
    reader = HistoryReader(data.prepared, "Model", FEATURES, reads_times=False)
    frame = pl.DataFrame({
        "user_id": ["stranger"] * 2, "item_id": ["i1", "i2"], "device": ["watch", None],
        "paid": [None, 2.5],
    })  # fmt: skip
    history = batch_of(reader(frame)).history
    assert history.users_B.tolist() == [12]
    assert history.timestamps_T is None
    assert history.features["user.city"].tolist() == [0]  # missing
    assert history.features["user.age"].isnan().tolist() == [True]
    assert history.features["event.device"].tolist() == [1, 0]  # unknown, missing
    assert history.features["event.paid"].nan_to_num(-1).tolist() == [-1, 2.5]


def test_columns_of_events_that_are_missing(dataset):
    data, _ = dataset
    reader = HistoryReader(data.prepared, "Model", FEATURES, reads_times=True)
    message = "Model reads device, paid, timestamp of every event, and lists of item ids do not"
    with pytest.raises(UserError, match=message):
        reader([["i1"]])
    frame = pl.DataFrame(
        {"user_id": ["u1"], "item_id": ["i1"], "device": ["desk"], "timestamp": [1]}
    )
    with pytest.raises(UserError, match="reads paid of every event, and the columns user_id"):
        reader(frame)
