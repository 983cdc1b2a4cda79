"""Amazon reviews of 1996 to July 2014 (McAuley et al., 2015), by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from recsys_lab.data.sources.published.amazon import LICENCE, AmazonOptions, AmazonReader, Source
from recsys_lab.data.sources.published.base import About, DatasetInfo

URL = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"

Category = Literal[
    "Amazon_Instant_Video",
    "Apps_for_Android",
    "Automotive",
    "Baby",
    "Beauty",
    "Books",
    "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry",
    "Digital_Music",
    "Electronics",
    "Grocery_and_Gourmet_Food",
    "Health_and_Personal_Care",
    "Home_and_Kitchen",
    "Kindle_Store",
    "Movies_and_TV",
    "Musical_Instruments",
    "Office_Products",
    "Patio_Lawn_and_Garden",
    "Pet_Supplies",
    "Sports_and_Outdoors",
    "Tools_and_Home_Improvement",
    "Toys_and_Games",
    "Video_Games",
]


class Amazon2014(AmazonReader):
    """Reads a category of the release of 2014."""

    named: ClassVar[DatasetInfo] = DatasetInfo(
        about=About(
            title="Amazon product data (2014)",
            homepage="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
            licence=LICENCE,
            citation="McAuley, Targett, Shi and van den Hengel (2015). Image-Based Recommendations "
            "on Styles and Substitutes. SIGIR. https://doi.org/10.1145/2766462.2767755; He and "
            "McAuley (2016). Ups and Downs. WWW. https://doi.org/10.1145/2872427.2883037",
            notes=(
                "Times are days, and the file is grouped by item: a user's reviews of one day come "
                "in the order of item ids, which no user followed. Report how ties are broken.",
                "The 5-core was computed on the whole log, including events that a split by time "
                "holds out.",
                "The widely used sequences of Beauty, Sports and Toys are this 5-core.",
                "Sales rank and 'also bought' depend on later events; they are not read.",
            ),
        ),
        size="82,836,502 reviews in 24 categories; Beauty 5-core: 198,502 reviews, 22,363 users, "
        "12,101 items, 44 MB",
        needs="nothing: downloaded",
    )
    sources: ClassVar[Mapping[str, Source]] = {
        "5core": Source(f"{URL}/reviews_{{}}_5.json.gz", is_json=True),
        "raw": Source(
            f"{URL}/ratings_{{}}.csv",
            {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"},
        ),
    }
    metadata_url = f"{URL}/meta_{{}}.json.gz"
    keys: ClassVar[Mapping[str, str]] = {"item_id": "asin"}

    @dataclass(frozen=True)
    class Config(AmazonOptions):
        """Options of `Amazon2014`.

        Attributes:
            category: of the products.
            subset: users and items with at least 5 reviews each, or all ratings.
        """

        category: Category
        subset: Literal["5core", "raw"]

    def item(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """From a Python literal written by Python 2."""
        texts = {name: _utf8(record.get(name)) for name in ("title", "brand", "description")}
        return super().item({**record, **texts})


def _utf8(value: object) -> object:
    r"""Python 2 wrote the bytes of a string: ``Caf\xc3\xa9`` means Café.

    Text whose characters form valid UTF-8 bytes is decoded; other text is unchanged.
    """
    if isinstance(value, str) and not value.isascii():
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value
    return value
