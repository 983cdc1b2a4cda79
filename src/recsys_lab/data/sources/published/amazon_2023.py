"""Amazon reviews of 1996 to September 2023 (Hou et al., 2024), by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from recsys_lab.data.sources.published.amazon import LICENCE, AmazonOptions, AmazonReader, Source
from recsys_lab.data.sources.published.base import About, DatasetInfo

URL = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"
COLUMNS = {
    "user_id": "user_id",
    "parent_asin": "item_id",
    "rating": "rating",
    "timestamp": "timestamp",
}
HEADER = "user_id,parent_asin,rating,timestamp"

Category = Literal[
    "All_Beauty",
    "Amazon_Fashion",
    "Appliances",
    "Arts_Crafts_and_Sewing",
    "Automotive",
    "Baby_Products",
    "Beauty_and_Personal_Care",
    "Books",
    "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry",
    "Digital_Music",
    "Electronics",
    "Gift_Cards",
    "Grocery_and_Gourmet_Food",
    "Handmade_Products",
    "Health_and_Household",
    "Health_and_Personal_Care",
    "Home_and_Kitchen",
    "Industrial_and_Scientific",
    "Kindle_Store",
    "Magazine_Subscriptions",
    "Movies_and_TV",
    "Musical_Instruments",
    "Office_Products",
    "Patio_Lawn_and_Garden",
    "Pet_Supplies",
    "Software",
    "Sports_and_Outdoors",
    "Subscription_Boxes",
    "Tools_and_Home_Improvement",
    "Toys_and_Games",
    "Unknown",
    "Video_Games",
]


class Amazon2023(AmazonReader):
    """Reads a category of the release of 2023; variants of a product are one item."""

    named: ClassVar[DatasetInfo] = DatasetInfo(
        about=About(
            title="Amazon Reviews 2023",
            homepage="https://amazon-reviews-2023.github.io/",
            licence=LICENCE,
            citation="Hou, Li, He, Yan, Chen and McAuley (2024). Bridging Language and Items for "
            "Retrieval and Recommendation. https://arxiv.org/abs/2403.03952",
            notes=(
                "Times are milliseconds. Published splits cut at absolute times or leave one out; "
                "this reader reads the log before the split: choose with split=.",
                "'0core' and '5core' keep the earliest review of a user and an item; 'raw' keeps "
                "all: filter.drop_duplicates.",
                "The 5-core was computed on the whole log, including events that a split by time "
                "holds out.",
                "Average rating and number of ratings depend on later events; they are not read.",
            ),
        ),
        size="571.54 million reviews, 54.51 million users, 48.19 million items in 34 categories",
        needs="nothing: downloaded",
    )
    sources: ClassVar[Mapping[str, Source]] = {
        "5core": Source(f"{URL}/benchmark/5core/rating_only/{{}}.csv.gz", COLUMNS, HEADER),
        "0core": Source(f"{URL}/benchmark/0core/rating_only/{{}}.csv.gz", COLUMNS, HEADER),
        "raw": Source(f"{URL}/raw/review_categories/{{}}.jsonl.gz", COLUMNS, is_json=True),
    }
    metadata_url = f"{URL}/raw/meta_categories/meta_{{}}.jsonl.gz"
    keys: ClassVar[Mapping[str, str]] = {"item_id": "parent_asin", "brand": "store"}
    ticks: ClassVar[int] = 1000

    @dataclass(frozen=True)
    class Config(AmazonOptions):
        """Options of `Amazon2023`.

        Attributes:
            category: of the products.
            subset: users and items with at least 5 reviews each (5core); the first review of a
                user and an item (0core); or all, from the much larger file with texts (raw).
        """

        category: Category
        subset: Literal["5core", "0core", "raw"]
