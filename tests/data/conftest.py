from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from recsys_lab.data.filters import Filters
from recsys_lab.data.pipeline import prepare
from recsys_lab.data.raw import RawData
from recsys_lab.data.split import LeaveOneOut
from recsys_lab.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def read_raw(self):
        return RawData(**self.raw)


def build(kind: type, group: str, name: str, **overrides: Any) -> Any:
    """The component as the shipped YAML describes it, with overrides."""
    values = yaml.safe_load((ROOT / "configs" / group / f"{name}.yaml").read_text())
    assert values.pop("_target_") == f"{kind.__module__}.{kind.__name__}"
    return kind(kind.Config(**{**values, **overrides}))


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

    def prepare_it(reader: Any, *, root: Path | None = None, **options: Any) -> PreparedDataset:
        filters = build(Filters, "filter", "default", **options)
        split = build(LeaveOneOut, "split", "leave_one_out")
        return prepare(reader, filters, split, root or tmp_path / "prepared", "log")

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
