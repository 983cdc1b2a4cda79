"""`synthetic_shop`: a shop's log of any size, drawn from a known process.

Shapes: B users of a block or batch, T events of all of them concatenated, V items, M complements.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from annotated_types import Ge, Gt, Le, Lt

from recsys_lab.config import UserError
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.synthetic.process import (
    DAY,
    SHOP_OPENS,
    YEAR_DAYS,
    Floats,
    Ints,
    ShopProcess,
)
from recsys_lab.data.sources.synthetic.titles import describe_items

GENERATOR_VERSION = 1
"""Raise it with every change that gives another log for the same config."""
_FIRST_ITEM_ID = 10_001  # not 0, so that ids are not confused with indices
_BLOCK_USERS = 16_384  # simulated together, to bound memory; a change gives another log


class SyntheticShop:
    """Reader of a log that is drawn from a `ShopProcess`.

    Args:
        config: size and process.

    Raises:
        UserError: options contradict each other.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `SyntheticShop`.

        Attributes:
            num_users: number of users.
            num_items: number of items; the log lacks those that nobody bought.
            num_categories: number of categories, of random size.
            mean_length: mean number of events per user; the excess over min_length is geometric.
            min_length: minimum number of events per user.
            days: approximate time from the first to the last sale.
            initial_share: share of items on sale from the first day; the others arrive at
                uniformly random times.
            zipf_exponent: the item of popularity rank r has weight ``r ** -zipf_exponent``.
            repeat_probability: probability of buying an item of the last repeat_window events.
            repeat_window: number of last events that a repeat purchase is drawn from.
            repeat_decay: weight of an event relative to the next one, in a repeat purchase.
            complement_probability: probability of buying a complement of the last two items.
            num_complements: complements per item, from the next two categories.
            complement_decay: weight of a complement relative to the previous one.
            previous_share: share of the complements of the item before the last.
            taste_gain: weight of the user's recent categories relative to the shop's average.
            taste_decay: factor on an event's weight in the taste with each later event.
            season_strength: categories sell up to exp(season_strength) times more in their season,
                and as much less half a year later.
            seed: random seed; the same config gives the same bytes.
        """

        num_users: Annotated[int, Ge(1)]
        num_items: Annotated[int, Ge(2)]
        num_categories: Annotated[int, Ge(1)]
        mean_length: Annotated[float, Ge(5)]
        min_length: Annotated[int, Ge(5)]
        days: Annotated[int, Ge(1), Le(36_500)]
        initial_share: Annotated[float, Ge(0), Le(1)]
        zipf_exponent: Annotated[float, Ge(0), Le(2)]
        repeat_probability: Annotated[float, Ge(0), Le(1)]
        repeat_window: Annotated[int, Ge(1)]
        repeat_decay: Annotated[float, Gt(0), Le(1)]
        complement_probability: Annotated[float, Ge(0), Le(1)]
        num_complements: Annotated[int, Ge(1)]
        complement_decay: Annotated[float, Gt(0), Le(1)]
        previous_share: Annotated[float, Ge(0), Le(1)]
        taste_gain: Annotated[float, Ge(0)]
        taste_decay: Annotated[float, Ge(0), Lt(1)]
        season_strength: Annotated[float, Ge(0), Le(10)]
        seed: Annotated[int, Ge(0)]

    def __init__(self, config: Config) -> None:
        _check(config)
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """The generator's version and every option."""
        return {"generator_version": GENERATOR_VERSION, **asdict(self.config)}

    def read_raw(self, scratch: Path) -> RawData:
        """Draw the log.

        Returns:
            Interactions (``user_id``, ``item_id``, ``timestamp``; all int64) sorted by time,
            strictly ascending for each user; items with ``title``, ``category`` and ``price``;
            and a file with the process, which exists as long as this reader.
        """
        del scratch
        process = make_process(self.config, _rng(self.config, "process"))
        interactions = _simulate(process, self.config)
        described = describe_items(process.categories, _rng(self.config, "titles"))
        return RawData(
            interactions=interactions,
            items=described.insert_column(0, pl.Series("item_id", process.item_ids)),
            users=pl.DataFrame({"user_id": np.arange(1, self.config.num_users + 1)}),
            truth_path=self._store(process, len(interactions)),
            features=Features(
                items={"category": "categorical", "price": "numeric", "title": "text"}
            ),
        )

    def _store(self, process: ShopProcess, num_events: int) -> Path:
        folder = tempfile.mkdtemp(prefix="synthetic_shop-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "truth.npz"
        process.save(path, num_events=num_events)
        return path


def _simulate(process: ShopProcess, config: SyntheticShop.Config) -> pl.DataFrame:
    """All events sorted by time, then by user."""
    blocks = []
    for block, first in enumerate(range(0, config.num_users, _BLOCK_USERS)):
        size = min(_BLOCK_USERS, config.num_users - first)
        rng = _rng(config, "events", block)
        lengths_B = _lengths(config, size, rng)
        times_T = _times(config, lengths_B, rng)
        items_T = process.simulate(lengths_B, times_T, rng)
        users_T = np.repeat(np.arange(first + 1, first + size + 1), lengths_B)
        item_ids_T = process.item_ids[items_T]
        blocks.append(
            pl.DataFrame({"user_id": users_T, "item_id": item_ids_T, "timestamp": times_T})
        )
    return pl.concat(blocks, rechunk=False).sort("timestamp", maintain_order=True)


def _lengths(config: SyntheticShop.Config, size: int, rng: np.random.Generator) -> Ints:
    """Number of events of each user: min_length and a geometric number more."""
    more = config.mean_length - config.min_length
    return config.min_length + rng.geometric(1 / (1 + more), size) - 1


def _times(config: SyntheticShop.Config, lengths_B: Ints, rng: np.random.Generator) -> Ints:
    """Seconds since the epoch of every event, strictly ascending for each user.

    Times do not depend on items, so only the date is informative. Gaps are heavy-tailed: bursts of
    purchases and long pauses.
    """
    seconds = config.days * DAY
    start_B = (rng.random(len(lengths_B)) * 0.8 * seconds).astype(np.int64)
    span_B = rng.uniform(0.2, 1, len(lengths_B)) * (seconds - start_B)
    gaps_T = rng.standard_exponential(int(lengths_B.sum())) ** 3
    firsts_B = np.cumsum(lengths_B) - lengths_B
    gaps_T[firsts_B] = 0
    total_T = np.cumsum(gaps_T)
    since_T = total_T - np.repeat(total_T[firsts_B], lengths_B)
    scale_B = span_B / since_T[firsts_B + lengths_B - 1]
    step_T = np.arange(len(gaps_T)) - np.repeat(firsts_B, lengths_B)
    within_T = (since_T * np.repeat(scale_B, lengths_B)).astype(np.int64)
    times_T: Ints = SHOP_OPENS + np.repeat(start_B, lengths_B) + within_T + step_T
    return times_T


def _rng(config: SyntheticShop.Config, purpose: str, block: int = 0) -> np.random.Generator:
    """A generator for each purpose, so that more users do not change the catalogue."""
    return np.random.default_rng([config.seed, *purpose.encode(), block])


def _check(config: SyntheticShop.Config) -> None:
    if config.num_categories > config.num_items:
        raise UserError(
            f"data.num_categories: got {config.num_categories}, but each category needs an item; "
            f"choose at most data.num_items ({config.num_items})"
        )
    if config.mean_length < config.min_length:
        raise UserError(
            f"data.mean_length: got {config.mean_length}, which is below data.min_length "
            f"({config.min_length}); raise the mean or lower the minimum"
        )
    total = config.repeat_probability + config.complement_probability
    if total > 1:
        raise UserError(
            "data.repeat_probability + data.complement_probability: got "
            f"{config.repeat_probability} + {config.complement_probability} = {total:g}; their sum "
            "may be at most 1, and the rest is bought by taste"
        )


def make_process(config: SyntheticShop.Config, rng: np.random.Generator) -> ShopProcess:
    """Draw the shop: catalogue, arrivals, popularity, complements, seasons."""
    num_items, num_categories = config.num_items, config.num_categories
    extra = rng.integers(num_categories, size=num_items - num_categories)
    categories = np.sort(np.concatenate([np.arange(num_categories), extra]))
    late = rng.random(num_items) >= config.initial_share
    late[np.searchsorted(categories, np.arange(num_categories))] = False  # no empty category
    arrivals = SHOP_OPENS + late * rng.integers(1, config.days * DAY + 1, size=num_items)
    arrivals = arrivals[np.lexsort((arrivals, categories))]
    ids = np.empty(num_items, dtype=np.int64)  # in order of arrival
    ids[np.lexsort((rng.random(num_items), arrivals))] = np.arange(num_items) + _FIRST_ITEM_ID
    popularity = np.power(rng.permutation(num_items) + 1.0, -config.zipf_exponent)
    shares = np.bincount(categories, weights=popularity)
    peaks = rng.uniform(0, 2 * np.pi, num_categories)
    angles = np.arange(YEAR_DAYS)[:, None] * (2 * np.pi / YEAR_DAYS)
    weights = np.power(config.complement_decay, np.arange(config.num_complements))
    lag_weights = np.power(config.repeat_decay, np.arange(config.repeat_window))
    return ShopProcess(
        item_ids=ids,
        categories=categories,
        arrivals=arrivals,
        popularity=popularity,
        complements=_complements(categories, popularity, config.num_complements, rng),
        complement_weights=weights / weights.sum(),
        base_shares=shares / shares.sum(),
        seasons=np.exp(config.season_strength * np.cos(angles - peaks)),
        lag_weights=lag_weights,
        repeat_probability=config.repeat_probability,
        complement_probability=config.complement_probability,
        previous_share=config.previous_share,
        taste_gain=config.taste_gain,
        taste_decay=config.taste_decay,
    )


def _complements(categories: Ints, popularity: Floats, size: int, rng: np.random.Generator) -> Ints:
    """Complements of each item, (V, M): popular items of the next two categories."""
    num_categories = int(categories[-1]) + 1
    step_VM = rng.integers(1, 3, size=(len(categories), size))
    target_VM = (categories[:, None] + step_VM) % num_categories
    bounds = np.searchsorted(categories, np.arange(num_categories + 1))
    cumulative = np.concatenate([[0.0], np.cumsum(popularity)])
    low_VM, high_VM = cumulative[bounds[target_VM]], cumulative[bounds[target_VM + 1]]
    point_VM = low_VM + rng.random(target_VM.shape) * (high_VM - low_VM)
    items_VM: Ints = np.searchsorted(cumulative, point_VM, "right") - 1
    # Rounding must not leave the category.
    return items_VM.clip(bounds[target_VM], bounds[target_VM + 1] - 1)
