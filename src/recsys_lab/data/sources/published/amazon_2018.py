"""Amazon reviews of 1996 to October 2018 (Ni, Li and McAuley, 2019), by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from recsys_lab.data.sources.published.amazon import LICENCE, AmazonOptions, AmazonReader, Source
from recsys_lab.data.sources.published.base import About, DatasetInfo

URL = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"

Category = Literal[
    "AMAZON_FASHION",
    "All_Beauty",
    "Appliances",
    "Arts_Crafts_and_Sewing",
    "Automotive",
    "Books",
    "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry",
    "Digital_Music",
    "Electronics",
    "Gift_Cards",
    "Grocery_and_Gourmet_Food",
    "Home_and_Kitchen",
    "Industrial_and_Scientific",
    "Kindle_Store",
    "Luxury_Beauty",
    "Magazine_Subscriptions",
    "Movies_and_TV",
    "Musical_Instruments",
    "Office_Products",
    "Patio_Lawn_and_Garden",
    "Pet_Supplies",
    "Prime_Pantry",
    "Software",
    "Sports_and_Outdoors",
    "Tools_and_Home_Improvement",
    "Toys_and_Games",
    "Video_Games",
]


class Amazon2018(AmazonReader):
    """Reads a category of the release of 2018."""

    named: ClassVar[DatasetInfo] = DatasetInfo(
        about=About(
            title="Amazon review data (2018)",
            homepage="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/",
            licence=LICENCE,
            citation="Ni, Li and McAuley (2019). Justifying Recommendations using "
            "Distantly-Labeled Reviews and Fine-Grained Aspects. EMNLP-IJCNLP. "
            "https://doi.org/10.18653/v1/D19-1018",
            notes=(
                "Times are days, and the file is grouped by item: a user's reviews of one day come "
                "in the order of item ids, which no user followed. Report how ties are broken.",
                "Some reviews occur several times, also for variants of one product: "
                "filter.drop_duplicates.",
                "Some items have several metadata rows: the first is used.",
                "The 5-core was computed on the whole log, including events that a split by time "
                "holds out.",
                "Sales rank and 'also bought' depend on later events; they are not read.",
            ),
        ),
        size="233.1 million reviews in 29 categories, 75.3 million in the 5-cores",
        needs="nothing: downloaded",
    )
    sources: ClassVar[Mapping[str, Source]] = {
        "5core": Source(f"{URL}/categoryFilesSmall/{{}}_5.json.gz", is_json=True),
        "raw": Source(
            f"{URL}/categoryFilesSmall/{{}}.csv",
            {"item": "item_id", "user": "user_id", "rating": "rating", "timestamp": "timestamp"},
        ),
    }
    metadata_url = f"{URL}/metaFiles2/meta_{{}}.json.gz"
    keys: ClassVar[Mapping[str, str]] = {"item_id": "asin", "categories": "category"}

    @dataclass(frozen=True)
    class Config(AmazonOptions):
        """Options of `Amazon2018`.

        Attributes:
            category: of the products.
            subset: users and items with at least 5 reviews each, or all ratings.
        """

        category: Category
        subset: Literal["5core", "raw"]
