"""Spaces in Hydra's syntax, by hand, and what is no space."""

import pytest

from recsys_lab.config import UserError
from recsys_lab.sweeps.settings import Sweep, check_computed, constraint_violation, read_limit
from recsys_lab.sweeps.space import as_overrides
from recsys_lab.sweeps.space_syntax import read_space


@pytest.mark.parametrize(
    ("text", "every", "shown"),
    [
        ("choice(32,64)", (32, 64), "CategoricalDistribution(choices=(32, 64))"),
        ("choice(adam,'a b')", ("adam", "a b"), "CategoricalDistribution(choices=('adam', 'a b'))"),
        ("16,32", (16, 32), "CategoricalDistribution(choices=(16, 32))"),
        ("range(1,5)", (1, 2, 3, 4), "IntDistribution(high=4, log=False, low=1, step=1)"),
        ("range(8,64,step=24)", (8, 32, 56), "IntDistribution(high=56, log=False, low=8, step=24)"),
        ("range(0,1,step=0.25)", (0, 0.25, 0.5, 0.75),
         "FloatDistribution(high=0.75, log=False, low=0.0, step=0.25)"),
        ("interval(0,0.5)", None, "FloatDistribution(high=0.5, log=False, low=0.0, step=None)"),
        ("int(interval(1,3))", (1, 2, 3), "IntDistribution(high=3, log=False, low=1, step=1)"),
        ("tag(log,interval(1e-4,1e-2))", None,
         "FloatDistribution(high=0.01, log=True, low=0.0001, step=None)"),
        ("tag(log, int(interval(1,4)))", (1, 2, 3, 4),
         "IntDistribution(high=4, log=True, low=1, step=1)"),
    ],
)  # fmt: skip
def test_hydra_s_syntax(text, every, shown):
    [dimension] = read_space({"model.width": text}).dimensions
    assert dimension.key == "model.width"
    assert dimension.every == every
    assert str(dimension.distribution) == shown


def test_a_class_of_ones_own_is_a_choice():
    node = "{_target_:my.Sampler,size:2,note:'a b'}"
    space = read_space({"loss.sampling": f"choice(uniform,{node})"})
    assert space.dimensions[0].values == ("uniform", node)
    found = [as_overrides(point, []) for point in space.points()]
    assert found == [["loss.sampling=uniform"], [f"loss.sampling={node}"]]


def test_measures_know_a_metric_of_ones_own():
    values = {
        "name": "x",
        "sampler": "nsga2",
        "pruner": "none",
        "constraints": [],
        "retrain_top_n": 0,
        "storage": None,
        "objectives": ["val/mine@10", "val/late@5", "val/calibration@10"],
    }
    rest = dict.fromkeys(
        (
            "dir",
            "n_trials",
            "timeout",
            "workers",
            "max_deaths",
            "storage_patience",
            "retry_out_of_memory",
            "retrain_seeds",
            "seed",
        )
    )
    own = {
        "mine": {"higher_is_better": False, "beyond": False},
        "late": {"higher_is_better": True, "beyond": True},
    }
    sweep = Sweep(Sweep.Config(**rest, **values), own)
    assert sweep.directions == ["minimize", "maximize", "minimize"]
    assert sweep.beyond == ["late@5", "miscalibration@10"]
    assert sweep.is_accuracy("val/mine@10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "a single value; expected choice"),
        ("interval(2,1)", "whose end is below its start"),
        ("tag(log,interval(0,1))", r"tag\(log,...\) needs numbers above 0"),
        ("tag(log,range(1,9))", r"tag\(log,...\) cannot be used for a range"),
        ("choice(1,1)", "which has a duplicate value"),
        ("choice(1,", "cannot be parsed"),
        ("normal(0,1)", "cannot be parsed"),
    ],
)
def test_what_is_no_space(text, message):
    with pytest.raises(UserError, match=r"search\.params\.lr: got .*" + message):
        read_space({"lr": text})


def test_nothing_to_search():
    with pytest.raises(UserError, match="nothing is searched; choose search=NAME"):
        read_space({})


def test_conditions():
    space = read_space(
        {
            "model.units": {"when": {"model": "b"}, "space": "choice(1,2)"},
            "model": "choice(a,b)",
            "depth": "range(0,2)",
        }
    )
    assert [d.key for d in space.dimensions] == ["model", "depth", "model.units"]
    points = [tuple(point.values()) for point in space.points()]
    assert points == [
        ("a", 0), ("a", 1), ("b", 0, 1), ("b", 0, 2), ("b", 1, 1), ("b", 1, 2),
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"when: model=c is never chosen; .*: model"):
        read_space({"model": "choice(a,b)", "x": {"when": {"model": "c"}, "space": "range(0,2)"}})
    with pytest.raises(UserError, match="got spaec, expected space and when only"):
        read_space({"x": {"space": "range(0,2)", "spaec": 1}})


