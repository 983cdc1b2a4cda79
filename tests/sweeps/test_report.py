"""The report of a sweep: against hand-made studies, another implementation, and a reader of XML."""

import itertools
import math
import re
import statistics
from dataclasses import replace
from datetime import datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from recsys_lab.sweeps.report.charts import interval_half
from recsys_lab.sweeps.report.markdown import markdown
from recsys_lab.sweeps.report.page import html
from recsys_lab.sweeps.report.summary import SweepSummary, cost_facts, head_facts, space_rows
from recsys_lab.sweeps.report.write import FANOVA, PED_ANOVA, importance
from recsys_lab.sweeps.space_syntax import read_space
from recsys_lab.sweeps.winner import RetrainedConfig, best_trials, pick_winner

PARAMS = {
    "model": "choice(sasrec,gru4rec)",
    "recipe.learning_rate": "tag(log,interval(1e-4,1e-2))",
    "model.num_layers": "range(1,4)",
    "model.recurrent_dim": {"when": {"model": "gru4rec"}, "space": "choice(64,128)"},
}
OPTIONS = {
    "n_trials": 40, "sampler": "tpe", "pruner": "median", "objectives": ["val/ndcg@10"],
    "constraints": [],
}  # fmt: skip


def point(rng) -> dict:
    found = {
        "model": str(rng.choice(["sasrec", "gru4rec"])),
        "recipe.learning_rate": float(10 ** rng.uniform(-4, -2)),
        "model.num_layers": int(rng.integers(1, 4)),
    }
    if found["model"] == "gru4rec":
        found["model.recurrent_dim"] = int(rng.choice([64, 128]))
    return found


def curve(value: float, epochs: int) -> dict[int, float]:
    return {epoch: value * (1 - math.exp(-0.5 * (epoch + 1))) for epoch in range(epochs)}


