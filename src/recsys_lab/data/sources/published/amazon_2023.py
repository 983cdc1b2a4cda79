"""Amazon reviews of 1996 to September 2023 (Hou et al., 2024), by category."""

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
    """Reads a category of the release of 2023; variants of a product are one item.

    Args:
        config: the category, the subset and the place.
    """

    named: ClassVar[DatasetInfo] = DatasetInfo(
        about=About(
            title="Amazon Reviews 2023",
            homepage="https://amazon-reviews-2023.github.io/",
            licence=LICENCE,
            citation="Hou, Li, He, Yan, Chen and McAuley (2024). Bridging Language and Items for "
            "Retrieval and Recommendation. https://arxiv.org/abs/2403.03952",
            notes=(
                "Times are milliseconds. Published splits cut at absolute times or leave one out; "
                "this reader takes the log before the split: choose with split=.",
                "'0core' and '5core' keep the earliest review of a user and an item; 'raw' keeps "
                "all: filter.drop_duplicates.",
                "The 5-core was made with the whole log, also with what a split by time hides.",
                "Average rating and number of ratings know the future; they are not read.",
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
    metadata_url: ClassVar[str] = f"{URL}/raw/meta_categories/meta_{{}}.jsonl.gz"
    ticks: ClassVar[int] = 1000

    @dataclass(frozen=True)
    class Config:
        """Options of `Amazon2023`.

        Attributes:
            category: of the products.
            subset: users and items with at least 5 reviews each; all without repeated reviews of
                an item by a user; or all, from the much larger file with the texts.
            path: the official file of reviews, also unpacked, or the folder that holds it; the
                metadata lies beside it. Null: download.
            download_dir: where downloaded files are kept, in a folder of the release's name.
            sha256: of the downloaded reviews, checked where it is given.
            metadata: whether titles, brands, prices and categories are read.
            metadata_sha256: of the downloaded metadata, checked where it is given.
            description: whether the items' descriptions are read too.
        """

        category: Category
        subset: Literal["5core", "0core", "raw"]
        path: str | None
        download_dir: str
        sha256: str | None
        metadata: bool
        metadata_sha256: str | None
        description: bool

    @staticmethod
    def item(record: Mapping[str, Any]) -> dict[str, Any]:
        """What is called the store is the brand."""
        return {
            "item_id": record.get("parent_asin"),
            "title": text(record.get("title")),
            "brand": text(record.get("store")),
            "price": price(record.get("price")),
            "categories": names(record.get("categories")),
            "description": text(record.get("description")),
        }
