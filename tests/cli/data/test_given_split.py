"""A split that is written out to files and used as it stands."""

import polars as pl
import pytest

from tests.cli.flow import COUNTS, record, train

pytestmark = pytest.mark.usefixtures("shop")


def test_leave_one_out_from_three_files_gives_its_metrics():
    frame = pl.read_csv("log.csv").sort("user_id", "timestamp", maintain_order=True)
    left = (pl.len() - 1 - pl.int_range(pl.len())).over("user_id")
    for name, keep in (("train", left > 1), ("valid", left == 1), ("test", left == 0)):
        frame.filter(keep).write_csv(f"{name}.csv")
    later = ["split=given", "data.validation_path=valid.csv", "data.test_path=test.csv"]
    base = [*COUNTS, "model=item_knn"]
    assert train("run_dir=one", base=base) == 0
    assert train(*later, "data.path=train.csv", "run_dir=three", base=base) == 0
    one, three = record("one"), record("three")
    assert one["test"] == three["test"]
    assert one["validation"] == three["validation"]
    assert one["test"]["ndcg@10"] > 0
    assert three["protocol"]["fields"]["split"]["name"] == "given"