@pytest.mark.parametrize(
    "text",
    [
        '{when: {model: b}, space: "choice(1,2)"}',
        "{space: choice(1,2), when: {model: 'b'}}",
    ],
)
def test_a_condition_as_it_is_typed(text):
    space = read_space({"model": "choice(a,b)", "model.units": text})
    assert [(d.key, d.every, dict(d.when)) for d in space.dimensions] == [
        ("model", ("a", "b"), {}),
        ("model.units", (1, 2), {"model": "b"}),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": "choice(1,2)"}, r"model: got a mapping without space; .*each key with dots"),
        ("{when: {model: b}}", r"model: got a mapping without space"),
        ("{when: model, space: choice(1,2)}", r"model\.when: got 'model', expected \{when: "),
        ({"space": "choice(1,", "when": {}}, r"model: got 'choice\(1,', which cannot be parsed"),
    ],
)
def test_what_is_no_condition(given, message):
    with pytest.raises(UserError, match=r"search\.params\." + message):
        read_space({"model": given})


def test_null_takes_a_key_out():
    space = read_space({"model.width": "choice(5,6)", "model.depth": None})
    assert [(d.key, d.every) for d in space.dimensions] == [("model.width", (5, 6))]


def test_overrides_choose_groups_first():
    point = {"model.width": 5, "lr": 1e-05, "flag": True, "model": "a", "clip": None}
    assert as_overrides(point, ["model"]) == [
        "model=a", "model.width=5", "lr=1e-05", "flag=true", "clip=null",
    ]  # fmt: skip


def sweep(**changes) -> Sweep:
    options = {
        "name": "s", "dir": "d", "storage": None, "n_trials": 2, "timeout": None, "workers": 1,
        "sampler": "tpe", "pruner": "median", "objectives": ["val/ndcg@10"], "constraints": [],
        "seed": 0, "retry_out_of_memory": False, "retrain_top_n": 0, "retrain_seeds": 1,
        "max_deaths": 3, "storage_patience": 600,
    }  # fmt: skip
    return Sweep(Sweep.Config(**{**options, **changes}))


def test_the_test_split_is_no_objective():
    with pytest.raises(UserError, match=r"got test/ndcg@10; .*Use val/ndcg@10"):
        sweep(objectives=["test/ndcg@10"])
    with pytest.raises(UserError, match=r"sweep\.constraints: got test/hr@1"):
        sweep(constraints=["test/hr@1>=0.5"])
    with pytest.raises(UserError, match=r"got ndcg@10, expected val/METRIC, seconds"):
        sweep(objectives=["ndcg@10"])


def test_several_objectives():
    made = sweep(objectives=["val/ndcg@10", "seconds"], pruner="none")
    assert made.directions == ["maximize", "minimize"]
    with pytest.raises(UserError, match="got median with 2 objectives"):
        sweep(objectives=["val/ndcg@10", "seconds"])


def test_metrics_know_what_is_better():
    names = ["val/hr@10", "val/gini@10", "val/coverage@10", "val/popularity@5", "parameters"]
    made = sweep(objectives=names, pruner="none", constraints=["val/novelty@10>=2"])
    assert made.directions == ["maximize", "minimize", "maximize", "minimize", "minimize"]
    assert made.beyond == ["coverage@10", "gini@10", "novelty@10", "popularity@5"]
    with pytest.raises(UserError, match=r"sweep\.sampler: cmaes supports one objective, .* has 5"):
        sweep(objectives=names, pruner="none", sampler="cmaes")
    with pytest.raises(UserError, match=r"sweep\.retrain_top_n: .*=val/gini@10 has none; add one"):
        sweep(objectives=["val/gini@10"], retrain_top_n=1)


def test_metrics_that_nobody_computes():
    made = sweep(objectives=["val/ndcg@10", "seconds"], pruner="none")
    check_computed(made, ["ndcg@10"], [])
    made = sweep(
        objectives=["val/ndcg@10", "val/gini@5"], pruner="none", constraints=["val/hr@1>=0"]
    )
    with pytest.raises(UserError) as refused:
        check_computed(made, ["ndcg@10"], ["gini@10"])
    first, second, third = str(refused.value).splitlines()
    assert first.startswith("2 problems")
    assert "sweep.objectives: got val/gini@5" in second
    assert "did you mean 'val/gini@10'? Computed: val/ndcg@10, val/gini@10; for others" in second
    assert "sweep.constraints: got val/hr@1" in third


def test_constraints():
    assert read_limit("parameters<=2e6") == ("parameters", "<=", 2e6)
    assert constraint_violation(read_limit("parameters <= 10"), 12.0) == 2.0
    assert constraint_violation(read_limit("val/hr@10>=0.5"), 0.75) == -0.25
    for wrong in ("parameters=5", "parameters<=many"):
        with pytest.raises(UserError, match="expected MEASURE<=NUMBER"):
            read_limit(wrong)
