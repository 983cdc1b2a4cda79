"""Categories, titles and prices of the synthetic shop's items."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

_GOODS = {
    "Kitchen": ("kettle", "saucepan", "chopping board", "mixing bowl", "whisk", "colander"),
    "Garden": ("trowel", "watering can", "planter", "rake", "hose reel", "pruning shears"),
    "Books": ("novel", "atlas", "cookbook", "biography", "picture book", "dictionary"),
    "Camping": ("tent", "sleeping bag", "lantern", "stove", "water bottle", "hammock"),
    "Music": ("guitar", "ukulele", "drum pad", "microphone", "music stand", "harmonica"),
    "Toys": ("puzzle", "train set", "kite", "doll's house", "marble run", "spinning top"),
    "Office": ("notebook", "stapler", "desk lamp", "fountain pen", "folder", "calendar"),
    "Cycling": ("helmet", "pannier", "bell", "saddle", "pump", "rear light"),
    "Bathroom": ("towel", "soap dish", "bath mat", "mirror", "shower head", "basket"),
    "Bedroom": ("pillow", "blanket", "alarm clock", "duvet", "bedside table", "curtain"),
    "Baking": ("rolling pin", "cake tin", "piping bag", "scale", "sieve", "bread basket"),
    "Coffee": ("grinder", "moka pot", "mug", "filter", "milk jug", "espresso cup"),
    "Tools": ("hammer", "spirit level", "drill", "screwdriver", "clamp", "tape measure"),
    "Pets": ("collar", "feeding bowl", "scratching post", "lead", "cat bed", "chew toy"),
    "Running": ("shoe", "cap", "belt", "rain jacket", "sock", "arm band"),
    "Art": ("easel", "sketchbook", "brush set", "palette", "watercolour box", "charcoal"),
    "Sewing": ("needle case", "thimble", "fabric bundle", "sewing box", "yarn", "button set"),
    "Photography": ("tripod", "lens cap", "camera strap", "frame", "album", "flash"),
    "Swimming": ("goggles", "swim bag", "fins", "cap", "float", "robe"),
    "Lighting": ("floor lamp", "string light", "candle holder", "shade", "bulb", "torch"),
    "Storage": ("box", "shelf", "hook rail", "crate", "drawer unit", "jar"),
    "Travel": ("suitcase", "neck pillow", "passport cover", "rucksack", "adapter", "pouch"),
    "Games": ("chess set", "card deck", "dice tower", "domino set", "quiz", "board game"),
    "Tea": ("teapot", "infuser", "caddy", "cup and saucer", "tray", "sugar bowl"),
}
_QUALITIES = (
    "Oak", "Copper", "Linen", "Blue", "Folding", "Large", "Small", "Vintage", "Striped", "Steel",
    "Bamboo", "Green", "Classic", "Light", "Walnut", "Red", "Compact", "Ivory", "Sturdy", "Round",
)  # fmt: skip


def describe_items(categories_V: NDArray[np.int64], rng: np.random.Generator) -> pl.DataFrame:
    """A title, category name and price for each item.

    Args:
        categories_V: category of each item, ascending, (V,).
        rng: the source of randomness.

    Returns:
        Columns ``title`` (unique, such as "Copper kettle (Kitchen, no. 12)"), ``category`` and
        ``price`` (log-normal around its category's level, rounded to cents).
    """
    num_items, num_categories = len(categories_V), int(categories_V[-1]) + 1
    kinds = list(_GOODS)
    # With more categories than kinds of goods: "Kitchen 2" and so on.
    names = [
        kinds[c % len(kinds)] + (f" {c // len(kinds) + 1}" if c >= len(kinds) else "")
        for c in range(num_categories)
    ]
    words = np.array(list(_GOODS.values()))
    nouns = words[categories_V % len(kinds), rng.integers(words.shape[1], size=num_items)]
    qualities = np.array(_QUALITIES)[rng.integers(len(_QUALITIES), size=num_items)]
    first_V = np.searchsorted(categories_V, categories_V)
    level_C = rng.normal(3.0, 0.6, num_categories)
    price_V = np.exp(level_C[categories_V] + rng.normal(0, 0.5, num_items))
    parts = pl.DataFrame(
        {
            "quality": qualities,
            "noun": nouns,
            "category": np.array(names)[categories_V],
            "number": np.arange(num_items) - first_V + 1,
            "price": np.maximum(np.round(price_V, 2), 0.01),
        }
    )
    title = pl.format("{} {} ({}, no. {})", "quality", "noun", "category", "number")
    return parts.select(title.alias("title"), "category", "price")
