"""Off-policy estimates of a run's record as a table of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from recsys_lab.pages.number_format import decimal, interval_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def off_policy_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Estimates with intervals, and what says how far to trust them."""
    reward = found[0]["off_policy_reward"]
    table = Table(title=f"off-policy: mean {reward} of an exposure", title_justify="left")
    table.add_column("k", justify="right")
    table.add_column("estimate")
    for head in ("value", "95% interval", "matched", "mean weight"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in found:
        bounds = interval_text(row["low"], row["high"])
        value = "-" if row["value"] is None else decimal(row["value"])
        matched = f"{row['matched']:,} of {row['events']:,}"
        table.add_row(
            str(row["k"]), row["estimator"], value, bounds, matched, f"{row['mean_weight']:.2f}"
        )
    return table
