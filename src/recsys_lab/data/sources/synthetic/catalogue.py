"""A shop drawn from the options of `synthetic_shop`: what it sells, from when, and to whom.

Shapes: V items, C categories, M complements of an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.data.sources.synthetic.process import DAY, SHOP_OPENS, YEAR_DAYS, ShopProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.sources.synthetic.synthetic_shop import SyntheticShop

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_FIRST_ITEM_ID = 10_001  # not 0: an item's id must not be mistaken for its index


def make_process(config: SyntheticShop.Config, rng: np.random.Generator) -> ShopProcess:
    """Draw the shop: catalogue, arrivals, popularity, complements, seasons."""
    num_items, num_categories = config.num_items, config.num_categories
    extra = rng.integers(num_categories, size=num_items - num_categories)
    categories = np.sort(np.concatenate([np.arange(num_categories), extra]))
    late = rng.random(num_items) >= config.initial_share
    late[np.searchsorted(categories, np.arange(num_categories))] = False  # never an empty shelf
    arrivals = SHOP_OPENS + late * rng.integers(1, config.days * DAY + 1, size=num_items)
    arrivals = arrivals[np.lexsort((arrivals, categories))]
    ids = np.empty(num_items, dtype=np.int64)  # in order of arrival, as a shop numbers them
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
    """Items that go with each item, (V, M): popular ones of the two categories after its own."""
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
