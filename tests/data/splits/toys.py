"""Small logs and splits; what a split gives, in words that a person can check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from recsys_lab.data.splits.base import FlatLog, Segments
from recsys_lab.data.splits.cold_start import target_ranges
from recsys_lab.data.splits.given import Given
from recsys_lab.data.splits.global_temporal import GlobalTemporal
from recsys_lab.data.splits.last_n import LastN
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from recsys_lab.data.splits.rolling import Rolling
from recsys_lab.data.splits.unseen_users import UnseenUsers
from recsys_lab.data.splits.user_ratio import UserRatio

CONFIGS = Path(__file__).parents[3] / "configs" / "split"
DAY = 86_400
KINDS = {
    "leave_one_out": LeaveOneOut,
    "last_n": LastN,
    "user_ratio": UserRatio,
    "global_temporal": GlobalTemporal,
    "rolling": Rolling,
    "unseen_users": UnseenUsers,
    "given": Given,
}


def make(name: str, **overrides: Any) -> Any:
    """The split as its shipped YAML describes it, with overrides."""
    kind = KINDS[name]
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert values.pop("_target_") == f"{kind.__module__}.{kind.__name__}"
    assert overrides.keys() <= values.keys()
    return kind(kind.Config(**{**values, **overrides}))


def log_of(
    *users: list[tuple[int, int]] | list[int], parts: list[list[int]] | None = None
) -> FlatLog:
    """A log of users, each a list of (item, time) or of items without times; their parts."""
    lengths = [len(user) for user in users]
    events = [event for user in users for event in user]
    timed = all(isinstance(event, tuple) for event in events)
    items = [event[0] if isinstance(event, tuple) else event for event in events]
    times = np.array([event[1] for event in events], dtype=np.int64) if timed else None
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    given = None if parts is None else np.array([part for user in parts for part in user], np.int8)
    return FlatLog(
        np.array(items, dtype=np.int32), offsets, times, 1 + max(items, default=0), given
    )


def typed_log(*users: str) -> FlatLog:
    """A log of users, each a text such as ``1 2B | 3``: items, ``B`` where one was bought.

    A bar ends a session, which is a basket too. The events of a user are an hour apart, the first
    at hour 0; where any is bought, only bought ones may be targets.
    """
    runs = [[run.split() for run in user.split("|")] for user in users]
    events = [[event for run in user for event in run] for user in runs]
    log = log_of(
        *([(int(e.rstrip("B")), 3600 * hour) for hour, e in enumerate(user)] for user in events)
    )
    lengths = [len(run) for user in runs for run in user]
    starts = np.cumsum([0, *lengths[:-1]])
    is_target = np.array([e.endswith("B") for user in events for e in user])
    log = replace(log, is_target=is_target if is_target.any() else None)
    return replace(log, sessions=starts, baskets=starts) if len(lengths) > len(users) else log


def in_items(log: FlatLog, segments: Segments) -> dict[str, Any]:
    """train: user -> items; validation and test: user -> (history items, target items)."""
    items, gaps = log.items.tolist(), segments.dropped_targets
    found: dict[str, Any] = {"train": {u: items[a:b] for u, a, b in segments.train.tolist()}}
    for phase in ("validation", "test"):
        rows = getattr(segments, phase)
        places, of_row = target_ranges(rows, gaps)
        found[phase] = {
            user: (items[start:end], [items[p] for p in places[of_row == row].tolist()])
            for row, (user, start, end, _) in enumerate(rows.tolist())
        }
    return found


@st.composite
def logs(draw: Any) -> FlatLog:
    """Up to 8 users with up to 12 events each, over 40 days, with ties; times do not decrease.

    Neither do the parts of a published split. Of any length are the sessions, which are the
    baskets, too. In half of the logs not all events may be targets.
    """
    users, parts = [], []
    for _ in range(draw(st.integers(2, 8))):
        days = draw(st.lists(st.integers(0, 40), min_size=1, max_size=12))
        users.append([(draw(st.integers(0, 6)), day * DAY) for day in sorted(days)])
        parts.append(sorted(draw(st.integers(0, 2)) for _ in days))
    log = log_of(*users, parts=parts)
    flags = st.lists(st.booleans(), min_size=len(log.items), max_size=len(log.items))
    begins = np.array(draw(flags))
    begins[log.offsets[:-1]] = True
    starts = np.flatnonzero(begins)
    log = replace(log, sessions=starts, baskets=starts)
    return replace(log, is_target=np.array(draw(flags))) if draw(st.booleans()) else log
