"""Counts of rows at every step of a preparation: rows before = rows after + rows dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys_lab.config import UserError

READER, BAD = "reader", "bad rows"
"""Steps: rows that the reader left out, and rows without user, item or time; see `Filters`."""


@dataclass
class RowCounts:
    """Counts of the rows that each step kept and dropped.

    Attributes:
        counts: one entry per step: step, rows, users and items (None if not counted), dropped,
            reason, and for bad rows ``examples``, descriptions of the first few.
    """

    counts: list[dict[str, Any]] = field(default_factory=list)

    def read(self, rows: int) -> None:
        """Start with the number of rows of the source."""
        self._add("read", rows, 0, "rows of the source")

    def drop(self, step: str, dropped: int, reason: str, **left: int) -> None:
        """Record a step, also one that dropped nothing.

        Args:
            step: its name.
            dropped: number of rows.
            reason: why they were dropped.
            left: remaining ``users`` and ``items``, if they were counted.
        """
        self._add(step, self.rows - dropped, dropped, reason, **left)

    def show(self, examples: Sequence[str]) -> None:
        """Record descriptions of some rows that the last step dropped."""
        self.counts[-1]["examples"] = list(examples)

    def _add(self, step: str, rows: int, dropped: int, reason: str, **left: int) -> None:
        counted = {"users": left.get("users"), "items": left.get("items")}
        entry = {"step": step, "rows": rows, **counted, "dropped": dropped, "reason": reason}
        self.counts.append(entry)

    @property
    def rows(self) -> int:
        """The number of remaining rows."""
        return int(self.counts[-1]["rows"])

    def refuse_nothing(self) -> None:
        """Refuse an empty log, with the reasons why rows were dropped.

        Raises:
            UserError: if no row is left.
        """
        if self.rows:
            return
        report = "; ".join(f"{c['reason']}: {c['dropped']}" for c in self.counts if c["dropped"])
        raise UserError(
            f"no interaction is left of {self.counts[0]['rows']} rows. Dropped: "
            f"{report or 'none, the source has no rows'}. Check the column mapping (data.*) and "
            "the filter settings, e.g. lower filter.min_user_count and filter.min_item_count"
        )

    def refuse_many(self, most: float) -> None:
        """Refuse a log with too many bad rows.

        Args:
            most: the largest allowed share of bad rows.

        Raises:
            UserError: with the reasons and examples of bad rows.
        """
        bad = [entry for entry in self.counts if entry["step"] == BAD and entry["dropped"]]
        dropped = sum(entry["dropped"] for entry in bad)
        unread = sum(entry["dropped"] for entry in self.counts if entry["step"] == READER)
        rows = self.counts[0]["rows"] - unread
        if dropped <= most * rows:
            return
        reasons = "; ".join(f"{e['reason']}: {e['dropped']:,}{format_examples(e)}" for e in bad)
        raise UserError(
            f"{dropped:,} of {rows:,} rows ({dropped / rows:.1%}) cannot be used, more than "
            f"filter.max_bad_rows={most:g} allows. {reasons}. Check the columns and the other "
            "options of the reader (data.*), or allow it with filter.max_bad_rows=1"
        )


def format_examples(entry: Mapping[str, Any]) -> str:
    """The examples of an entry of `RowCounts.counts` as text; empty if it has none."""
    examples = entry.get("examples", ())
    return f", such as {'; '.join(examples)}" if examples else ""
