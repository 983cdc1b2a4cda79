"""Small finished runs on an older and a newer log of one shop."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import in_shop

USERS, DAY = 240, 86400
SPLIT = ["split=global_temporal", "split.test_quantile=0.85", "split.validation_quantile=0.75"]
NET = [
    "model.hidden_dim=8", "model.max_length=6", "recipe.max_epochs=1", "recipe.batch_size=32",
]  # fmt: skip
RUNS = {
    "pop_old": ["model=popularity", "data.path=old.csv"],
    "pop_new": ["model=popularity", "data.path=new.csv"],
    "knn_old": ["model=item_knn", "data.path=old.csv"],
    "knn_new": ["model=item_knn", "data.path=new.csv"],
    "timed_new": [
        "model=hstu", "model.time_bias=past", "data.path=new.csv", "evaluation.exclude_seen=false",
        *NET,
    ],
}  # fmt: skip


def write_logs():
    """Items of one group follow each other, later items are new; each user has a country."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        start, group = rng.integers(0, 40), user % 4
        for step in range(12):
            day = start + 5 * step
            popular = rng.random() < 0.3
            item = int(rng.integers(0, 4)) if popular else int(group + 4 * rng.integers(0, 10))
            time = int(day * DAY + rng.integers(0, DAY))
            item += 100 * (day > 60 and item % 3 == 0)
            rows.append((f"u{user}", f"i{item}", 400 * DAY * 20 + time))
    log = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    cut = int(log["timestamp"].quantile(0.7))
    old = log.filter(pl.col("timestamp") < cut).sample(fraction=1.0, shuffle=True, seed=1)
    old.write_csv("old.csv")
    log.filter(pl.col("timestamp") > 8010 * DAY).write_csv("new.csv")
    users = pl.DataFrame({"user_id": [f"u{u}" for u in range(USERS)]})
    users.with_columns(country=pl.Series(["x", "y", "z"] * (USERS // 3))).write_csv("users.csv")


def train(name, *more):
    given = ["data=table", "data.users_path=users.csv", "+data.user_features.country=categorical"]
    return run_command(["train", *given, "tracking=none", *SPLIT, *more, f"run_dir={name}"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of finished runs, each named as in `RUNS`; not to be changed."""
    folder = tmp_path_factory.mktemp("promote")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        write_logs()
        for name, overrides in RUNS.items():
            assert train(name, *overrides) == 0
    return folder


@pytest.fixture
def shop(trained, tmp_path, monkeypatch) -> Path:
    """A folder of its own with copies of the runs, and the prepared datasets where they are."""
    for name in RUNS:
        shutil.copytree(trained / name, tmp_path / name)
    shutil.copy(trained / "new.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
