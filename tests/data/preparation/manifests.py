"""A manifest as `prepare` writes it, of a log of a few lines."""

from __future__ import annotations

import copy
import json
from typing import Any

from recsys_lab.data.leaks.check import check_leaks
from recsys_lab.data.leaks.world import World
from recsys_lab.data.preparation.statistics import describe
from tests.data.splits.toys import DAY, log_of, make

FINGERPRINT = "5fefa9ded6d2e51d8f84d178ef2d5faf1eb9c483bc125da210a5906a6a40f00c"

ABOUT = {
    "title": "Shop of Examples",
    "homepage": "https://example.org/shop",
    "licence": "CC BY 4.0, with attribution",
    "citation": "Doe, J. (2020). A shop.",
    "notes": ["Returns are no purchases.", "Many customers are wholesalers."],
}

FEATURES = {
    "items": {"price": {"type": "numeric", "missing": 12345}, "title": {"type": "text"}},
    "events": {"device": {"type": "categorical", "values": 17}},
}

WARNING = "rating: 2 values are no number & count as missing; the first is '5,0' (row [7])"

COUNTS = [
    {"step": "read", "rows": 541909, "users": None, "items": None, "dropped": 0,
     "reason": "rows of the source"},
    {"step": "reader", "rows": 406829, "users": None, "items": None, "dropped": 135080,
     "reason": "missing customer"},
    {"step": "k-core", "rows": 12, "users": 3, "items": 5, "dropped": 406817,
     "reason": "users with fewer than 3 events"},
]  # fmt: skip


def manifest(*, timed: bool = True, **changes: Any) -> dict[str, Any]:
    """Three users, five items, 12 events; after a round trip through JSON."""
    users = [
        [(0, 0), (1, DAY), (0, 2 * DAY), (2, 40 * DAY), (2, 41 * DAY)],
        [(0, 5 * DAY), (3, 6 * DAY), (1, 7 * DAY), (4, 50 * DAY)],
        [(0, 3 * DAY), (1, 4 * DAY), (0, 90 * DAY)],
    ]
    log = log_of(*(user if timed else [item for item, _ in user] for user in users))
    split = make("leave_one_out", cold_items="report")
    segments = split.segments(log)
    made = {
        "schema_version": 3,
        "name": "shop_of_examples",
        "source": {
            "reader": "Table",
            "config": {"separator": ";", "user_column": "customer", "usecols": None},
            "key": {"path": {"name": "log.csv", "bytes": 4711}},
        },
        "about": ABOUT,
        "engine": "duckdb",
        "created": "2026-01-02T03:04:05+00:00",
        "num_users": 3,
        "num_items": 5,
        "num_interactions": 12,
        "has_timestamps": timed,
        "tie_rule": "file order",
        "settings": {
            "filter": {"min_user_count": 3, "event_types": ["buy", "cart"]},
            "split": split.settings(),
        },
        "counts": COUNTS,
        "unreadable": {},
        "warnings": [WARNING],
        "split": {**split.settings(), "train_rows": 3, **segments.counts},
        "leaks": [leak.to_json() for leak in check_leaks(World(log, segments))],
        "features": FEATURES,
        "statistics": describe(log, segments),
        "fingerprint": FINGERPRINT,
    }
    return json.loads(json.dumps({**copy.deepcopy(made), **changes}))
