"""The shop's week as one script, on a small till log whose last month has other products."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scripts.weekly_cycle import cycle

CUT = datetime(2011, 11, 9)
OPTIONS = [
    "model.hidden_dim=16",
    "model.num_layers=1",
    "model.max_length=10",
    "recipe.max_epochs=30",
    "recipe.batch_size=32",
    "recipe.learning_rate=1e-2",
]


def till_log(customers=150, products=30):
    """Customers walk through the products in a circle; from the cut on, through new ones."""
    starts = np.random.default_rng(0).integers(products, size=customers)
    rows = [
        {
            "Description": f"{'NEW' if month else 'OLD'} {(start + step) % products}",
            "Quantity": 1,
            "InvoiceDate": CUT + timedelta(days=28 * month - 28 + step, minutes=customer),
            "UnitPrice": 1.0,
            "CustomerID": 12_000 + customer,
            "Country": "France",
        }
        for customer, start in enumerate(starts)
        for month in (0, 1)
        for step in range(8)
    ]
    return pl.DataFrame(rows)


@pytest.mark.usefixtures("quick_start")
def test_newer_data_are_retrained_on_promoted_and_served_without_a_failed_request(tmp_path):
    till_log().write_parquet(tmp_path / "till.parquet")
    week = cycle(tmp_path / "till.parquet", tmp_path / "week", CUT, OPTIONS)
    outcomes = [(step["step"], step["outcome"]) for step in week["steps"]]
    assert outcomes == [
        ("train", "exit code 0"),
        ("recommend", "exit code 0"),
        ("export", "exit code 0"),
        ("promote", "exit code 0"),
        ("prepare", "exit code 0"),
        ("drift", "exit code 3"),
        ("retrain", "exit code 0"),
        ("promote", "exit code 0"),
        ("swap", "1 -> 2"),
        ("retrain", "exit code 0"),
        ("promote", "exit code 3"),
    ]
    assert week["failed_requests"] == 0
    assert {*week["answered"]} == {"1", "2"}
