"""Compares recomputed test results with those of the run's record."""

from __future__ import annotations

from math import isclose, isnan
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import Disagreement, UserError
from recsys_lab.evaluation.metrics.registry import changed_classes
from recsys_lab.runs.record import PER_USER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.experiment.test_results import TestResults
    from recsys_lab.runs.record import RunRecord

_ROUNDING = 1e-12
"""Relative and absolute tolerance for sums on other machines and versions."""


def agreement(record: RunRecord, results: TestResults) -> str:
    """A message that the results are equal to the record, or equal up to rounding.

    Raises:
        Disagreement: metrics differ; lists the differences and the numbers of users.
    """
    recorded = _numbers(record.values["test"], record.values.get("off_policy"))
    now = _numbers(results.means, results.off_policy)
    names = dict.fromkeys([*recorded, *now])
    other = [name for name in names if not _close(recorded.get(name), now.get(name))]
    if other:
        users = _users(record, results)
        lines = [
            f"{record.folder}: {len(other)} of {len(names)} metrics differ from the record:",
            *(_line(name, recorded.get(name), now.get(name), users) for name in other),
            *_causes(record, other),
        ]
        raise Disagreement("\n".join(lines))
    gaps = {name: abs(recorded[name] - now[name]) for name in names}
    largest = max(gaps, key=gaps.__getitem__)
    if gaps[largest] == 0:
        return "equal to the run record"
    unequal = sum(gap > 0 for gap in gaps.values())
    return (
        f"equal to the run record up to rounding: {unequal} of {len(names)} metrics differ, by at "
        f"most {gaps[largest]:.1g} ({largest})"
    )


def _causes(record: RunRecord, other: Sequence[str]) -> list[str]:
    """Possible causes; for the user's own metrics, the file that has changed."""
    changed = changed_classes(record.values.get("metrics") or {})
    lines = [
        f"{one} has changed since the run"
        for one in dict.fromkeys(changed[name] for name in other if name in changed)
    ]
    if all(name in changed for name in other):
        return lines
    return [
        *lines,
        "Data and weights are equal, so the machine (near-equal scores may be ranked differently "
        "on other hardware or with another number of threads, for few users), the code or the "
        f"packages differ; the run was made with {_made_with(record)}.",
    ]


def _numbers(
    means: Mapping[str, float], estimates: Sequence[Mapping[str, Any]] | None
) -> dict[str, float]:
    """The metrics and the off-policy estimates that have a value, e.g. ``ips@10``."""
    known = [row for row in estimates or () if row["value"] is not None]
    means = {name: value for name, value in means.items() if not isnan(value)}
    return {**means, **{f"{row['estimator']}@{row['k']}": row["value"] for row in known}}


def _close(recorded: float | None, now: float | None) -> bool:
    if recorded is None or now is None:
        return False
    return isclose(recorded, now, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _line(name: str, recorded: float | None, now: float | None, users: pl.DataFrame | str) -> str:
    if recorded is None or now is None:
        shown = [("missing" if value is None else value) for value in (recorded, now)]
        return f"  {name}: {shown[0]} recorded, {shown[1]} now"
    line = f"  {name}: {recorded} recorded, {now} now ({now - recorded:+.2g}); "
    if isinstance(users, str):
        return line + users
    if name not in users.columns:
        return f"{line}{users['items'].sum():,} of {len(users):,} users have a different list"
    return f"{line}{users[name].sum():,} of {len(users):,} users have a different value"


def _users(record: RunRecord, results: TestResults) -> pl.DataFrame | str:
    """Whether the list and each metric differ, by user; or a message why this is unknown."""
    try:
        before = record.table(PER_USER)
    except UserError:
        return f"for an unknown number of users ({PER_USER} is missing or damaged)"
    now = results.users
    if not {"user", "items"} <= set(before.columns) or not before["user"].equals(now["user"]):
        return f"for an unknown number of users ({PER_USER} has other users)"
    items = [np.stack(rows["items"].to_list()) for rows in (before, now)]
    same = items[0].shape == items[1].shape
    other = {"items": (items[0] != items[1]).any(1) if same else np.ones(len(now), dtype=bool)}
    for name in results.means:
        if name in before.columns and name in now.columns:
            old, new = (rows[name].cast(pl.Float64).to_numpy() for rows in (before, now))
            other[name] = ~np.isclose(old, new, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    marked = pl.DataFrame({"user": now["user"], **other})
    return marked.group_by("user").agg(pl.exclude("user").any())


def _made_with(record: RunRecord) -> str:
    values = record.values
    commit = (values.get("code") or {}).get("commit") or "of an unknown commit"
    torch = (values.get("packages") or {}).get("torch", "of an unknown version")
    machine = values.get("machine") or {}
    on = machine.get("gpu") or machine.get("platform") or "an unknown machine"
    return f"code {commit}, torch {torch}, on {on}"
