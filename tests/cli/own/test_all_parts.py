"""All parts of one's own at once, by the how-tos, in one folder outside of the lab."""

import json
import sys
from pathlib import Path

import optuna
import polars as pl
import pytest
from scripts.journeys.how_to import follow

from recsys_lab.cli.main import run_command
from tests.cli.flow import in_shop, record

MODULES = ("my_models", "my_losses", "my_metrics", "my_parts")
SMALL = ["data=visits", "data.num_users=60", "model.hidden_dim=8", "model.max_length=6",
         "recipe.max_epochs=3", "recipe.batch_size=16", "recipe.learning_rate=0.03",
         "evaluation.ks=[5,10]"]  # fmt: skip
PAGES = ("add-a-model", "add-a-dataset", "add-a-loss", "add-a-metric", "add-a-tracker",
         "add-a-sampler")  # fmt: skip


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """The commands of each how-to, with all of their files in the current folder."""
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", ",".join(MODULES))
    forget()
    with in_shop(tmp_path, monkeypatch):
        yield {page: follow(page) for page in PAGES}
    forget()


@pytest.mark.usefixtures("in_process")
def test_a_model_a_loss_a_dataset_a_metric_a_tracker_and_samplers_in_one_run(pages, capsys):
    [with_metrics, other] = pages["add-a-metric"]
    [with_loss, with_sampler, *sweeps] = pages["add-a-loss"]
    [with_tracker], [search] = pages["add-a-tracker"], pages["add-a-sampler"]
    extra = [*with_loss[3:], *with_tracker[3:], "model=mean_pool"]  # behind --config-dir conf
    assert run_command([*with_metrics, *extra, *SMALL, "run_dir=own", "name=mine"]) == 0
    values = record("own")
    config = values["config"]
    parts = [config[part]["_target_"] for part in ("model", "loss", "data")]
    assert parts == ["my_models.mean_pool.MeanPool", "my_losses.Hinge", "my_models.visits.Visits"]
    assert config["loss"]["sampling"] == {"_target_": "my_losses.Frequent", "min_events": 2}
    _measured(values)
    _written(values)
    _compared(with_metrics, values, capsys)
    _searched(search, [*with_metrics[3:], *extra, *SMALL])
    # The other commands of the how-tos are valid configs.
    for command in (other, with_sampler, *sweeps):
        assert run_command([*command, "--cfg", "job"]) == 0
    capsys.readouterr()
    _of_another_file(capsys)


def _measured(values):
    """The metrics, from the stored ranks."""
    assert {"ndcg@5", "effort@5", "effort@10", "unseen@10"} <= {*values["test"]}
    epochs = [epoch["val/effort@10"] for epoch in values["epochs"]]
    assert values["validation"]["effort@10"] == min(epochs) < max(epochs)
    rows = pl.read_parquet("own/test_users.parquet")
    ranks = rows["rank"].fill_null(11).to_numpy()
    weights = 0.5 ** ((ranks[:, None] > 0) * range(10) / 5)
    read = (weights * (range(10) < ranks[:, None] - 1)).sum(1) / weights[0].sum()
    assert rows["effort@10"].to_numpy() == pytest.approx(read)
    assert values["test"]["effort@10"] == pytest.approx(read.mean())
    noted = values["metrics"]["effort@10"]
    assert noted["value"] == "my_metrics.Effort half_life=5.0"
    assert noted["higher_is_better"] is False


def _written(values):
    """What the tracker was told, beside the lab's own."""
    begin, *lines, end = Path("own/diary.txt").read_text().splitlines()
    assert begin == "begin mine my_models.mean_pool.MeanPool"
    for row in values["epochs"]:  # 60 users in batches of 16: 4 steps an epoch
        said = f"step {4 * row['epoch'] + 3} val/ndcg@10 {row['val/ndcg@10']:.4f}"
        assert lines.count(said) == 1
    assert end == f"end failed=False test/ndcg@10={values['test']['ndcg@10']}"
    assert values["trackers"] == {
        "csv": "mine",
        "my_parts.diary.Diary(file=diary.txt)": "mine",
    }
    assert pl.read_csv("own/csv/metrics.csv")["val/ndcg@10"].drop_nulls().len() == 3


def _compared(command, values, capsys):
    """A second run, of a model that is fitted, against the first."""
    counts = ["model=popularity", "tracking=none", *SMALL[:2], SMALL[-1], "run_dir=pop"]
    assert run_command([*command[:4], *counts]) == 0
    capsys.readouterr()
    assert run_command(["compare", "own", "pop", "metric=effort@10", "output=compared"]) == 0
    said = capsys.readouterr().out
    assert "effort@10 ↓" in said
    found = json.loads(Path("compared/comparison.json").read_text())
    assert {"effort@10", "unseen@10"} <= {metric["name"] for metric in found["metrics"]}
    # An edit of the class makes another metric of it.
    pop = record("pop")
    pop["metrics"]["effort@10"]["content"] = "0" * 16
    Path("pop/run.json").write_text(json.dumps({**pop, "digest": None}))
    assert run_command(["compare", "own", "pop", "metric=effort@10"]) == 2
    assert "effort@10 has different definitions in the runs" in " ".join(
        capsys.readouterr().err.split()
    )
    assert run_command(["evaluate", "own"]) == 0
    assert values == record("own")


def _searched(command, parts):
    """The lowest of very many draws is near the lower end; a floor that none reaches stops all."""
    own = ["sweep.sampler.draws=2000", "sweep.pruner.lower=2.0", "sweep.n_trials=2"]
    run_command([*command, *parts, *own, "sweep.workers=1"])
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend("sweeps/lower/study.journal")
    )
    [name] = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.state.name for trial in trials] == ["PRUNED", "PRUNED"]
    rates = [trial.params["recipe.learning_rate"] for trial in trials]
    assert all(1e-4 <= rate < 1.2e-4 for rate in rates), rates
    options = json.loads(Path("sweeps/lower/plan.json").read_text())["options"]
    assert options["sampler"] == {"_target_": "my_parts.search.Lower", "draws": 2000}


def _of_another_file(capsys):
    """The file of the metrics is edited, then removed."""
    file = Path("my_metrics.py")
    file.write_text(file.read_text().replace("0.5 **", "0.7 **"))
    del sys.modules["my_metrics"]
    assert run_command(["evaluate", "own"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith("my_metrics.py (my_metrics.Effort) has changed since the run")
    file.unlink()
    del sys.modules["my_metrics"]
    assert run_command(["evaluate", "own"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "own: there is no module 'my_metrics', which the run uses in evaluation.metrics[1]" in said
    )
    assert f"the current folder, {Path.cwd()}" in said
