"""The comparison of two logs, as one JSON-compatible result."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.deploy.drift import distributions
from recsys_lab.deploy.drift.distributions import Both, Distribution
from recsys_lab.deploy.drift.logs import DAY, EventLog, part_of
from recsys_lab.deploy.drift.matching import match
from recsys_lab.deploy.drift.noise import Judged, judge
from recsys_lab.deploy.drift.overview import FEWEST, describe, moved, notes_of, user_counts
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 1

_FAR = 30 * 365.25 * DAY
"""Seconds between the logs from which their clocks or units must differ."""


@dataclass(frozen=True)
class Thresholds:
    """Largest shifts beyond sampling noise; None: reported, never above."""

    max_new_users: float | None
    max_new_items: float | None
    max_popularity_js: float | None
    max_popularity_psi: float | None
    max_length_psi: float | None
    max_gap_psi: float | None
    max_pair_js: float | None
    max_feature_js: float | None
    max_feature_psi: float | None

    def key(self, name: str) -> str:
        """The key of a statistic such as ``popularity/js``."""
        return _KEYS.get(name) or f"max_feature_{name.rpartition('/')[2]}"


_KEYS = {
    "popularity/new_share": "max_new_items",
    "popularity/js": "max_popularity_js",
    "popularity/psi": "max_popularity_psi",
    "history_length/psi": "max_length_psi",
    "gaps/psi": "max_gap_psi",
    "pairs/js": "max_pair_js",
}


@dataclass(frozen=True)
class Options:
    """How the noise is found.

    Attributes:
        resamples: number of random divisions of the users.
        level: probability that an unshifted log has any statistic beyond its noise.
        seed: of the divisions.
        days: only the last days of each log; None: all.
    """

    resamples: int
    level: float
    seed: int
    days: float | None


def compare(
    old: EventLog, new: EventLog, options: Options, thresholds: Thresholds
) -> dict[str, Any]:
    """Compare two logs.

    Returns:
        See docs/how-to/drift.md: ``shifts`` has one entry per statistic, ``skipped`` what was not
        compared and why, ``details`` the shares of both logs.

    Raises:
        UserError: a log has no events, their times cannot be of one clock, or the options
            contradict each other.
    """
    check(old, new, options)
    parts = part_of(old, options.days), part_of(new, options.days)
    both = Both(old, new, parts)
    skipped: list[dict[str, str]] = []
    compared = list(_distributions(both, skipped))
    identical = _identical(old, new)
    tallies = [one.tallies() for one in compared]
    judged = judge(tallies, both.in_new_U, 0 if identical else options.resamples, options.seed)
    matched = match(old.user_ids, new.user_ids, "user")
    users = user_counts(both, matched)
    shifts = [_new_users(users, thresholds)]
    for one in compared:
        for measure in one.measures:
            name = f"{one.name}/{measure}"
            if name in judged:
                shifts.append(_shift(name, judged[name], options.level, thresholds))
            else:
                skipped.append({"part": name, "reason": "OLD or NEW has no value to compare"})
    if min(both.sizes) < FEWEST:
        shifts = [{**shift, "above": False} for shift in shifts]
    return {
        "schema": SCHEMA,
        "lab_version": __version__,
        "identical": identical,
        "old": describe(both, 0),
        "new": describe(both, 1),
        "users": users,
        "items": _item_counts(compared[0], both),
        "settings": {
            **vars(options),
            "thresholds": {
                field.name: getattr(thresholds, field.name) for field in fields(thresholds)
            },
        },
        "shifts": shifts,
        "skipped": skipped,
        "notes": notes_of(both, matched, options.days, identical=identical),
        "details": {one.name: moved(one, both.in_new_U) for one in compared},
        "hit_rate": None,
    }


def check(old: EventLog, new: EventLog, options: Options) -> None:
    """Refuse what cannot be compared, before any work.

    Raises:
        UserError: see `compare`.
    """
    fewest = int(np.ceil(1 / options.level - 1e-9)) - 1
    if options.resamples < fewest:
        raise UserError(
            f"resamples: got {options.resamples}, but level={options.level:g} needs at least "
            f"{fewest}: with fewer, nothing could stand out from the noise"
        )
    for name, log in (("OLD", old), ("NEW", new)):
        if not len(log.items_T):
            raise UserError(f"{name}: {log.path} has no events, so there is nothing to compare")
        if options.days is not None and log.times_T is None:
            raise UserError(
                f"days={options.days:g}: {name}, {log.path}, has no timestamps, so its last days "
                "are unknown; leave days out"
            )
    first, second = old.span, new.span
    if first is None or second is None:
        return
    apart = max(second[0] - first[1], first[0] - second[1])
    if apart > _FAR:
        old_end, new_end = (str(np.datetime64(span[1], "s")) for span in (first, second))
        raise UserError(
            f"the times of OLD end at {old_end}, those of NEW at {new_end}, "
            f"{apart / DAY / 365.25:,.0f} years apart: they are in different units or of different "
            "clocks; set timestamp_unit (of a file), or prepare the wrong one again with "
            "data.timestamp_unit"
        )


def _distributions(both: Both, skipped: list[dict[str, str]]) -> Iterator[Distribution]:
    yield distributions.popularity(both)
    yield distributions.history_length(both)
    untimed = [n for n, log in zip(("OLD", "NEW"), both.logs, strict=True) if log.times_T is None]
    made: dict[str, Any] = {"pairs": distributions.pairs}
    if untimed:
        reason = f"{' and '.join(untimed)} has no timestamps"
        skipped.append({"part": "gaps", "reason": reason})
    else:
        made = {"gaps": distributions.gaps, **made}
    for name, make in made.items():
        one = make(both)
        if one is None:
            skipped.append({"part": name, "reason": "no user of OLD has two events"})
        else:
            yield one
    old, new = both.logs
    for name in dict.fromkeys([*old.kinds, *new.kinds]):
        reason = _incomparable(old, new, name)
        one = None if reason else distributions.feature(both, name)
        if one is None:
            skipped.append({"part": name, "reason": reason or "OLD has only missing values"})
        else:
            yield one


def _incomparable(old: EventLog, new: EventLog, name: str) -> str:
    kinds = old.kinds.get(name), new.kinds.get(name)
    if None in kinds:
        lacking = "OLD" if kinds[0] is None else "NEW"
        log = old if kinds[0] is None else new
        table = log.kind == "file" and not name.startswith("event.")
        side = name.partition(".")[0]
        return f"missing in {lacking}" + (f", a file of events without a table of {side}s" * table)
    if kinds[0] != kinds[1]:
        return f"of type {kinds[0]} in OLD and {kinds[1]} in NEW"
    return "texts have no shares; declare the column as categorical" if kinds[0] == "text" else ""


def _identical(old: EventLog, new: EventLog) -> bool:
    """Whether both are the same prepared content, with the same features."""
    if old.prepared is None or new.prepared is None:
        return False
    features = {log.prepared.features_fingerprint for log in (old, new) if log.prepared}
    return old.fingerprint == new.fingerprint and len(features) == 1


def _shift(name: str, judged: Judged, level: float, thresholds: Thresholds) -> dict[str, Any]:
    key = thresholds.key(name)
    limit = getattr(thresholds, key)
    part, _, measure = name.rpartition("/")
    return {
        "name": name,
        "part": part,
        "measure": measure,
        "value": judged.value,
        "noise": judged.noise,
        "excess": judged.excess,
        "p": judged.p,
        "threshold": limit,
        "key": key,
        "above": limit is not None and judged.excess > limit and judged.p <= level,
    }


def _new_users(users: dict[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    """The share of NEW's users that OLD lacks: a count of all users, not a sample of them."""
    limit, share = thresholds.max_new_users, users["new_share"]
    return {
        "name": "users/new_share",
        "part": "users",
        "measure": "new_share",
        "value": share,
        "noise": None,
        "excess": share,
        "p": None,
        "threshold": limit,
        "key": "max_new_users",
        "above": limit is not None and share > limit,
    }


def _item_counts(items: Distribution, both: Both) -> dict[str, Any]:
    old_V, new_V = items.tallies().of(both.in_new_U)
    in_old, in_new = old_V > 0, new_V > 0
    return {
        "both": int((in_old & in_new).sum()),
        "only_old": int((in_old & ~in_new).sum()),
        "only_new": int((in_new & ~in_old).sum()),
        "events_on_only_old": float(old_V[~in_new].sum() / old_V.sum()),
        "events_on_only_new": float(new_V[~in_old].sum() / new_V.sum()),
    }
