"""The result as readable tables, for the page and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.pages.number_format import duration, format_value, number, percent
from recsys_lab.pages.table import Span, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.pages.table import Cell

    Result = Mapping[str, Any]

PARTS = {
    "users": "new users",
    "popularity": "popularity of items",
    "history_length": "events per user",
    "gaps": "time between a user's events",
    "pairs": "pairs of consecutive items",
    "hit_rate": "fall of the hit rate",
}
"""Part of the logs -> its name; features keep theirs."""

MEASURES = {
    "js": "JS, bits",
    "psi": "PSI",
    "fall": "share of the test's",
}
"""Measure -> its name; JS: Jensen-Shannon divergence."""

_DESCRIBED = {
    "popularity": "Shares of the events: the items whose share changed most.",
    "history_length": "Shares of the users, by the deciles of OLD.",
    "gaps": "Shares of the times between consecutive events of a user, by the deciles of OLD.",
    "pairs": "Shares of the pairs of consecutive items: those whose share changed most.",
}


def part_name(name: str) -> str:
    """The readable name of a part."""
    return PARTS.get(name, name)


def describe_part(name: str) -> str:
    """What the shares of a part are of."""
    whole = "users" if name.startswith("user.") else "events"
    return _DESCRIBED.get(name, f"Shares of the {whole}.")


def shift_name(shift: Mapping[str, Any]) -> tuple[str, str]:
    """The readable name of a statistic, and of its measure."""
    if shift["measure"] == "new_share":
        what = "users" if shift["part"] == "users" else "items"
        return f"new {what}", "share of users" if what == "users" else "share of events"
    return part_name(shift["part"]), MEASURES[shift["measure"]]


def verdict(result: Result) -> str:
    """The outcome in one sentence."""
    above = [shift for shift in result["shifts"] if shift["above"]]
    if result["identical"]:
        return "OLD and NEW are the same dataset (equal fingerprints): every shift is zero."
    judged = sum(shift["threshold"] is not None for shift in result["shifts"])
    if not above:
        return f"No shift is above its threshold ({judged} with a threshold)."
    names = ", ".join("{} ({})".format(*shift_name(shift)) for shift in above)
    return f"{len(above)} of {judged} shifts with a threshold are above it: {names}."


def shifts_table(result: Result) -> Table:
    """All statistics with noise, threshold and verdict."""
    rows: list[list[Cell]] = []
    for shift in result["shifts"]:
        state = "above" if shift["above"] else "within"
        if shift["threshold"] is None:
            state = "reported"
        name, unit = shift_name(shift)
        rows.append(
            [
                [Span(name), Span(unit, "below")],
                [Span(state, "bold" if shift["above"] else "")],
                _digits(shift["value"]),
                _digits(shift["noise"]),
                _digits(shift["excess"]),
                _digits(shift["threshold"]),
                "-" if shift["p"] is None else f"{shift['p']:.3f}",
            ]
        )
    heads = ("what", "verdict", "value", "noise", "beyond", "threshold", "p")
    return Table(_caption(result), heads, rows, right=range(2, 7), whole=range(1, 7))


def _caption(result: Result) -> str:
    settings = result["settings"]
    if result["identical"]:
        return "Shifts from OLD to NEW."
    return (
        f"Shifts from OLD to NEW. Noise: the mean over {settings['resamples']} random divisions of "
        f"the users (seed {settings['seed']}). p: the share of divisions in which any statistic "
        f"stands out as much; above: beyond the noise by more than the threshold, and p at most "
        f"{settings['level']:g}."
    )


def logs_table(result: Result) -> Table:
    """Sizes and times of both logs."""
    old, new = result["old"], result["new"]
    rows = [
        ("users", *(number(log["users"]) for log in (old, new))),
        ("items with events", *(number(log["items"]) for log in (old, new))),
        ("events", *(number(log["events"]) for log in (old, new))),
        ("first event", *(_day(log["first"]) for log in (old, new))),
        ("last event", *(_day(log["last"]) for log in (old, new))),
        ("events per user, median", *(number(log["median_length"]) for log in (old, new))),
        ("time between events, median", *(_gap(log["median_gap_seconds"]) for log in (old, new))),
    ]
    days = result["settings"]["days"]
    caption = "All events." if days is None else f"The last {number(days)} days of each log."
    return Table(caption, ("", "OLD", "NEW"), rows, right=(1, 2))


def overlap_table(result: Result) -> Table:
    """Users and items in both logs and in one of them."""
    users, items = result["users"], result["items"]
    rows = [
        ("users", *(number(users[key]) for key in ("both", "only_old", "only_new"))),
        ("items", *(number(items[key]) for key in ("both", "only_old", "only_new"))),
        (
            "events on these items",
            "",
            f"{percent(items['events_on_only_old'])} of OLD",
            f"{percent(items['events_on_only_new'])} of NEW",
        ),
    ]
    heads = ("", "in both", "only in OLD", "only in NEW")
    return Table("Matched by raw ids, compared as text.", heads, rows, right=(1, 2, 3))


def notes(result: Result) -> list[str]:
    """What a reader should know."""
    return [*result["users"]["notes"], *result["notes"]]


def details_table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Shares of OLD and NEW by value."""
    cells = [
        (
            row["value"],
            f"{row['old']:.2%}",
            f"{row['new']:.2%}",
            f"{100 * (row['new'] - row['old']):+.2f}",
        )
        for row in rows
    ]
    heads = ("", "OLD", "NEW", "change")
    return Table(
        f"{describe_part(name)} Change in percentage points.", heads, cells, right=(1, 2, 3)
    )


