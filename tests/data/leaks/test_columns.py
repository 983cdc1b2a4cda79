"""Columns that are the target or name it, and numbers that count what comes after training."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.leaks import names
from recsys_lab.data.leaks.fatal import fatal, words_of
from recsys_lab.data.leaks.numbers import partial_correlation
from recsys_lab.data.raw import Features
from recsys_lab.data.splits.global_temporal import GlobalTemporal
from tests.data.conftest import Given

USERS, EVENTS, ITEMS = 40, 6, 30
rng = np.random.default_rng(5)
# Each user has 6 of 30 items, drawn by Zipf's law, none twice: the last is the test target.
POPULAR = 1 / np.arange(1, ITEMS + 1)
TAKEN = np.stack([rng.choice(ITEMS, EVENTS, replace=False, p=POPULAR / POPULAR.sum())
                  for _ in range(USERS)])  # fmt: skip
TIMES = 1_600_000_000 + 1000 * np.arange(EVENTS) + np.arange(USERS)[:, None]


def reader(item_ids, side, kind, values):
    """The log with one column of one side."""
    ids = pl.Series(item_ids)
    log = pl.DataFrame(
        {
            "user_id": pl.Series(np.repeat(np.arange(USERS), EVENTS)).cast(pl.String) + "u",
            "item_id": ids.gather(TAKEN.ravel()),
            "timestamp": TIMES.ravel(),
        }
    )
    tables = {
        "users": pl.DataFrame({"user_id": [f"{user}u" for user in range(USERS)]}),
        "items": pl.DataFrame({"item_id": ids, "title": [f"The {n}th" for n in range(ITEMS)]}),
    }
    column = pl.Series("told", values, strict=False)
    if side == "event":
        log = log.with_columns(column)
    else:
        tables[f"{side}s"] = tables[f"{side}s"].with_columns(column)
    return Given(interactions=log, **tables, features=Features(**{f"{side}s": {"told": kind}}))


@pytest.fixture
def run(run, tmp_path):
    """Each in a folder of its own: readers of as many rows count as one source here."""
    number = iter(range(99))
    return lambda given, **options: run(given, root=tmp_path / f"{next(number)}", **options)


def found(data, kind="column_names_target"):
    return {leak["phase"]: leak for leak in data.manifest["leaks"] if leak["kind"] == kind}


TEXTS = [f"i{n:02}" for n in range(ITEMS)]
NUMBERS = list(range(100, 100 + ITEMS))
TARGETS, BEFORE, TRAINED = (TAKEN[:, -k] for k in (1, 2, 3))


@pytest.mark.parametrize(
    ("ids", "kind", "write"),
    [
        (TEXTS, "categorical", lambda item: TEXTS[item]),
        (TEXTS, "text", lambda item: f"she likes {TEXTS[item]}, most of all"),
        (TEXTS, "list", lambda item: ["x", TEXTS[item]]),
        (TEXTS, "categorical", lambda item: f"https://shop/p/{TEXTS[item]}?from=mail"),
        (TEXTS, "categorical", lambda item: f"item_{TEXTS[item]}"),
        (TEXTS, "categorical", lambda item: TEXTS[item].upper()),
        (TEXTS, "text", lambda item: f"it was {TEXTS[item].upper()}."),
        (TEXTS, "text", lambda item: f"x:1 {TEXTS[item]}:1"),
        (TEXTS, "text", lambda item: f"x>{TEXTS[item]}>y"),
        (TEXTS, "text", lambda item: f"x/{TEXTS[item]}"),
        (TEXTS, "list", lambda item: ["x", f"item={TEXTS[item].upper()}&n=1"]),
        ([f"shop:{text}" for text in TEXTS], "text", lambda item: f"a/shop:{TEXTS[item]}"),
        (TEXTS, "categorical", lambda item: f"The {item}th"),  # its title
        (NUMBERS, "numeric", lambda item: float(NUMBERS[item])),
        (NUMBERS, "categorical", lambda item: NUMBERS[item]),
        (NUMBERS, "categorical", lambda item: str(NUMBERS[item])),
    ],
)
def test_a_user_column_that_is_the_target(run, ids, kind, write):
    for phase, items in (("test", TARGETS), ("validation", BEFORE)):
        data = run(reader(ids, "user", kind, [write(item) for item in items]))
        leaks = found(data)
        assert list(leaks) == [phase]
        leak = leaks[phase]
        assert (leak["count"], leak["total"], leak["severity"]) == (USERS, USERS, "leak")
        assert "are named by user.told; a legitimate column names about" in leak["explanation"]
        assert leak["cure"].startswith("Compute the column from data before the target's time")
        with pytest.raises(UserError, match=r"column_names_target \(\w+\): 40 of 40"):
            fatal(data.manifest, words_of("leak"))


@pytest.mark.parametrize("values", [TRAINED, TAKEN[:, 0], np.zeros(USERS, dtype=int),
                                    rng.permutation(TARGETS)])  # fmt: skip
@pytest.mark.parametrize("form", ["{}", "https://shop/p/item_{}"])
def test_honest_user_columns(run, values, form):
    """The last or first item trained on, the most popular one, the targets of other people."""
    data = run(reader(TEXTS, "user", "text", [form.format(TEXTS[item].upper()) for item in values]))
    assert not found(data)


def test_numbers_in_texts_that_are_ids_by_chance(run):
    """Times and prices hold many of the ids, those of the target no more than others."""
    drawn = np.random.default_rng(8).choice(NUMBERS, (USERS, 6))
    values = ["paid {}.0 at {}:{}, see a/{} and b_{}={}".format(*row) for row in drawn]
    assert not found(run(reader(NUMBERS, "user", "text", values)))


def test_a_part_of_the_targets(run):
    """20 of 40 users' column is the target; 5 are too few to tell from chance."""
    for told, severity in ((20, "leak"), (5, None)):
        items = np.where(np.arange(USERS) < told, TARGETS, TAKEN[:, 0])
        leaks = found(run(reader(TEXTS, "user", "categorical", [TEXTS[item] for item in items])))
        assert (leaks["test"]["severity"] if leaks else None) == severity
        assert not leaks or leaks["test"]["count"] == told


