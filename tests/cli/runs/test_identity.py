"""What whole runs record of their code, columns, precision and metrics, and what comes of it."""

import json
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.experiment import identity as beginning
from tests.cli.flow import COUNTS, ITEMS, SMALL, in_shop, record, rewrite, train


@pytest.fixture(scope="module", autouse=True)
def shop(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, in_shop(tmp_path_factory.mktemp("p"), patch):
        rng = np.random.default_rng(0)
        for name in ("honest", "leaky"):
            columns = {"x": rng.normal(size=ITEMS), "kind": [str(i % 3) for i in range(ITEMS)]}
            items = {"item_id": [f"i{item}" for item in range(ITEMS)], **columns}
            items["tag"] = [str(i % 5) for i in range(ITEMS)]
            pl.DataFrame(items).write_csv(f"{name}.csv")
        yield


def items(name: str) -> list[str]:
    return [
        f"data.items_path={name}.csv", "+data.item_features.x=numeric",
        "+data.item_features.kind=categorical", "+data.item_features.tag=categorical",
    ]  # fmt: skip


def test_runs_on_other_columns_are_two_systems(capsys):
    feature = ["inputs=side_information", "inputs.features=[x]", "recipe.max_epochs=1"]
    for seed, name in enumerate(("honest", "leaky")):
        assert train(*items(name), *feature, f"seed={seed}", f"run_dir={name}") == 0
    noted = [record(name) for name in ("honest", "leaky")]
    assert noted[0]["data"]["fingerprint"] == noted[1]["data"]["fingerprint"]
    assert noted[0]["data"]["features_fingerprint"] != noted[1]["data"]["features_fingerprint"]
    assert {key: noted[0]["identity"][key] for key in ("precision", "device")} == {
        "precision": "32", "device": "cpu",
    }  # fmt: skip
    assert noted[0]["code"]["source"] == noted[1]["code"]["source"]
    capsys.readouterr()
    assert run_command(["compare", "honest", "leaky"]) == 0
    told = capsys.readouterr().out
    assert "2 seeds" not in told
    assert "features" in told
    Path("leaky.csv").rename("honest.csv")
    values = record("honest")
    rewrite(
        "honest", {**values, "data": {**values["data"], "path": record("leaky")["data"]["path"]}}
    )
    assert run_command(["evaluate", "honest"]) == 2
    assert "used columns of items, users and events with fingerprint" in capsys.readouterr().err


def test_a_calibration_over_another_column_is_not_compared(capsys):
    Path("leaky.csv").write_text(Path("honest.csv").read_text())
    runs = (("popularity", "kind", "calibration"), ("item_knn", "tag", "miscalibration"))
    for model, column, name in runs:  # one metric by its former and by today's name
        beyond = f"evaluation.beyond_accuracy=[{name},novelty]"
        of = f"evaluation.category_feature=item.{column}"
        run = [f"model={model}", f"run_dir={column}"]
        assert train(*items("leaky"), of, beyond, *run, base=COUNTS) == 0
    noted = record("kind")["metrics"]["miscalibration@10"]
    assert (noted["option"], noted["value"]) == ("category_feature", "item.kind")
    assert "novelty@10" not in record("kind")["metrics"]
    capsys.readouterr()
    assert run_command(["compare", "kind", "tag"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Left out: miscalibration@10 has different definitions in the runs" in told
    assert "novelty@10" in told


def test_half_precision_on_a_cpu_is_refused_before_training(capsys):
    assert train("recipe.precision=16-mixed", "recipe.accelerator=cpu", "run_dir=half") == 2
    assert (
        "16-mixed with recipe.accelerator=cpu; half precision needs a GPU"
        in capsys.readouterr().err
    )
    assert not Path("half/checkpoints").exists()


def test_a_run_that_goes_on_with_other_code_says_so(monkeypatch, caplog):
    assert train("run_dir=run", base=SMALL) == 0
    values = json.loads(Path("run/run.json").read_text())
    rewrite("run", {**values, "status": "interrupted"})
    monkeypatch.setattr(beginning, "source_digest", lambda *_: "other")
    with caplog.at_level(logging.WARNING):
        assert run_command(["train", "resume=run"]) == 0
    assert "the code of the run's components has changed since it began" in caplog.text
    assert record("run")["code"]["source"] == f"{values['code']['source']}+other"
