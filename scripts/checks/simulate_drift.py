"""Does `recsys-lab drift` find planted shifts, and leave unshifted resamples alone?

    python scripts/checks/simulate_drift.py            # a minute or two
    python scripts/checks/simulate_drift.py --users 5000 --draws 200

Users of a small shop have a popularity with a long tail, pairs of items that follow each other,
categories, prices, and a channel per event. Prints one row per planted shift: how often its own
statistic was above the default threshold, and which others were. Then, without a shift, how often
anything was: NEW is a resample of the users of OLD, other users of the same shop, or a random part
of OLD's users. At most 5 of 100 may be.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from omegaconf import OmegaConf

from recsys_lab.config import config_dir
from recsys_lab.data.raw import FeatureType
from recsys_lab.deploy.drift.compare import Options, Thresholds, compare
from recsys_lab.deploy.drift.logs import DAY, Column, EventLog

ITEMS, CATEGORIES, START = 300, 8, 1_700_000_000


@dataclass(frozen=True)
class Shop:
    """The process.

    Attributes:
        rotation: the popularity ranks of the items are rotated by so many items.
        follows: probability that an event is the complement of the previous item.
        complement: distance of an item's complement.
        length: mean number of events beyond 4.
        gap: mean days between events of a user.
        new_items: share of the events on items that the usual shop lacks.
        relabelled: share of the items with another category.
        price: factor on all prices.
        app: share of events through the app.
        plus: share of users with a subscription.
    """

    rotation: int = 0
    follows: float = 0.5
    complement: int = 7
    length: float = 6.0
    gap: float = 3.0
    new_items: float = 0.0
    relabelled: float = 0.0
    price: float = 1.0
    app: float = 0.3
    plus: float = 0.4


USUAL = Shop()
PLANTED = {
    "popularity/js": Shop(rotation=4),
    "popularity/psi": Shop(rotation=12),
    "popularity/new_share": Shop(new_items=0.15),
    "history_length/psi": Shop(length=12.0),
    "gaps/psi": Shop(gap=1.5),
    "pairs/js": Shop(complement=11),
    "item.category/js": Shop(relabelled=0.6),
    "item.price/psi": Shop(price=1.5),
    "event.channel/js": Shop(app=0.6),
    "user.plan/js": Shop(plus=0.7),
}
"""Statistic -> the shop in which it differs from the usual one; popularity moves others too."""


def draw(shop: Shop, users: int, rng: np.random.Generator) -> EventLog:
    """A log of new users."""
    lengths = 4 + rng.geometric(1 / shop.length, users)
    users_T = np.repeat(np.arange(users), lengths)
    weights = np.roll(1 / np.arange(1, ITEMS + 1) ** 0.9, shop.rotation)
    items_T = rng.choice(ITEMS, len(users_T), p=weights / weights.sum())
    first = np.r_[True, users_T[1:] != users_T[:-1]]
    follows = (rng.random(len(users_T)) < shop.follows) & ~first
    items_T[follows] = (items_T[np.flatnonzero(follows) - 1] + shop.complement) % ITEMS
    is_new = rng.random(len(users_T)) < shop.new_items
    items_T[is_new] = ITEMS + rng.integers(0, 20, is_new.sum())
    gaps = rng.exponential(shop.gap * DAY, len(users_T))
    up_to = np.cumsum(gaps)
    times_T = START + (up_to - up_to[first][users_T]).astype(np.int64)
    known = np.arange(ITEMS + 20)
    category = known * 7 % CATEGORIES
    changed = known % 100 < 100 * shop.relabelled
    category = np.where(changed, (category + 1) // 2, category)
    price = (5 + known * 13 % 97) * shop.price
    columns = {
        "item.category": Column(category, [f"c{code}" for code in range(CATEGORIES)]),
        "item.price": Column(price.astype(np.float32)),
        "event.channel": Column((rng.random(len(users_T)) < shop.app).astype(int), ["web", "app"]),
        "user.plan": Column((rng.random(users) < shop.plus).astype(int), ["basic", "plus"]),
    }
    kinds: dict[str, FeatureType] = dict.fromkeys(columns, "categorical")
    kinds["item.price"] = "numeric"
    names = pl.Series([f"u{number}" for number in rng.integers(0, 2**62, users)])
    return EventLog(
        "simulated", "file", names, pl.Series(known), items_T, users_T, times_T, kinds,
        columns=columns,
    )  # fmt: skip


def pick(log: EventLog, users: np.ndarray, names: pl.Series) -> EventLog:
    """The log of some of its users, each as often as it is named."""
    starts = np.searchsorted(log.users_T, users)
    ends = np.searchsorted(log.users_T, users, side="right")
    rows = np.concatenate([np.arange(*pair) for pair in zip(starts, ends, strict=True)])
    by_row = {"event": rows, "user": users}
    columns = {
        name: Column(column.values[by_row[side]], column.names)
        if (side := name.partition(".")[0]) in by_row
        else column
        for name, column in log.columns.items()
    }
    assert log.times_T is not None
    return replace(
        log,
        user_ids=names,
        items_T=log.items_T[rows],
        users_T=np.repeat(np.arange(len(users)), ends - starts),
        times_T=log.times_T[rows],
        columns=columns,
    )


def unshifted(kind: str, old: EventLog, users: int, rng: np.random.Generator) -> EventLog:
    """NEW without a shift."""
    if kind == "other users":
        return draw(USUAL, users, rng)
    if kind == "a part of OLD":
        chosen = np.sort(rng.choice(len(old.user_ids), users // 2, replace=False))
        return pick(old, chosen, old.user_ids.gather(chosen))
    chosen = rng.integers(0, len(old.user_ids), users)
    return pick(old, chosen, pl.Series([f"r{index}" for index in range(users)]))


def flagged(old: EventLog, new: EventLog, options: Options, limits: Thresholds) -> list[str]:
    """Names of the shifts above their threshold."""
    return [one["name"] for one in compare(old, new, options, limits)["shifts"] if one["above"]]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=600, help="of each log")
    parser.add_argument("--draws", type=int, default=100, help="unshifted pairs of logs, per kind")
    parser.add_argument("--planted", type=int, default=10, help="draws of each planted shift")
    args = parser.parse_args()
    defaults: Any = OmegaConf.load(config_dir() / "drift.yaml")
    limits = Thresholds(**{name: defaults[name] for name in Thresholds.__dataclass_fields__})
    options = Options(defaults.resamples, defaults.level, 0, None)
    began = time.perf_counter()
    print(f"{args.users} users in each log, {options.resamples} resamples, level {options.level}")
    print(f"\n{'planted':24}found of {args.planted}   also above")
    for name, shop in PLANTED.items():
        found: Counter[str] = Counter()
        for seed in range(args.planted):
            rng = np.random.default_rng([seed, 1])
            old, new = draw(USUAL, args.users, rng), draw(shop, args.users, rng)
            found.update(flagged(old, new, options, limits))
        others = ", ".join(f"{other} {count}" for other, count in found.items() if other != name)
        print(f"{name:24}{found[name]:<14}{others}")
    print(f"\n{'unshifted NEW':24}above of {args.draws}   with all thresholds 0")
    for kind in ("resampled users", "other users", "a part of OLD"):
        above = beyond = 0
        for seed in range(args.draws):
            rng = np.random.default_rng([seed, 2])
            old = draw(USUAL, args.users, rng)
            new = unshifted(kind, old, args.users, rng)
            seeded = replace(options, seed=seed)
            shifts = compare(old, new, seeded, limits)["shifts"]
            above += any(one["above"] for one in shifts)
            beyond += any(one["p"] is not None and one["p"] <= options.level for one in shifts)
        print(f"{kind:24}{above:<14}{beyond}")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