@pytest.mark.parametrize(
    ("kind", "text"), [("categorical", "{}u"), ("text", "a nice one, says {}u.")]
)
def test_an_item_column_that_names_who_comes_for_it(run, kind, text):
    """The reviewer of an item is its last visitor: whoever has it as the target."""
    last = dict(zip(TARGETS.tolist(), range(USERS), strict=True))
    values = [text.format(last[item]) if item in last else None for item in range(ITEMS)]
    leak = found(run(reader(TEXTS, "item", kind, values)))["test"]
    assert (leak["count"], leak["severity"]) == (len(last), "leak")
    assert "are named by item.told; a legitimate column names about" in leak["explanation"]
    first = {item: user for user in reversed(range(USERS)) for item in TAKEN[user, :4].tolist()}
    values = [text.format(first[item]) if item in first else None for item in range(ITEMS)]
    assert not found(run(reader(TEXTS, "item", kind, values)))


@pytest.mark.parametrize(("side", "kind"), [("user", "list"), ("item", "text")])
def test_a_column_that_tells_all_there_was(run, side, kind):
    """Everything a user ever had, all reviews of an item: training is told as well as the test."""
    for events, severity in ((EVENTS, "leak"), (EVENTS - 2, None)):
        if side == "user":
            values = [[TEXTS[item] for item in items[:events]] for items in TAKEN]
        else:
            values = [
                " | ".join(
                    f"says {user}u." for user in range(USERS) if item in TAKEN[user, :events]
                )
                for item in range(ITEMS)
            ]
        leaks = found(run(reader(TEXTS, side, kind, values)))
        assert set(leaks) == ({"test", "validation"} if severity else set())
        for leak in leaks.values():
            assert (leak["count"], leak["severity"]) == (USERS, severity)
            assert "40 checked test targets (100.0%) new to" in leaks["test"]["explanation"]


LAST = {item: TIMES[user, -1] for user, item in enumerate(TARGETS.tolist())}


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("numeric", float),
        ("categorical", lambda time: str(np.datetime64(int(time), "s"))),
        ("text", lambda time: f"sold at {time}."),
        ("text", lambda time: str(np.datetime64(int(time), "s")).replace("T", " ")),
    ],
)
def test_an_item_column_that_knows_when_it_is_taken(run, kind, write):
    """The time of an item's last event, of the whole log and of the training part."""
    values = [write(LAST[item]) if item in LAST else None for item in range(ITEMS)]
    leak = found(run(reader(TEXTS, "item", kind, values)))["test"]
    assert (leak["count"], leak["severity"]) == (len(LAST), "leak")
    early = {
        item: TIMES[user, k] for k in range(4) for user, item in enumerate(TAKEN[:, k].tolist())
    }
    values = [write(early[item]) if item in early else None for item in range(ITEMS)]
    assert not found(run(reader(TEXTS, "item", kind, values)))


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_an_event_column_that_tells_the_next_one(run, shift):
    """The item after this event is a leak; of this event or the one before, none."""
    items = np.roll(TAKEN, shift, axis=1)
    data = run(reader(TEXTS, "event", "categorical", [TEXTS[item] for item in items.ravel()]))
    leaks = found(data)
    assert bool(leaks) == (shift == -1)
    # Values that training lacks are unknown to models, and so to the check.
    assert all(leak["count"] > 0.9 * USERS for leak in leaks.values())