def hit_rate_table(measured: Mapping[str, Any]) -> Table:
    """The hit rate by week."""
    rows = [_hit_row(week["start"], week) for week in measured["weeks"]]
    rows += [[], _hit_row("all weeks", measured["all"])]
    skipped, repeats = measured["without_history"], ""
    if measured["repeats_left_out"]:
        repeats = (
            f" {number(measured['repeats_left_out'])} events repeat an item that the lists leave "
            "out (evaluation.exclude_seen): misses, as in the run's test."
        )
    caption = (
        f"HR@{measured['k']} of {measured['model']} on events after "
        f"{_moment(measured['data_end'])}, each predicted from all events before it; mean over "
        f"users with its 95% interval; {number(measured['users'])} of "
        f"{number(measured['users_with_later_events'])} users with later events (seed "
        f"{measured['seed']}). {number(measured['on_unknown_items'])} events are on items that the "
        f"run does not know: misses. {number(skipped)} events without a known item before them are "
        f"left out.{repeats}"
    )
    heads = ("week from", "users", "events", f"HR@{measured['k']}", "95% interval")
    return Table(caption, heads, rows, right=range(1, 5))


def skipped_table(result: Result) -> Table:
    """What was not compared, and why."""
    rows = [(part_name(one["part"]), one["reason"]) for one in result["skipped"]]
    return Table("Not compared.", ("", "reason"), rows)


def settings_rows(result: Result) -> list[tuple[str, str]]:
    """(option, value)."""
    settings = {k: v for k, v in result["settings"].items() if k != "thresholds"}
    return [(key, format_value(value)) for key, value in settings.items()] + [
        (key, format_value(value)) for key, value in result["settings"]["thresholds"].items()
    ]


def _hit_row(name: str, rate: Mapping[str, Any]) -> list[str]:
    interval = "few users" if rate["low"] is None else f"{rate['low']:.3f} to {rate['high']:.3f}"
    return [
        name,
        number(rate["users"]),
        number(rate["events"]),
        f"{rate['hit_rate']:.3f}",
        interval,
    ]


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _moment(text: str) -> str:
    return text.removesuffix("Z").replace("T", " ")


def _day(text: str | None) -> str:
    return "no timestamps" if text is None else text.partition("T")[0]


def _gap(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)
