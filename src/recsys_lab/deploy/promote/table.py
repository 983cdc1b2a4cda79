"""The checks of a decision as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from recsys_lab.pages.number_format import decimal, number
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from recsys_lab.deploy.promote.decision import Decision
    from recsys_lab.deploy.promote.verdict import Check

_STYLES = {"passed": "green", "refused": "bold red", "unsure": "bold yellow", "too small": "dim"}


def checks_table(decision: Decision) -> Table:
    """A row for each check: both values, bounds of the difference, number of users, outcome."""
    opponent = decision.values["against"]
    rules = decision.values.get("rules")
    caption = "The gate"
    if rules is not None:
        caption += (
            f": margin {rules['margin']:.3g}, one-sided level {rules['level']:.3g}; "
            "difference: one-sided bounds of candidate - " + opponent
        )
    heads = ("check", "candidate", opponent, "difference", "users", "outcome")
    rows = [_row(check) for check in decision.checks]
    return Table(caption, heads, rows, right=(1, 2, 3, 4))


def _row(check: Check) -> tuple[str | Text, ...]:
    tested = check.p is not None and check.low is not None and check.high is not None
    bounds = f"{check.low:+.4f} to {check.high:+.4f}" if tested else "-"
    return (
        check.name,
        _value(check.candidate),
        _value(check.champion),
        bounds,
        number(check.users),
        Text(check.outcome, style=_STYLES[check.outcome]),
    )


def _value(value: float | None) -> str:
    return number(value) if value is None or isinstance(value, int) else decimal(value)