def study(number: int = 40, objectives: int = 1, seed: int = 0) -> optuna.Study:
    """Every eighth trial fails, every third of the others is pruned (with one objective)."""
    rng = np.random.default_rng(seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(directions=["maximize", "minimize"][:objectives])
    space = {d.key: d.distribution for d in read_space(PARAMS).dimensions}
    begun = datetime(2026, 1, 1)
    for place in range(number):
        params = point(rng)
        value = 0.12 - 0.02 * (math.log10(params["recipe.learning_rate"]) + 3) ** 2
        value += 0.002 * params["model.num_layers"] + 0.003 * float(rng.standard_normal())
        common = {
            "params": params, "distributions": {key: space[key] for key in params},
            "intermediate_values": {} if objectives > 1 else curve(value, 8),
        }  # fmt: skip
        if place % 8 == 7:
            trial = create_trial(state=TrialState.FAIL, user_attrs={"cause": "a < b & c"}, **common)
        elif place % 3 == 2 and objectives == 1:
            common["intermediate_values"] = curve(value, 1 + place % 5)
            trial = create_trial(state=TrialState.PRUNED, **common)
        else:
            values = [value, 1000.0 * params["model.num_layers"] + place][:objectives]
            trial = create_trial(state=TrialState.COMPLETE, values=values, **common)
        trial.datetime_start, trial.datetime_complete = begun, begun + timedelta(seconds=10 + place)
        made.add_trial(trial)
    return made


def story(made: optuna.Study, **changes) -> SweepSummary:
    complete = any(trial.state.name == "COMPLETE" for trial in made.trials)
    options = {**OPTIONS}
    if len(made.directions) > 1:
        options |= {"objectives": ["val/ndcg@10", "parameters"], "pruner": "none"}
    usual = {
        "name": "mine <b>", "options": options, "base": ["data=recbole", "seed=1"],
        "space": read_space(PARAMS),
        "directions": [direction.name.lower() for direction in made.directions],
        "trials": made.trials, "best": [t.number for t in made.best_trials] if complete else [],
        "importance": importance(made),
        "workers": [{"began": 0.0, "now": 3600.0, "busy": 3000.0, "since": 3036.0}] * 2,
        "metric": "ndcg@10", "top": [], "sentences": [],
        "command": "recsys-lab train experiment=best",
    }  # fmt: skip
    return SweepSummary(**{**usual, **changes})


AGAIN = [
    RetrainedConfig(
        4, {"model": "sasrec"}, 0.125, [1, 2, 3], [0.120, 0.122, 0.118], [0.110, 0.114, 0.112]
    ),
    RetrainedConfig(
        9, {"model": "gru4rec"}, 0.127, [1, 2, 3], [0.119, 0.116, 0.116], [0.115, 0.118, 0.117]
    ),
]


def read(page: str) -> ElementTree.Element:
    """The page as XML: whole elements, everything escaped, every id once."""
    text = re.sub(r"<meta ([^>]*)>", r"<meta \1/>", page.removeprefix("<!doctype html>\n"))
    root = ElementTree.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    return root


def headings(page: str) -> list[str]:
    return [element.text for element in read(page).iter("h2")]


def test_a_whole_page():
    made = study()
    found = story(made, top=[a.summary() for a in AGAIN], sentences=[pick_winner(AGAIN).sentence])
    page, text = html(found), markdown(found)
    assert headings(page) == [
        "What was searched", "Best trials", "Best configs with several seeds", "History",
        "Importance", "Parallel coordinates", "Slices", "Learning curves", "Failures and cost",
    ]  # fmt: skip
    root = read(page)
    assert not {"script", "img", "link", "iframe"} & {element.tag for element in root.iter()}
    assert not re.search(r"https?://", page)
    best = made.best_trial
    for said in (page, text):
        assert f"{best.number}*" in said
        assert "Trial 4 is the best of 2" in said
    assert "a &lt; b &amp; c" in page
    assert "mine &lt;b&gt;" in page
    charts = {svg.find("title").text: svg for svg in root.iter("svg")}
    # Two seeds charts, history, parallel, one slice a key, curves.
    assert len(charts) == 2 + 1 + 1 + 4 + 1
    history = charts["val/ndcg@10 by trial"]
    counts = {state: sum(t.state.name == state for t in made.trials) for state in
              ("COMPLETE", "PRUNED", "FAIL")}  # fmt: skip
    assert len(list(history.iter("circle"))) == counts["COMPLETE"] + counts["PRUNED"]
    curves = charts["val/ndcg@10 by epoch"]
    assert len(list(curves.iter("polyline"))) + len(list(curves.iter("circle"))) == len(
        [t for t in made.trials if t.intermediate_values]
    )
    assert (
        len(list(charts["Parameters of every finished trial"].iter("polyline")))
        == counts["COMPLETE"]
    )
    for key in ("finished trial", "pruned trial, at its last value", "best so far"):
        assert f"</span>{key}</li>" in page
    ticks = {text.text for text in curves.iter("text")} & {"0", "8"}
    assert ticks == {"8"}  # the last of Optuna's steps 0 to 7
    facts = dict(head_facts(found))
    assert facts["Pruned"] == f"{counts['PRUNED'] / 40:.1%}"
    assert facts["Idle share of the workers"] == "1.0%"
    assert facts["Device-hours"] == "2.000 by 2 workers"


def test_a_front_of_two_objectives():
    made = study(objectives=2)
    found = story(made)
    page = html(found)
    assert "Pareto front" in headings(page)
    assert "Learning curves" not in headings(page)  # Optuna keeps none of several objectives
    values = [trial.values for trial in found.complete]
    front = [v for v in values if not any(w != v and w[0] >= v[0] and w[1] <= v[1] for w in values)]
    assert f"through the {len(front)} trials of the Pareto front" in page


@pytest.mark.parametrize("number", [0, 1])
def test_a_sweep_without_results(number):
    """No trial, or one that is finished: what cannot be said is left out, with its reason."""
    page = html(story(study(number)))
    text = markdown(story(study(number)))
    for said in (page, text):
        assert f"needs 2 finished trials, there are {number}" in said or not number
    assert "No trial finished" in page or number
    assert ("History" in headings(page)) == bool(number)
    assert ("1 finished trial as dots" in page) == bool(number)
    assert "pruned trial" not in page


def test_who_breaks_a_constraint_comes_last():
    made = study(0, seed=4)
    for value, over in ((0.1, -1.0), (0.3, 2.0), (0.2, 0.0)):
        trial = made.ask()
        trial.set_constraint("parameters <= 5", over)
        made.tell(trial, value)
    error_tail = story(made, best=[2])
    assert [trial.number for trial in error_tail.ranked] == [2, 0, 1]
    text = markdown(replace(error_tail, best=[]))
    assert "No trial satisfies the constraints." in text
    assert error_tail.command not in text
    page = html(replace(error_tail, best=[]))
    assert page.count("No trial satisfies the constraints.") == 2
    assert error_tail.command not in page


def test_the_front_in_markdown():
    made = study(24, objectives=2)
    error_tail = story(made)
    rows = markdown(error_tail).partition("## Pareto front")[2].partition("## ")[0].splitlines()
    numbers = [int(row.split("|")[1].strip().rstrip("*")) for row in rows if "*" in row]
    front = sorted(made.best_trials, key=lambda trial: -trial.values[0])
    assert numbers == [trial.number for trial in front]
    assert len(numbers) > 1
    assert "## Pareto front" not in markdown(story(study(9)))


def test_importance_and_its_method(monkeypatch):
    """One key decides; which method is used depends on what is installed and on the space."""
    rng = np.random.default_rng(0)
    made = optuna.create_study(direction="maximize")
    space = dict.fromkeys("xy", optuna.distributions.FloatDistribution(0, 1))
    for _ in range(30):
        params = {"x": float(rng.random()), "y": float(rng.random())}
        value = 10 * params["x"] + params["y"]
        made.add_trial(create_trial(params=params, distributions=space, value=value))
    shares, method = importance(made)
    assert method == FANOVA
    assert list(shares) == ["x", "y"]
    assert shares["x"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    monkeypatch.setattr("recsys_lab.sweeps.report.write.find_spec", lambda _: None)
    shares, method = importance(made)
    assert method == PED_ANOVA
    assert shares["x"] > 0.7
    monkeypatch.undo()
    assert importance(study())[1] == PED_ANOVA  # a key that only one model has
    equal = optuna.create_study()
    for x in (0.1, 0.2):
        equal.add_trial(create_trial(params={"x": x}, distributions={"x": space["x"]}, value=1.0))
    assert importance(equal) == ({}, "all finished trials have the same value")


def exact_share(found: list[RetrainedConfig], place: int) -> float:
    """By going through all resamples, each as likely as the others."""
    means = [[statistics.fmean(d) for d in itertools.product(a.validation, repeat=len(a.seeds))]
             for a in found]  # fmt: skip
    total = 0.0
    for drawn in itertools.product(*means):
        top = max(drawn)
        ties = sum(math.isclose(top, value, rel_tol=1e-12) for value in drawn)
        total += math.isclose(top, drawn[place], rel_tol=1e-12) / ties
    return total / math.prod(map(len, means))


def test_how_sure_the_winner_is():
    winner = pick_winner(AGAIN)
    assert (winner.trial, winner.configs, winner.seeds) == (4, 2, 3)
    assert winner.share == pytest.approx(exact_share(AGAIN, 0), abs=0.01)
    assert winner.search_optimism == pytest.approx(0.125 - 0.120)
    assert winner.test_optimism == pytest.approx(0.120 - 0.112)  # trial 9 has the better test
    assert winner.sentence == (
        "Trial 4 is the best of 2 by validation over 3 seeds, which is a hint at most: it "
        f"stays the best in {winner.share:.0%} of resamples of the seeds; its test value lies "
        "0.0080 below its validation value."
    )
    many = [replace(a, seeds=range(6), validation=[*a.validation] * 2) for a in AGAIN]
    assert "over 6 seeds, which is sure: it stays" in pick_winner(many).sentence
    alone = pick_winner(AGAIN[1:])
    assert alone.share == 1
    assert "the only one that was retrained" in alone.sentence
    assert alone.sentence.endswith("its test value lies 0.0003 below its validation value.")
    one = [RetrainedConfig(n, {}, None, [1], [v], [v + 0.01]) for n, v in ((0, 0.1), (1, 0.2))]
    assert "one seed cannot show how sure" in pick_winner(one).sentence
    assert "0.0100 above its validation value" in pick_winner(one).sentence
    summary = one[0].summary()
    assert summary["validation"] == {"mean": 0.1, "sd": None}
    equal = [RetrainedConfig(n, {}, None, [1, 2], [0.1, 0.1], [0.1, 0.1]) for n in (0, 1)]
    assert pick_winner(equal).share == 0.5


def test_the_best_keep_the_constraints_and_belong_to_the_front():
    made = optuna.create_study(direction="maximize")
    for value, constraint_violation in ((0.3, 1.0), (0.2, -1.0), (0.1, 0.0), (0.15, None)):
        trial = made.ask()
        if constraint_violation is not None:
            trial.set_constraint("seconds <= 9", constraint_violation)
        made.tell(trial, value)
    assert [trial.number for trial in best_trials(made, 2)] == [1, 3]
    two = study(objectives=2)
    front = {trial.number for trial in two.best_trials}
    assert {trial.number for trial in best_trials(two, 99)} == front


def test_intervals_and_facts():
    assert interval_half([1.0, 2.0, 3.0]) == pytest.approx(4.302652729911275 * 1 / math.sqrt(3))
    rows = sorted(space_rows(story(study(2))))
    assert rows == [
        ["model", "sasrec, gru4rec", "always"],
        ["model.num_layers", "1 to 3, integer, step 1", "always"],
        ["model.recurrent_dim", "64, 128", "model=gru4rec"],
        ["recipe.learning_rate", "0.0001 to 0.01, log scale", "always"],
    ]
    assert dict(cost_facts(story(study(2))))["Median time of a trial"] == "10.5 s"
    assert dict(cost_facts(story(study(0), workers=[])))["Idle share of the workers"] == "-"