def test_only_a_sample_is_looked_at(run, monkeypatch):
    monkeypatch.setattr(names, "SAMPLE", 20)
    data = run(reader(TEXTS, "user", "categorical", [TEXTS[item] for item in TARGETS]))
    assert (found(data)["test"]["count"], found(data)["test"]["total"]) == (20, 20)


# Numbers

HALF = 1_600_000_000 + 1000 * 4


def counted(run, make, of, kind="item", **options):
    """The finding on a column that is made of each item's events in training and after it."""
    big = np.random.default_rng(11)
    size, users = 120, 150
    drawn = big.choice(size, (users, 20), p=(share := 1 / np.arange(3, size + 3)) / share.sum())
    times = 1_600_000_000 + big.integers(0, 100_000, drawn.shape)
    split = make(GlobalTemporal, "split", "global_temporal", test_quantile=0.8,
                 validation_quantile=0.6)  # fmt: skip
    cut = np.sort(times.ravel())[int(0.6 * times.size)]
    early, late = (np.bincount(drawn[mask], minlength=size)
                   for mask in (times < cut, times >= cut))  # fmt: skip
    values = of(early, late, big)
    log = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(users), 20), "item_id": drawn.ravel(),
            "timestamp": times.ravel(), "told": values[drawn.ravel()],
        }
    )  # fmt: skip
    items = pl.DataFrame({"item_id": np.arange(size), "told": values})
    given = Given(
        interactions=log, items=items, features=Features(**{f"{kind}s": {"told": "numeric"}})
    )
    return found(run(given, split=split, **options), "column_knows_test_counts").get("test")


@pytest.mark.parametrize("kind", ["item", "event"])
@pytest.mark.parametrize(
    "of",
    [
        lambda early, late, _: early + late,
        lambda early, late, _: np.log1p(early + late),
        lambda early, late, _: -(early + late).astype(float),
        lambda _, late, __: late,
    ],
)
def test_a_column_that_counts_the_test(run, make, of, kind):
    leak = counted(run, make, of, kind)
    assert leak["severity"] == "leak"
    assert leak["count"] <= leak["total"] == 120
    assert f"rank by {kind}.told as by their events after training" in leak["explanation"]
    assert leak["cure"].startswith("Compute the column from events before the cut only")


@pytest.mark.parametrize(
    "of",
    [
        lambda early, _, __: early,
        lambda early, _, __: np.sqrt(early),
        lambda early, _, big: early + big.normal(0, 5, len(early)),
        lambda early, _, big: big.normal(size=len(early)),  # a price
        lambda early, _, __: np.ones(len(early)),
        lambda early, _, __: np.full(len(early), np.nan),
        # A quality that all counts go with, training and later.
        lambda early, _, big: -np.arange(len(early)) + big.normal(0, 20, len(early)),
    ],
)
def test_honest_numbers(run, make, of):
    leak = counted(run, make, of)
    assert leak is None


def test_partial_correlation_by_hand():
    # x and y are ranks of 1 to 6; z is one of them: r = (.6 - .2 * .4) / sqrt(.96 * .84) by hand
    # from the three plain correlations.
    x, y, z = (np.array(v) for v in ([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [6, 1, 3, 2, 5, 4]))
    plain = np.corrcoef([x, y, z])
    xy, xz, yz = plain[0, 1], plain[0, 2], plain[1, 2]
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    r, sure = partial_correlation(x * 10, y**3, [z])
    assert r == pytest.approx(expected)
    assert sure == pytest.approx(np.arctanh(expected) * np.sqrt(6 - 3 - 1))
    assert partial_correlation(x, y, [x]) == (0.0, 0.0)  # x says nothing beyond itself
    assert partial_correlation(x[:4], y[:4], [z[:4]]) == (0.0, 0.0)  # too few
