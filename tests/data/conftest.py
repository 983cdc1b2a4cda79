from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from recsys_lab.data.engines.duckdb import DuckDB
from recsys_lab.data.engines.polars import Polars
from recsys_lab.data.engines.spark import Spark
from recsys_lab.data.preparation.contents import Preparation
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.prepare import prepare
from recsys_lab.data.raw import RawData
from recsys_lab.data.sources.table import Table
from recsys_lab.data.splits.leave_one_out import LeaveOneOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recsys_lab.data.prepared import PreparedDataset

ROOT = Path(__file__).parents[2]

# Users b (4 events, out of order, a tie at 5), a (3), c (1); item ids are text.
LOG = """user_id,item_id,timestamp
b,z,9
b,y,5
a,x,1
b,x,5
a,y,2
c,z,3
b,w,1
a,z,3
"""


class Given:
    """A reader of rows in memory; keywords are those of RawData."""

    @dataclass(frozen=True)
    class Config:
        version: int = 1

    def __init__(self, **raw):
        self.config = self.Config()
        self.raw = raw

    def source_key(self):
        return {"rows": len(self.raw["interactions"])}

    def read_raw(self, scratch):
        assert not list(scratch.iterdir())
        return RawData(**self.raw)


def build(kind: type, group: str, name: str, **overrides: Any) -> Any:
    """The component as the shipped YAML describes it, with overrides."""
    values = yaml.safe_load((ROOT / "configs" / group / f"{name}.yaml").read_text())
    assert values.pop("_target_") == f"{kind.__module__}.{kind.__name__}"
    return kind(kind.Config(**{**values, **overrides}))


def engines(name: str) -> Any:
    """An engine as shipped; Spark on two cores of this machine."""
    if name == "spark":
        few = {"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "1g"}
        return build(Spark, "engine", "spark", master="local[2]", settings=few)
    return build({"polars": Polars, "duckdb": DuckDB}[name], "engine", name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """The superuser may read and write everything: be nobody for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def make() -> Callable[..., Any]:
    return build


@pytest.fixture
def shared() -> Path:
    folder = (ROOT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip(f"the shared data sets are not at {folder}")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., PreparedDataset]:
    """Prepare a reader; keywords are filter options."""

    def prepare_it(
        reader: Any,
        *,
        root: Path | None = None,
        split: Any = None,
        engine: str = "polars",
        **options: Any,
    ) -> PreparedDataset:
        filters = build(Filters, "filter", "default", **{"max_bad_rows": 1.0, **options})
        split = split or build(LeaveOneOut, "split", "leave_one_out")
        parts = Preparation(filters, split, engines(engine))
        return prepare(reader, parts, root or tmp_path / "prepared", "log")

    return prepare_it


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Table]:
    """A table reader of a CSV with this text, or of a path; keywords are its options."""

    def make_table(content: str | bytes | Path, name: str = "log.csv", **options: Any) -> Table:
        path = content if isinstance(content, Path) else tmp_path / name
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        reader = build(Table, "data", "table", path=str(path), **options)
        assert isinstance(reader, Table)
        return reader

    return make_table
