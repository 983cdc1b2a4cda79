"""A small synthetic shop, for tests of the data and of what reads it."""

from pathlib import Path

import numpy as np

from recsys_lab.data.sources.synthetic.process import ShopProcess
from recsys_lab.data.sources.synthetic.synthetic_shop import SyntheticShop

SMALL = SyntheticShop.Config(
    num_users=300,
    num_items=40,
    num_categories=4,
    mean_length=12.0,
    min_length=5,
    days=500,
    initial_share=0.5,
    zipf_exponent=0.8,
    repeat_probability=0.1,
    repeat_window=4,
    repeat_decay=0.7,
    complement_probability=0.5,
    num_complements=3,
    complement_decay=0.6,
    previous_share=0.3,
    taste_gain=3.0,
    taste_decay=0.8,
    season_strength=0.9,
    seed=7,
)


def make(config):
    """The process and the log as plain arrays, user by user."""
    reader = SyntheticShop(config)
    raw = reader.read_raw(Path())
    process = ShopProcess.load(raw.truth_path)
    log = raw.interactions.sort("user_id", maintain_order=True)
    number = {int(raw_id): i for i, raw_id in enumerate(process.item_ids)}
    items = np.array([number[i] for i in log["item_id"].to_list()])
    lengths = np.bincount(log["user_id"].to_numpy())[1:]
    return process, items, log["timestamp"].to_numpy(), lengths


def prefixes(items, times, lengths, rng):
    """One history of random length and its next item for each user."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    cut = starts + rng.integers(1, lengths)
    kept = np.concatenate([np.arange(a, b) for a, b in zip(starts, cut, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(cut - starts)])
    return items[kept], offsets, times[cut - 1], items[cut]
