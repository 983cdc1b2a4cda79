"""The charts of the dashboard: every run where its numbers belong."""

import re

import pytest

from recsys_lab.dashboard.curves import draw_curves
from recsys_lab.dashboard.index import Index
from recsys_lab.dashboard.parallel import MOST_AXES, draw_parallel
from tests.comparison.made_runs import config
from tests.dashboard.made import HOSTILE, history, write_record


def runs(folder, *configs, **changes):
    """Runs of configs in their order."""
    for number, made in enumerate(configs):
        write_record(folder / str(number), made, **changes)
    index = Index(folder)
    index.refresh(60)
    return sorted(index.snapshot().runs, key=lambda run: run.row["folder"])


def polylines(chart):
    points = re.findall(r'<polyline[^>]*points="([^"]+)"', chart)
    return [[tuple(map(float, p.split(","))) for p in line.split()] for line in points]


def test_curves_are_counted_from_one_and_lack_what_was_not_measured(tmp_path):
    first, second, third = runs(tmp_path, config(), config(seed=1), config("Popularity"))
    epochs = [{"epoch": n, "val/ndcg@10": v} for n, v in enumerate((0.1, None, float("nan"), 0.4))]
    drawn = draw_curves([(first, epochs), (second, history(1)), (third, [])], "")
    assert drawn.key == "val/ndcg@10"
    assert drawn.keys == ["train/loss", "val/ndcg@10"]
    assert drawn.lacking == ["Popularity"]
    rising, short = polylines(drawn.chart)
    assert [len(rising), len(short)] == [2, 2]
    assert rising[0][1] > rising[1][1]  # upwards on the screen
    assert rising[0][0] == short[0][0]  # both begin with epoch 1
    assert "SASRec 0, epoch 1: 0.1</title>" in drawn.chart
    assert "SASRec 0, epoch 4: 0.4</title>" in drawn.chart
    assert "epoch 2" not in drawn.chart
    loss = draw_curves([(first, epochs), (second, history(1))], "train/loss")
    assert len(polylines(loss.chart)) == 1
    assert draw_curves([(first, epochs)], "nothing").chart is None
    assert draw_curves([], "").chart is None


def test_parallel_coordinates(tmp_path):
    rates = (1e-4, 1e-3, 1e-2)
    made = [
        config(model__num_layers=n, recipe__learning_rate=rates[n], loss__kind=kind)
        for n, kind in enumerate(("a", True, [HOSTILE]))
    ]
    made[2]["model"].pop("hidden_dim")
    several = runs(tmp_path, *made)
    several = [
        type(run)(**{**vars(run), "row": {**run.row, "test/ndcg@10": 0.1 * n}})
        for n, run in enumerate(several)
    ]
    keys = ["model.num_layers", "recipe.learning_rate", "loss.kind", "model.hidden_dim", "no.such"]
    drawn = draw_parallel(several, keys, "test/ndcg@10", [several[0].id])
    assert drawn.runs == 3
    assert drawn.left_out == ["no.such"]
    assert "<script>" not in drawn.chart
    lines = polylines(drawn.chart)
    tips = re.findall(r"<polyline[^>]*><title>(.*?)</title>", drawn.chart, re.DOTALL)
    by_run = {tip.split("(")[1][0]: line for tip, line in zip(tips, lines, strict=True)}
    heights = [[y for _, y in by_run[str(n)]] for n in range(3)]
    layers, rate, kinds, dims, metric = zip(*heights, strict=True)
    assert layers[0] - layers[1] == pytest.approx(layers[1] - layers[2])
    assert rate[0] - rate[1] == pytest.approx(rate[1] - rate[2], abs=0.2)  # logarithmic
    assert len(set(kinds)) == 3
    assert dims[0] == dims[1] < dims[2]  # not set: below the axis
    assert metric[0] > metric[1] > metric[2]
    assert "stroke:var(--c0)" in drawn.chart  # the ticked run in its colour


def test_settings_that_have_no_axis(tmp_path):
    made = [config(model__a=f"text {n}", model__b=n) for n in range(20)]
    several = runs(tmp_path, *made)
    drawn = draw_parallel(several, ["model.a", "model.b"], "test/ndcg@10", [])
    assert drawn.left_out == ["model.a"]
    many = [f"model.{n}" for n in range(30)]
    wide = runs(
        tmp_path / "wide", *(config(**{f"model__{n}": s for n in range(30)}) for s in (1, 2))
    )
    drawn = draw_parallel(wide, many, "test/ndcg@10", [])
    assert len(polylines(drawn.chart)[0]) == MOST_AXES + 1
    assert draw_parallel(wide, [], "test/ndcg@10", []).chart is None
    assert draw_parallel(wide, many, "test/nothing", []).chart is None
