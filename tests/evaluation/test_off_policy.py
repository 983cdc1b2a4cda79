"""Off-policy estimates on simulated logged bandits whose truth is known, and in whole runs."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.evaluation.off_policy import (
    Logged,
    diagnostics,
    doubly_robust,
    estimates,
    ips,
    snips,
    weights,
)
from tests.cli.flow import COUNTS, USERS, in_shop, record, rewrite, train

KINDS, ACTIONS, EVENTS = 4, 12, 600
RNG = np.random.default_rng(11)
RATES = RNG.uniform(0.05, 0.6, (KINDS, ACTIONS))
"""Chance of a reward of each kind of user and item."""
LOGGING = RNG.dirichlet(np.full(ACTIONS, 3.0), KINDS) * 0.7 + 0.3 / ACTIONS
TARGET = np.zeros((KINDS, ACTIONS))
np.put_along_axis(TARGET, RATES.argsort(1)[:, -3:], 1 / 3, 1)  # one of the three best
TRUTH = float((TARGET * RATES).sum(1).mean())
MODEL = np.clip(RATES + RNG.normal(0, 0.1, RATES.shape), 0, 1)
"""Of the reward; wrong, but not of these events."""


def draw(rng: np.random.Generator, events: int = EVENTS, a_user: int = 1) -> Logged:
    kinds = rng.integers(0, KINDS, events // a_user).repeat(a_user)
    cumulative = LOGGING.cumsum(1)[kinds]
    shown = (rng.random((events, 1)) > cumulative).sum(1).clip(max=ACTIONS - 1)
    return Logged(
        np.arange(events) // a_user,
        (rng.random(events) < RATES[kinds, shown]).astype(float),
        LOGGING[kinds, shown], TARGET[kinds, shown], MODEL[kinds, shown],
        (TARGET * MODEL).sum(1)[kinds],
    )  # fmt: skip


def test_unbiased_with_honest_intervals_and_less_variance_of_the_doubly_robust():
    rng = np.random.default_rng(0)
    found = [estimates(draw(rng)) for _ in range(400)]
    values = {e.estimator: [] for e in found[0]}
    covered = dict.fromkeys(values, 0)
    for row in found:
        for estimate in row:
            values[estimate.estimator].append(estimate.value)
            covered[estimate.estimator] += estimate.low <= TRUTH <= estimate.high
    spread = {name: np.std(given) for name, given in values.items()}
    for name, given in values.items():
        assert abs(np.mean(given) - TRUTH) < 3.5 * spread[name] / math.sqrt(len(given)), name
        assert 0.92 <= covered[name] / len(given) <= 0.98, (name, covered)
    assert spread["dr"] < 0.9 * spread["ips"]


def test_events_of_one_user_are_not_independent():
    """The same kind five times: an interval that ignores it would be too narrow."""
    rng = np.random.default_rng(1)
    logs = [draw(rng, a_user=5) for _ in range(200)]
    logs = [replace(log, rewards_N=log.rewards_N[::5].repeat(5)) for log in logs]
    truth = np.mean([ips(log).value for log in logs])
    mine = [ips(log) for log in logs]
    assert np.mean([e.low <= truth <= e.high for e in mine]) > 0.91
    alone = [ips(replace(log, users_N=np.arange(EVENTS))) for log in logs]
    assert np.mean([e.high - e.low for e in alone]) < np.mean([e.high - e.low for e in mine])


def test_hand_computed():
    """Three events: weights 2, 0 and 4; cut at 3 they are 2, 0 and 3."""
    logged = Logged(
        np.arange(3), np.array([1.0, 1.0, 0.5]), np.array([0.25, 0.5, 0.125]),
        np.array([0.5, 0.0, 0.5]), np.array([0.5, 0.2, 0.25]), np.array([0.6, 0.4, 0.3]),
    )  # fmt: skip
    assert weights(logged).tolist() == [2, 0, 4]
    assert ips(logged).value == pytest.approx((2 + 2) / 3)
    assert snips(logged).value == pytest.approx((2 + 2) / 6)
    assert doubly_robust(logged).value == pytest.approx((0.6 + 0.4 + 0.3 + 2 * 0.5 + 4 * 0.25) / 3)
    assert ips(logged, 3).value == pytest.approx((2 + 1.5) / 3)
    assert snips(logged, 3).value == pytest.approx((2 + 1.5) / 5)
    facts = diagnostics(logged, 3)
    assert (facts["matched"], facts["clipped"], facts["largest_weight"]) == (2, 1, 3)
    assert facts["effective_events"] == pytest.approx(25 / 13)
    assert ips(logged).low is None  # of three users
    nothing = replace(logged, chances_N=np.zeros(3))
    assert math.isnan(snips(nothing).value)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.2, math.nan])
def test_what_is_no_propensity_is_refused(wrong):
    logged = draw(np.random.default_rng(0), 10)
    logged.propensities_N[3] = wrong
    with pytest.raises(UserError, match=r"1 of 10 propensities are not valid, e.g."):
        ips(logged)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        log = pl.read_csv("log.csv").with_columns(
            click=pl.col("timestamp") % 2, propensity=0.1 + (pl.col("timestamp") % 3) / 10,
            random=pl.col("timestamp") % 4 // 2,
        )  # fmt: skip
        log.write_csv("log.csv")
        yield log


LOGGED = [
    "+data.event_features.click=numeric", "+data.event_features.propensity=numeric",
    "+data.event_features.random=categorical", "evaluation.off_policy_reward=event.click",
]  # fmt: skip
PROPENSITY = "evaluation.off_policy_propensity=event.propensity"


def test_a_runs_estimates_are_those_of_its_lists(shop, capsys):
    clip = "evaluation.off_policy_clip=4"
    assert train("run_dir=run", *LOGGED, PROPENSITY, clip, base=COUNTS) == 0
    assert "off-policy: mean event.click of an exposure" in capsys.readouterr().out
    found = {(e["estimator"], e["k"]): e for e in record("run")["off_policy"]}
    assert len(found) == 3 * 4
    rows = pl.read_parquet("run/test_users.parquet")
    last = shop.sort("timestamp").group_by("user_id").last()
    rows = rows.join(last, on="user_id", maintain_order="left")
    sizes = rows["item_ids"].list.len().clip(upper_bound=5)
    hit = rows["rank"].is_not_null() & (rows["rank"] <= 5)
    cut = (hit.cast(pl.Float64) / sizes / rows["propensity"]).clip(upper_bound=4)
    assert found["ips", 5]["value"] == pytest.approx((cut * rows["click"]).mean(), abs=1e-6)
    wanted = (cut * rows["click"]).sum() / cut.sum()
    assert found["snips", 5]["value"] == pytest.approx(wanted, abs=1e-6)
    trained = shop.sort("timestamp").filter(pl.int_range(pl.len()).over("user_id") < 6)
    mean = trained["click"].mean()
    model = {
        item: (clicks + 10 * mean) / (events + 10)
        for item, clicks, events in trained.group_by("item_id")
        .agg(pl.col("click").sum(), pl.len()).iter_rows()
    }  # fmt: skip
    wanted = [
        np.mean([model[item] for item in items[:5]]) + weight * (click - model[target])
        for items, weight, click, target in zip(
            rows["item_ids"], cut, rows["click"], rows["target_id"], strict=True
        )
    ]
    assert found["dr", 5]["value"] == pytest.approx(np.mean(wanted), abs=1e-6)
    assert found["dr", 5]["off_policy_clip"] == 4
    assert found["dr", 5]["events"] == USERS
    assert run_command(["evaluate", "run"]) == 0
    values = record("run")
    values["off_policy"][0]["value"] += 0.125
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 1
    assert "(-0.12)" in capsys.readouterr().err
    assert "weights at most 4" in Path("run/card.md").read_text()


def test_random_exposures_over_a_stated_number_of_items(shop):
    options = ["evaluation.off_policy_items=40", "evaluation.off_policy_where=event.random"]
    assert train("run_dir=run", *LOGGED, *options, base=COUNTS) == 0
    last = shop.sort("timestamp").group_by("user_id").last().filter(random=1)
    rows = pl.read_parquet("run/test_users.parquet").join(last, on="user_id")
    hit = rows["rank"].is_not_null() & (rows["rank"] == 1)
    first = next(e for e in record("run")["off_policy"] if (e["estimator"], e["k"]) == ("ips", 1))
    assert first["events"] == len(last)
    assert first["left_out"] == USERS - len(last)
    assert first["value"] == pytest.approx(40 * (hit * rows["click"]).mean())


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "off-policy estimates need off_policy_reward, and either off_policy_propensity"),
        ([PROPENSITY, "evaluation.off_policy_items=9"], "and either off_policy_propensity"),
        (["evaluation.off_policy_items=3"], "off_policy_items: got 3, expected at least"),
        (["evaluation.off_policy_propensity=event.click"], "propensities are not valid"),
        (
            ["evaluation.off_policy_propensity=event.random"],
            "expected a numeric column of the events",
        ),
    ],
)
def test_what_gives_no_estimate_is_refused_before_training(capsys, options, said):
    assert train("run_dir=run", *LOGGED, *options, base=COUNTS) == 2
    assert said in " ".join(capsys.readouterr().err.split())
