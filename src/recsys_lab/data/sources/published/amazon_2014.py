"""Amazon reviews of 1996 to July 2014 (McAuley et al., 2015), by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.amazon import (
    LICENCE,
    AmazonReader,
    Source,
    names,
    price,
    text,
)

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
    """Reads a category of the release of 2014.

    Args:
        config: the category, the subset and the place.
    """

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
                "The 5-core was made with the whole log, also with what a split by time hides.",
                "The widely used sequences of Beauty, Sports and Toys are this 5-core.",
                "Sales rank and 'also bought' know the future; they are not read.",
            ),
        ),
        size="82,836,502 reviews in 24 categories; Beauty 5-core: 198,502 reviews, 22,363 users, "
        "12,101 items, 44 MB",
        needs="nothing: downloaded",
    )
    sources: ClassVar[Mapping[str, Source]] = {
        "5core": Source(
            f"{URL}/reviews_{{}}_5.json.gz",
            {
                "reviewerID": "user_id",
                "asin": "item_id",
                "overall": "rating",
                "unixReviewTime": "timestamp",
            },
            is_json=True,
        ),
        "raw": Source(
            f"{URL}/ratings_{{}}.csv",
            {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"},
        ),
    }
    metadata_url: ClassVar[str] = f"{URL}/meta_{{}}.json.gz"

    @dataclass(frozen=True)
    class Config:
        """Options of `Amazon2014`.

        Attributes:
            category: of the products.
            subset: users and items with at least 5 reviews each, or all ratings.
            path: the official file of reviews, also unpacked, or the folder that holds it; the
                metadata lies beside it. Null: download.
            download_dir: where downloaded files are kept, in a folder of the release's name.
            sha256: of the downloaded reviews, checked where it is given.
            metadata: whether titles, brands, prices and categories are read.
            metadata_sha256: of the downloaded metadata, checked where it is given.
            description: whether the items' descriptions are read too.
        """

        category: Category
        subset: Literal["5core", "raw"]
        path: str | None
        download_dir: str
        sha256: str | None
        metadata: bool
        metadata_sha256: str | None
        description: bool

    @staticmethod
    def item(record: Mapping[str, Any]) -> dict[str, Any]:
        """Of a Python literal written by Python 2."""
        return {
            "item_id": record.get("asin"),
            "title": text(_utf8(record.get("title"))),
            "brand": text(_utf8(record.get("brand"))),
            "price": price(record.get("price")),
            "categories": names(record.get("categories")),
            "description": text(_utf8(record.get("description"))),
        }


def _utf8(value: object) -> object:
    r"""Python 2 wrote the bytes of a string: ``Caf\xc3\xa9`` means Café.

    Text that happens to be valid UTF-8 when each character is taken for a byte is that, in
    practice; all other text stays as it is.
    """
    if isinstance(value, str) and not value.isascii():
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value
    return value
