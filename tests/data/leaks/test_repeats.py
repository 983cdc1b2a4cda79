"""Double clicks, and views before purchases: the target is the item that was just read."""

from __future__ import annotations

import pytest

from recsys_lab.data.leaks.fatal import fatal, words_of

USERS, PERIOD = 6, 100_000


def doubled(gap, second):
    """Each of 6 users has 4 items, every one in two rows with a gap between them."""
    rows = ["user_id,item_id,timestamp,event"]
    for user in range(USERS):
        for step in range(4):
            item, time = (user + 2 * step) % 9, 1_600_000_000 + user + PERIOD * step
            rows += [f"{user},{item},{time},view", f"{user},{item},{time + gap},{second}"]
    return "\n".join(rows)


def found(data, kind="repeats_last_event"):
    return [leak for leak in data.manifest["leaks"] if leak["kind"] == kind]


@pytest.mark.parametrize(("gap", "second"), [(1, "view"), (30, "buy"), (3600, "buy")])
def test_it_is_a_leak_and_its_cure_works(table, run, gap, second):
    log = table(doubled(gap, second), event_type_column="event")
    (leak,) = found(run(log))  # at validation the last event read is of the item before
    assert (leak["phase"], leak["count"], leak["total"]) == ("test", USERS, USERS)
    assert leak["severity"] == "leak"
    assert (f"{USERS} of them within 60 s" in leak["explanation"]) == (gap <= 60)
    assert leak["cure"].startswith("filter.drop_consecutive_repeats=true keeps")
    assert "filter.event_types=[PURCHASE]" in leak["cure"]
    cures = [{"drop_consecutive_repeats": True}]
    cures += [{"event_types": ["buy"]}] if second == "buy" else []
    for cure in cures:
        data = run(log, **cure)
        assert data.num_interactions == 4 * USERS
        assert not found(data)
        fatal(data.manifest, words_of(True))


@pytest.mark.parametrize(
    ("copies", "gap", "severity"),
    [
        (4, 60, "note"),
        (5, 60, "warning"),
        (5, 61, "note"),
        (20, 60, "warning"),
        (20, 61, "note"),
        (21, 61, "leak"),
    ],
)
def test_severity_follows_the_share(table, run, copies, gap, severity):
    """40 users, 40 items: by chance a target copies in 1 of 40 cases; 5 copies are .125 - .025."""
    rows = ["user_id,item_id,timestamp"]
    for user in range(40):
        # Of the others each ends with what its neighbour had, so that every item is met once.
        neighbour = user if user < copies else copies + (user - copies + 1) % (40 - copies)
        last = (neighbour + 3) % 40
        for step, item in enumerate((user % 40, (user + 1) % 40, (user + 3) % 40, last)):
            time = PERIOD * step if step < 3 else 2 * PERIOD + gap
            rows.append(f"{user},{item},{1_600_000_000 + time + user}")
    (leak,) = found(run(table("\n".join(rows))))
    assert (leak["count"], leak["total"], leak["severity"]) == (copies, 40, severity)


def test_few_items_are_met_again_by_chance(table, run):
    """One item takes nearly all events: the target is the last item, and nothing is wrong."""
    rows = ["user_id,item_id,timestamp"]
    for user in range(40):
        items = (user % 5, 9, 8 if user == 3 else 9, 9)
        rows += [f"{user},{item},{1_600_000_000 + PERIOD * n}" for n, item in enumerate(items)]
    (leak,) = (leak for leak in found(run(table("\n".join(rows)))) if leak["phase"] == "test")
    assert (leak["count"], leak["severity"]) == (39, "note")
