"""From a file to a proposed config: the mapping of columns and the protocol, with reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.proposal.facts import Facts, many_decimal_commas, read_facts
from recsys_lab.data.proposal.one_file import files_to_give
from recsys_lab.data.proposal.roles import Role, propose_roles
from recsys_lab.data.proposal.sample import TEXTS, Sample, read_sample
from recsys_lab.data.proposal.time_column import clock_gaps, find_times
from recsys_lab.data.proposal.times import Times
from recsys_lab.pages.number_format import number, percent

_SOME, _MANY = 0.05, 0.5
"""Shares from which on repeats and bad rows change the proposal, and baskets are held out."""
_ALLOWED_BAD = 0.1
"""The default of ``filter.max_bad_rows``."""
_PURCHASE = re.compile(r"(?i)buy|bought|purchas|order|transaction|sale|sold|kauf")
_NUMBERS = ("quantity", "price", "rating")


class Entry(NamedTuple):
    """An option of the proposal.

    Attributes:
        key: within its group.
        value: as in YAML.
        why: a comment; empty for none.
    """

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Proposal:
    """A proposed config.

    Attributes:
        sample: what it was made from.
        facts: of the sample.
        groups: config group -> its options.
        gaps: what the file does not have or say, or says unclearly, each in words.
    """

    sample: Sample
    facts: Facts
    groups: Mapping[str, list[Entry]]
    gaps: list[str] = field(default_factory=list)


def propose(path: str, rows: int, given: Mapping[str, str | None], scratch: Path) -> Proposal:
    """Look at a file and propose a config.

    Args:
        path: a file, folder or pattern.
        rows: largest number of rows to look at.
        given: ``user``, ``item`` and ``timestamp`` -> column, where the user named it.
        scratch: an empty folder.

    Raises:
        UserError: the file cannot be read as a log.
    """
    (scratch / "sample").mkdir()
    (scratch / "log").mkdir()
    try:
        sample = read_sample(path, rows, scratch / "sample")
        roles = propose_roles(sample.frame.columns, given)
    except UserError as error:
        raise UserError(f"{error}{files_to_give(path, TEXTS)}") from error
    gaps: list[str] = []
    times = find_times(sample, roles, gaps)
    gaps += clock_gaps(sample, roles)
    mapping = _mapping(sample, roles, times, gaps)
    options = {entry.key: entry.value for entry in mapping if entry.key != "path"}
    title = options.get("title_column")
    facts = read_facts(sample, options, title, scratch / "log")
    _refuse_no_histories(sample, facts, roles)
    gaps += facts.warnings
    if facts.reversed_ties:
        gaps.append(
            f"the rows go from the newest to the oldest, and {number(facts.reversed_ties)} events "
            "are at the time of another one of their user: these keep the order of the file, the "
            "reverse of how they happened. Turn the rows round, or give times that differ"
        )
    groups = {
        "data": [*mapping, *_returns(roles, facts)],
        "filter": _filter(facts),
        "split": _split(roles, facts),
        "evaluation": _evaluation(facts),
    }
    return Proposal(sample, facts, {name: of for name, of in groups.items() if of}, gaps)


def _mapping(
    sample: Sample, roles: dict[str, Role], times: Times | None, gaps: list[str]
) -> list[Entry]:
    entries = [Entry("path", sample.path, "relative to the folder in which the lab is run")]
    if sample.separator is not None:
        shown = "\\t" if sample.separator == "\t" else sample.separator
        entries.append(Entry("separator", shown, "of the header and the rows"))
    for role in ("user", "item"):
        entries.append(Entry(f"{role}_column", roles[role].column, _why(roles[role])))
    entries += _time_entries(roles, times, gaps)
    for role in ("basket", "session", "event_type", *_NUMBERS):
        if role in roles and not _usable(sample, role, roles[role].column, gaps):
            del roles[role]
        if role in roles:
            entries.append(Entry(f"{role}_column", roles[role].column, _why(roles[role])))
    if "title" in roles:
        why = "readable name of an item, for lists and pages"
        entries.append(Entry("title_column", roles["title"].column, why))
    numbers = [sample.frame[roles[role].column] for role in _NUMBERS if role in roles]
    if many_decimal_commas(numbers):
        entries.append(Entry("decimal_comma", True, "numbers are written 3,50"))
    return entries


def _time_entries(roles: dict[str, Role], times: Times | None, gaps: list[str]) -> list[Entry]:
    if times is None:
        return [Entry("timestamp_column", None, "no times: see the gaps")]
    why = f"{times.said}{_also(roles['timestamp'])}"
    entries = [Entry("timestamp_column", roles["timestamp"].column, why)]
    if times.form is not None:
        why = "as in strptime"
        if times.other is not None:
            why = f"ambiguous: {times.other} reads all values, too"
            gaps.append(
                f"times: {times.form} and {times.other} both read every value. {times.form} is "
                "proposed, under which more rows follow each other in time: check it"
            )
        entries.append(Entry("timestamp_format", times.form, why))
    return entries


def _usable(sample: Sample, role: str, column: str, gaps: list[str]) -> bool:
    """Whether a column that is named like a number holds numbers."""
    values = sample.frame[column]
    there = 1 - values.null_count() / len(values)
    if there < _MANY:
        gaps.append(
            f"column '{column}' is named like the {role.replace('_', ' ')}, but only "
            f"{percent(there)} of the rows have a value: it is not read"
        )
        return False
    if role not in _NUMBERS or values.dtype != pl.String:
        return True
    plain = values.drop_nulls().str.strip_chars().str.replace_all(r"[.,]", "")
    if plain.str.contains(r"^[+-]?\d+$").any():
        return True
    gaps.append(f"column '{column}' is named like the {role}, but holds no numbers: it is not read")
    return False


def _why(role: Role) -> str:
    return "as you said" if role.is_given else f"by its name{_also(role)}"


def _also(role: Role) -> str:
    return f"; also possible: {', '.join(role.others)}" if role.others else ""


def _returns(roles: dict[str, Role], facts: Facts) -> list[Entry]:
    if "quantity" not in roles:
        return []
    share = percent(facts.returns / max(1, facts.rows))
    why = f"{number(facts.returns)} rows ({share}) have a negative quantity: returns, no purchases"
    return [Entry("keep_returns", False, why)]


def _filter(facts: Facts) -> list[Entry]:
    entries = []
    bad = facts.unusable / max(1, facts.rows)
    if bad > _SOME:
        allowed = min(1.0, round(max(_ALLOWED_BAD, bad + 0.1), 2))
        why = f"{percent(bad)} of the rows lack a user, an item or a readable time; default 0.1"
        entries.append(Entry("max_bad_rows", allowed, why))
    if facts.services:
        rows = sum(facts.services.values())
        why = (
            f"{number(rows)} rows are named like postage, fees or corrections; remove those that "
            "are goods"
        )
        entries.append(Entry("exclude_items", list(facts.services), why))
    conditions = []
    if facts.zero_quantity:
        conditions.append((f"{number(facts.zero_quantity)} rows have quantity 0", "quantity>0"))
    if facts.unpriced:
        conditions.append((f"{number(facts.unpriced)} rows have no price above 0", "price>0"))
    if conditions:
        why = "; ".join(f"{seen}: {condition} drops them" for seen, condition in conditions)
        entries.append(Entry("where", None, why))
    entries.append(
        Entry(
            "drop_duplicates",
            True,
            f"{number(facts.repeated_lines)} rows repeat user, item and time of another"
            if facts.first is not None
            else "no row is a duplicate, as there are no times",
        )
    )
    return entries


def _split(roles: dict[str, Role], facts: Facts) -> list[Entry]:
    entries = []
    if len(facts.types) > 1:
        seen = ", ".join(f"{kind} {number(rows)}" for kind, rows in facts.types.items())
        bought = [kind for kind in facts.types if _PURCHASE.search(str(kind))]
        target = (bought or list(facts.types))[-1]
        why = f"event types: {seen}; [{target}] would predict these from all events before"
        entries.append(Entry("target_events", None, why))
    share = percent(facts.last_tied)
    where = "receipt" if "basket" in roles else "moment"
    seen = f"for {share} of the users the last two events are of one {where}"
    if facts.last_tied >= _MANY:
        why = f"{seen}: with unit=event the test would ask for the rest of a basket"
        return [*entries, Entry("unit", "basket", why)]
    why = f"{seen}; basket: predict the whole next basket"
    return [*entries, Entry("unit", "event", why)]


def _evaluation(facts: Facts) -> list[Entry]:
    share = percent(facts.repeats)
    if facts.repeats >= _SOME:
        why = f"{share} of the events are items that the user had before: they can be recommended"
        return [Entry("exclude_seen", False, why)]
    why = f"only {share} of the events are items that the user had before"
    return [Entry("exclude_seen", True, why)]


def _refuse_no_histories(sample: Sample, facts: Facts, roles: dict[str, Role]) -> None:
    """Refuse a log in which nobody has three events.

    Raises:
        UserError: if all rows were seen.
    """
    if facts.long_users or not sample.is_whole:
        return
    user = roles["user"].column
    raise UserError(
        f"{sample.path}: no user of column '{user}' has 3 events, which a split needs (training, "
        f"validation, test): {number(facts.events)} events of {number(facts.users)} users. If "
        f"another column is the user: user=COLUMN. Columns: {', '.join(sample.frame.columns)}"
    )


def name_for(path: str) -> str:
    """A name for the config: that of the file, as Hydra allows it."""
    stem = Path(path).name.partition(".")[0]
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_").lower()
    return name or "my_data"
