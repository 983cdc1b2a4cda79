"""The bookkeeping of a preparation: rows in = rows out + dropped, at every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recsys_lab.config import UserError


@dataclass
class Tally:
    """What happened to every row of the source.

    Attributes:
        counts: one entry a step: step, rows, users and items (None where not counted), dropped,
            reason.
    """

    counts: list[dict[str, Any]] = field(default_factory=list)

    def read(self, rows: int) -> None:
        """Begin with the source's rows."""
        self._add("read", rows, 0, "rows of the source", None, None)

    def drop(
        self, step: str, dropped: int, reason: str, users: int | None = None,
        items: int | None = None,
    ) -> None:  # fmt: skip
        """Note a step, also one that dropped nothing."""
        self._add(step, self.rows - dropped, dropped, reason, users, items)

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
