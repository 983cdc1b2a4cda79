"""Small files in the official form of the three releases of Amazon reviews."""

from __future__ import annotations

import gzip
import json

from recsys_lab.data.sources.published.amazon_2014 import Amazon2014
from recsys_lab.data.sources.published.amazon_2018 import Amazon2018
from recsys_lab.data.sources.published.amazon_2023 import Amazon2023

LOG = {2014: "reviews_Beauty_5.json", 2018: "All_Beauty_5.json", 2023: "All_Beauty.csv"}
META = {2014: "meta_Beauty.json", 2018: "meta_All_Beauty.json", 2023: "meta_All_Beauty.jsonl"}
CATEGORY = {2014: "Beauty", 2018: "All_Beauty", 2023: "All_Beauty"}

# (user, item, rating, time in seconds); A1 reviews twice on a day, 0002 has no metadata.
EVENTS = [
    ("A1", "0001", 5.0, 1252800000),
    ("A2", "0001", 1.0, 1252800000),
    ("A1", "0002", 4.0, 1252800000),
    ("A1", "B00X", 3.0, 1356998400),
]

REVIEWS = "".join(
    json.dumps(
        {
            "reviewerID": user,
            "asin": item,
            "reviewerName": 'J. "X" Doe',
            "helpful": [2, 3],
            "reviewText": "Très\nbon \u2028 {'a': 1}",
            "overall": rating,
            "summary": "x",
            "unixReviewTime": time,
            "reviewTime": "09 13, 2009",
        },
        ensure_ascii=False,
    )
    + "\n"
    for user, item, rating, time in EVENTS
)

# Python 2 wrote bytes where there was no u'': Café; B00X stands there twice.
META_2014 = (
    r"""{'asin': '0001', 'title': "Rock &amp; Roll's Caf\xc3\xa9", 'price': 8.5, 'salesRank': """
    r"""{'Beauty': 3}, 'categories': [['Beauty', 'Hair'], ['Beauty', 'Gifts']], """
    r"""'brand': u'Or\xe9al'}"""
    "\n"
    r"""{'asin': 'B00X', 'categories': [['Beauty']], 'related': {'also_viewed': ['0001']}}"""
    "\n"
    r"""{'asin': 'B00X', 'title': 'second row', 'categories': [['Toys']]}"""
    "\n"
    r"""{'asin': 'B999', 'title': 'nobody reviewed it', 'categories': []}"""
    "\n"
)
META_2018 = "".join(
    json.dumps(record) + "\n"
    for record in [
        {
            "asin": "0001",
            "title": "Rock &amp; Roll's  Café",
            "price": "$8.50",
            "category": ["Beauty", "Hair", "Gifts"],
            "brand": "Oréal",
            "description": ["One.", "Two."],
            "rank": "3 in Beauty",
            "details": {"a": "b"},
        },
        {
            "asin": "B00X",
            "title": "var aPageStart = (new Date()).getTime();\nTypo",
            "price": ".a-section.a-spacing-mini { margin-bottom: 6px }",
            "category": ["Beauty"],
            "rank": [">#1 in Beauty"],
            "description": "",
            "details": "",
        },
        {"asin": "B00X", "title": "second row", "category": ["Toys"]},
        {"asin": "B999", "title": "nobody reviewed it", "category": []},
    ]
)
META_2023 = "".join(
    json.dumps(record) + "\n"
    for record in [
        {
            "parent_asin": "0001",
            "title": "Rock & Roll's Café",
            "price": 8.5,
            "categories": ["Beauty", "Hair", "Gifts"],
            "store": "Oréal",
            "description": ["One.", "Two."],
            "average_rating": 4.9,
        },
        {
            "parent_asin": "B00X",
            "title": "",
            "price": None,
            "categories": ["Beauty"],
            "store": None,
        },
        {"parent_asin": "B00X", "title": "second row", "price": "from 3.00", "categories": []},
        {"parent_asin": "B999", "title": "nobody reviewed it", "price": "—", "categories": None},
    ]
)
METAS = {2014: META_2014, 2018: META_2018, 2023: META_2023}


def log_text(year):
    if year != 2023:
        return REVIEWS
    rows = [f"{user},{item},{rating},{time}123" for user, item, rating, time in EVENTS]
    return "user_id,parent_asin,rating,timestamp\n" + "\n".join(rows) + "\n"


def official(folder, year, *, zipped=True):
    for name, content in ((LOG[year], log_text(year)), (META[year], METAS[year])):
        data = content.encode()
        file = folder / (f"{name}.gz" if zipped else name)
        file.write_bytes(gzip.compress(data) if zipped else data)
    return folder


YEARS = {2014: Amazon2014, 2018: Amazon2018, 2023: Amazon2023}


def reader_of(make):
    """Makes the reader of a year with the category that the files have."""

    def build(year, **options):
        options = {"category": CATEGORY[year], **options}
        return make(YEARS[year], "data", f"amazon_{year}", **options)

    return build
