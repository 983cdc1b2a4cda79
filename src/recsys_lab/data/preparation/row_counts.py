"""The bookkeeping of a preparation: rows in = rows out + dropped, at every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READER, BAD = "reader", "bad rows"
"""Steps: what the reader left out, and what lacks a user, an item or a time; see `Filters`."""


@dataclass
class RowCounts:
    """What happened to every row of the source.

    Attributes:
        counts: one entry a step: step, rows, users and items (None where not counted), dropped,
            reason, and of bad rows ``examples``, the first few for people.
    """

    counts: list[dict[str, Any]] = field(default_factory=list)

    def read(self, rows: int) -> None:
        """Begin with the source's rows."""
        self._add("read", rows, 0, "rows of the source", None, None)

    def _dropped_by(self, step: str) -> int:
        return sum(int(entry["dropped"]) for entry in self.counts if entry["step"] == step)

    def drop(
        self, step: str, dropped: int, reason: str, users: int | None = None,
        items: int | None = None,
    ) -> None:  # fmt: skip
        """Note a step, also one that dropped nothing."""
        self._add(step, self.rows - dropped, dropped, reason, users, items)

    def show(self, examples: Sequence[str]) -> None:
        """Keep a few of the rows that the last step dropped, as words for people."""
        self.counts[-1]["examples"] = list(examples)

    def _add(
        self, step: str, rows: int, dropped: int, reason: str, users: int | None, items: int | None
    ) -> None:
        self.counts.append(
            {
                "step": step,
                "rows": rows,
                "users": users,
                "items": items,
                "dropped": dropped,
                "reason": reason,
            }
        )

    @property
    def rows(self) -> int:
        """What is left now."""
        return int(self.counts[-1]["rows"])

    def refuse_nothing(self) -> None:
        """An empty log is an error that says where the rows went.

        Raises:
            UserError: when no row is left.
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
        """A log of which much cannot be used is hardly the log that was meant.

        Args:
            most: the largest share of bad rows that is allowed.

        Raises:
            UserError: with the reasons and their examples.
        """
        bad = [entry for entry in self.counts if entry["step"] == BAD and entry["dropped"]]
        dropped = sum(entry["dropped"] for entry in bad)
        rows = self.counts[0]["rows"] - self._dropped_by(READER)
        if dropped <= most * rows:
            return
        reasons = "; ".join(f"{e['reason']}: {e['dropped']:,}{format_examples(e)}" for e in bad)
        raise UserError(
            f"{dropped:,} of {rows:,} rows ({dropped / rows:.1%}) cannot be used, more than "
            f"filter.max_bad_rows={most:g} allows. {reasons}. Check the column mapping and the "
            "options of reading (data.*), or allow it: filter.max_bad_rows=1"
        )


def format_examples(entry: Mapping[str, Any]) -> str:
    """The examples of one of `RowCounts.counts` as words; empty where it has none."""
    examples = entry.get("examples", ())
    return f", such as {'; '.join(examples)}" if examples else ""
