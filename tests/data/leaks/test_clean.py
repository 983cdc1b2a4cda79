"""Where nothing was planted nothing is accused: no warning, no leak, whatever the split."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.leaks.fatal import fatal, words_of
from recsys_lab.data.raw import Features
from recsys_lab.data.sources.synthetic.synthetic_shop import SyntheticShop
from tests.data.conftest import Given
from tests.data.splits.toys import make
from tests.support.shop import SMALL

SPLITS = {
    "leave_one_out": {},
    "last_n": {"test_events": 3, "validation_events": 2},
    "global_temporal": {"target": "all"},
    "global_temporal, first": {"target": "first"},
    "unseen_users": {"validation_users": 0.2, "test_users": 0.2},
}


def films():
    """A log as of film ratings: sessions in one second, no film twice, columns of every kind.

    Ids are numbers, and so are ages, years and words of titles: they meet by chance.
    """
    rng = np.random.default_rng(3)
    users, items, length = 200, 150, 24
    share = 1 / np.arange(5, items + 5)
    since = np.sort(rng.uniform(-1, 0.5, items))[rng.permutation(items)]
    rows = []
    for user in range(users):
        start = rng.uniform(0, 0.8)
        there = np.flatnonzero(since < start + 0.05)
        seen = rng.choice(there, length, replace=False, p=share[there] / share[there].sum())
        when = start + np.sort(rng.uniform(0, 0.2, length // 4)).repeat(4)
        rows += [(user, item, int(1.6e9 + 1e8 * time), float(rng.integers(1, 6)))
                 for item, time in zip(seen.tolist(), when.tolist(), strict=True)]  # fmt: skip
    log = pl.DataFrame(rows, ["user_id", "item_id", "timestamp", "stars"], orient="row")
    favourite = log.group_by("user_id", maintain_order=True).first()["item_id"]
    return Given(
        interactions=log,
        items=pl.DataFrame(
            {
                "item_id": np.arange(items), "year": 2010 + (10 * since).round(),
                "title": [f"Film {n % 7} {rng.integers(100)}" for n in range(items)],
                "genres": [["drama", str(n % 9)] for n in range(items)],
                "quality": np.log(share) + rng.normal(0, 0.5, items),
            }
        ),
        users=pl.DataFrame(
            {"user_id": np.arange(users), "age": rng.integers(18, 80, users), "first": favourite,
             "about": [f"likes {rng.integers(150)} and {n}" for n in range(users)]}
        ),
        features=Features(
            {"year": "numeric", "title": "text", "genres": "list", "quality": "numeric"},
            {"age": "numeric", "first": "categorical", "about": "text"}, {"stars": "numeric"},
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def sources():
    return {"films": films(), "shop": SyntheticShop(SMALL)}


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("source", ["films", "shop"])
def test_nothing_stops_at_the_strictest(sources, run, source, name):
    split = make(name.split(",")[0], **SPLITS[name])
    data = run(sources[source], split=split)
    severities = {leak["severity"] for leak in data.manifest["leaks"]}
    assert severities <= {"note", "property"}
    fatal(data.manifest, words_of(True))
    with pytest.raises(UserError, match="this dataset leaks"):  # the check sees what is there
        fatal(data.manifest, [next(leak["kind"] for leak in data.manifest["leaks"])])
