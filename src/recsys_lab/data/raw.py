"""What a reader hands to the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl


@dataclass(frozen=True)
class RawData:
    """The raw log and what is known about users and items.

    Attributes:
        interactions: rows in file order with ``user_id`` and ``item_id`` (integers or strings;
            null or empty where missing) and, where there are, ``timestamp`` (seconds since the
            epoch, int64; null where it could not be read) and ``order`` (int64, null likewise).
            Events of a user are put in order by timestamp, then order, then file order.
        items: ``item_id`` and optional columns such as ``title``; or None.
        users: ``user_id`` and optional columns; or None.
        dropped: rows of the source that are not in ``interactions``, by reason.
        truth_path: where a synthetic reader stored its process, or None.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    dropped: Mapping[str, int] | None = None
    truth_path: Path | None = None


class Reader(Protocol):
    """A source of interactions; everything after `read_raw` is shared by all sources."""

    @property
    def config(self) -> Any:
        """The reader's dataclass; fields named ``path``, ``*_path`` and ``*_dir`` are places.

        Places do not tell one content from another; `source_key` does.
        """
        ...

    def source_key(self) -> dict[str, Any]:
        """Identity of the source's content, ready for JSON, equal on every machine."""
        ...

    def read_raw(self) -> RawData:
        """Read the source.

        Raises:
            UserError: when it is absent, damaged or not of the expected form.
        """
        ...
