"""Which column of a log has the times: by its name, else by its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.proposal.roles import Role
from recsys_lab.data.proposal.sample import Sample
from recsys_lab.data.proposal.times import Times, read_times


def clock_gaps(sample: Sample, roles: Mapping[str, Role]) -> Iterator[str]:
    """A gap for a column with times of day, apart from the date."""
    for name, values in zip(sample.frame.columns, sample.frame.iter_columns(), strict=True):
        there = values.head(1000).drop_nulls()
        is_clock = values.dtype == pl.Time
        if values.dtype == pl.String and len(there):
            is_clock = bool(there.str.contains(r"^\s*\d{1,2}:\d\d(:\d\d)?\s*$").all())
        if is_clock and "timestamp" in roles and roles["timestamp"].column != name:
            yield (
                f"column '{name}' holds times of day, apart from the date in "
                f"'{roles['timestamp'].column}': events of a day keep the order of the file. Write "
                "date and time into one column to order them"
            )


def find_times(sample: Sample, roles: dict[str, Role], gaps: list[str]) -> Times | None:
    """How the times are read; a column that holds none is no longer proposed."""
    role = roles.get("timestamp")
    if role is None:
        return _times_by_value(sample, roles, gaps)
    for column in (role.column, *role.others):
        times = read_times(sample.frame[column], sample.path)
        if times is not None:
            others = tuple(name for name in (role.column, *role.others) if name != column)
            roles["timestamp"] = Role(column, others, role.is_given)
            return times
    if role.is_given:
        first = sample.frame[role.column].drop_nulls().head(1).to_list()
        raise UserError(
            f"time={role.column}: no format that init knows reads this column, such as {first}; "
            "leave time= out and set data.timestamp_format by hand"
        )
    del roles["timestamp"]
    gaps.append(
        f"column '{role.column}' is named like a time, but no known format reads it: events keep "
        "the order of the file. Set timestamp_column and timestamp_format (as in strptime)"
    )
    return None


def _times_by_value(sample: Sample, roles: dict[str, Role], gaps: list[str]) -> Times | None:
    """The times of the only column whose values are dates, where no name fits."""
    taken = {role.column for role in roles.values()}
    found = {}
    for column in sample.frame.columns:
        values = sample.frame[column]
        if column in taken or not (values.dtype == pl.String or values.dtype.is_temporal()):
            continue
        with suppress(UserError):
            times = read_times(values, sample.path)
            if times is not None and not times.said.startswith("numbers"):
                found[column] = times
    unnamed = "no column is named like a time"
    if len(found) == 1:
        [(column, times)] = found.items()
        roles["timestamp"] = Role(column)
        gaps.append(f"{unnamed}: '{column}' is proposed, as its values are dates. Check it")
        return times
    several = f". Columns of dates: {', '.join(found)}; name one: time=COLUMN" if found else ""
    gaps.append(f"{unnamed}: events keep the order of the file{several}")
    return None
