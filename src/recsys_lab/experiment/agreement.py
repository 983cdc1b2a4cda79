"""Test results that were computed once more, beside those of the run's record."""

from __future__ import annotations

from math import isclose
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
"""Of a value, or of 1: what sums of other machines and versions may differ by, and no list does."""


def agreement(record: RunRecord, found: TestResults) -> str:
    """In words: equal to the record, or equal up to rounding.

    Raises:
        Disagreement: there are other numbers; says by how much, and of how many users.
    """
    recorded = _numbers(record.values["test"], record.values.get("off_policy"))
    now = _numbers(found.means, found.off_policy)
    names = dict.fromkeys([*recorded, *now])
    other = [name for name in names if not _close(recorded.get(name), now.get(name))]
    if other:
        users = _users(record, found)
        lines = [_line(name, recorded.get(name), now.get(name), users) for name in other]
        raise Disagreement(
            "\n".join(
                [
                    f"{record.folder}: the record says otherwise for {len(other)} of "
                    f"{len(names)} metrics:",
                    *lines,
                    *_causes(record, other),
                ]
            )
        )
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
    """What may differ; of the user's own metrics the file that has changed since."""
    changed = changed_classes(record.values.get("metrics") or {})
    lines = [
        f"{one} has changed since the run"
        for one in dict.fromkeys(changed[name] for name in other if name in changed)
    ]
    if all(name in changed for name in other):
        return lines
    return [
        *lines,
        "Data and weights are those of the run, so what differs is the machine (near-equal "
        "scores may change places on other hardware or with another number of threads, for few "
        f"users), or code and packages; the run was made with {_made_with(record)}.",
    ]


def _numbers(
    means: Mapping[str, float], estimates: Sequence[Mapping[str, Any]] | None
) -> dict[str, float]:
    """The metrics, and the off-policy estimates that have a value, e.g. ``ips@10``."""
    known = [row for row in estimates or () if row["value"] is not None]
    return {**means, **{f"{row['estimator']}@{row['k']}": row["value"] for row in known}}


def _close(recorded: float | None, now: float | None) -> bool:
    if recorded is None or now is None:
        return False
    return isclose(recorded, now, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _line(name: str, recorded: float | None, now: float | None, users: pl.DataFrame | str) -> str:
    if recorded is None or now is None:
        shown = [("not there" if value is None else value) for value in (recorded, now)]
        return f"  {name}: {shown[0]} recorded, {shown[1]} now"
    line = f"  {name}: {recorded} recorded, {now} now ({now - recorded:+.2g}); "
    if isinstance(users, str):
        return line + users
    if name not in users.columns:
        return f"{line}{users['items'].sum():,} of {len(users):,} users have another list"
    return f"{line}{users[name].sum():,} of {len(users):,} users have another value"


def _users(record: RunRecord, found: TestResults) -> pl.DataFrame | str:
    """Whether each user has another list, and another value of each metric; or why not known."""
    try:
        before = record.table(PER_USER)
    except UserError:
        return f"of how many users is not known ({PER_USER} is missing or damaged)"
    now = found.users
    if not {"user", "items"} <= set(before.columns) or not before["user"].equals(now["user"]):
        return f"of how many users is not known ({PER_USER} holds other users)"
    items = [np.stack(rows["items"].to_list()) for rows in (before, now)]
    same = items[0].shape == items[1].shape
    other = {"items": (items[0] != items[1]).any(1) if same else np.ones(len(now), dtype=bool)}
    for name in found.means:
        if name in before.columns and name in now.columns:
            old, new = (rows[name].cast(pl.Float64).to_numpy() for rows in (before, now))
            other[name] = ~np.isclose(old, new, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    marked = pl.DataFrame({"user": now["user"], **other})
    return marked.group_by("user").agg(pl.exclude("user").any())


def _made_with(record: RunRecord) -> str:
    values = record.values
    commit = (values.get("code") or {}).get("commit") or "a commit that is not recorded"
    torch = (values.get("packages") or {}).get("torch", "not recorded")
    machine = values.get("machine") or {}
    on = machine.get("gpu") or machine.get("platform") or "a machine that is not recorded"
    return f"code {commit}, torch {torch}, on {on}"
