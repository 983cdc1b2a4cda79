"""A new run that begins with another run's best weights."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from recsys_lab.cli.main import run_command
from recsys_lab.comparison.systems import group_runs, what_differs
from recsys_lab.models.inputs import text_vectors as encoding
from recsys_lab.models.sequential.sasrec import SASRec
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, SMALL, in_shop, record, rewrite, train

STILL = ["recipe.learning_rate=1e-30", "recipe.max_epochs=1"]
"""One epoch that changes no weight: float32 has 7 digits."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a finished run of 3 epochs, for copies."""
    folder = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        assert train("run_dir=first") == 0
    return folder


@pytest.fixture(autouse=True)
def shop(source, tmp_path, monkeypatch):
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    with in_shop(tmp_path, monkeypatch):
        yield


def weights(run):
    return load_file(f"{run}/checkpoints/best.safetensors")


def item_ids(run):
    return pl.read_parquet(Path(record(run)["data"]["path"]) / "items.parquet")["item_id"].to_list()


def test_without_a_step_it_is_the_other_run(capsys):
    assert train("init_from=first", "run_dir=second", *STILL) == 0
    first, second = record("first"), record("second")
    digest = first["files"]["checkpoints/best.safetensors"]["sha256"]
    assert second["test"] == first["test"]
    assert second["validation"] == first["validation"]
    assert second["init_from"]["weights_sha256"] == digest
    assert second["init_from"]["same_data"] is True
    assert second["config"]["init_from"] == str(Path("first").absolute())
    assert second["identity"]["init_from"] == digest[:8]
    said = f"init_from=first: starts with the best weights of SASRec ({digest[:8]}), on the same"
    assert said in capsys.readouterr().out
    assert f"best weights of SASRec ({digest[:8]})" in Path("second/card.md").read_text()
    # The same settings without these weights are another system; the run's place makes none.
    assert train("run_dir=third", *STILL) == 0
    shutil.copytree("first", "moved")
    assert train("init_from=moved", "run_dir=fourth", "seed=1", *STILL) == 0
    records = [RunRecord.load(Path(run)) for run in ("second", "third", "fourth")]
    assert group_runs(records, "config") == [[0, 2], [1]]
    assert record("third")["test"] != first["test"]
    assert run_command(["compare", "second", "third", "first", "output=compared"]) == 0
    assert f"init_from={digest[:8]}" in capsys.readouterr().out.replace("\n", "")
    assert "init_from" in what_differs([r.values["identity"] for r in records])


def test_it_goes_on_without_the_other_run():
    assert train("init_from=first", "run_dir=whole", "recipe.max_epochs=4") == 0
    assert train("init_from=first", "run_dir=parts", "recipe.max_epochs=2") == 0
    shutil.rmtree("first")
    assert run_command(["train", "resume=parts", "recipe.max_epochs=4"]) == 0
    assert record("parts")["test"] == record("whole")["test"]
    assert record("parts")["init_from"] == record("whole")["init_from"]
    assert len(record("parts")["epochs"]) == 4
    assert record("parts")["epochs"][0]["train/loss"] < 3.2  # log 25 is where fresh ones begin


def test_items_of_other_data_are_found_by_their_ids(capsys):
    log = pl.read_csv("log.csv").filter(pl.col("item_id") != "i3")
    new = pl.DataFrame(
        {"user_id": ["u1", "u2", "u3"], "item_id": ["a", "z", "i30"], "timestamp": [1, 2, 3]}
    )
    pl.concat([log, new]).write_csv("other.csv")
    assert train("init_from=first", "run_dir=second", "data.path=other.csv", *STILL) == 0
    theirs, ours = item_ids("first"), item_ids("second")
    old, made = weights("first"), weights("second")
    for place, item in enumerate(ours):
        row = made["items.weight"][place]
        if item in ("a", "i30", "z"):
            assert np.abs(old["items.weight"] - row).sum(1).min() > 0.01
        else:
            assert row.tolist() == old["items.weight"][theirs.index(item)].tolist()
    others = set(old) - {"items.weight"}
    assert others
    assert all((old[name] == made[name]).all() for name in others)
    taken = record("second")["init_from"]
    assert taken["same_data"] is False
    assert (taken["items_taken"], taken["items_fresh"], taken["items_left_out"]) == (24, 3, 1)
    said = " ".join(capsys.readouterr().out.split())
    assert "of 24 items with equal raw ids; 3 new items start with the mean of the matched" in said
    assert "random initialisation, and 1 items of the other data" in said
    assert "come from SASRec, trained on other data" in Path("second/card.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.num_heads=4"], "has another architecture, so its weights cannot be used: "
         "model.num_heads (2 there, 4 here)"),
        (["model=gru4rec"], "model._target_ ("),
        (["model=popularity"], "Popularity is a fitted model without initial weights"),
        (["init_from=nowhere"], "nowhere"),
        (["data.path=far.csv"], "has no item in common with these data: ids there are e.g. "
         "'i0', here 'j0'"),
        (["init_from=counts"], "has no weights to start from: it was fitted"),
        (["init_from=open"], "has no weights to start from: its status is 'interrupted'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(arguments, said, capsys):
    pl.read_csv("log.csv").with_columns(
        pl.col("item_id").str.replace("i", "j")
    ).write_csv("far.csv")  # fmt: skip
    if "counts" in arguments[0]:
        assert train("run_dir=counts", base=COUNTS) == 0
    if "open" in arguments[0]:
        shutil.copytree("first", "open")
        RunRecord.load(Path("open")).update(status="interrupted")
    base = [x for x in SMALL if x.split(".")[0] == "data" or x == "data=table"]
    small = SMALL if "model=" not in arguments[0] else base
    begin = [] if "init_from" in arguments[0] else ["init_from=first"]
    assert train(*begin, *arguments, "run_dir=second", base=small) == 2
    assert said in capsys.readouterr().err


def test_an_older_run_without_later_options_is_the_same_architecture():
    values = record("first")
    later = [f.name for f in dataclasses.fields(SASRec.Config) if f.kw_only]
    assert later
    for name in later:
        del values["config"]["model"][name]
    rewrite("first", values)
    assert train("init_from=first", "run_dir=second", *STILL) == 0


def test_texts_need_the_same_vectors(monkeypatch, tmp_path, capsys):
    def load(start):
        def encode(texts, **_):
            draws = [np.random.default_rng([start, *text.encode()]) for text in texts]
            return np.stack([draw.normal(size=12) for draw in draws])

        return lambda *_: SimpleNamespace(encode=encode)

    for name in ("encoder", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    monkeypatch.setattr(encoding, "_load", load(1))
    base = [
        "data.num_users=60", "data.num_items=30", "model.hidden_dim=8", "model.num_layers=1",
        "model.max_length=6", "inputs=text", "inputs.encoder=encoder", *STILL,
    ]  # fmt: skip
    assert train("run_dir=texts", base=base) == 0
    same = ["init_from=texts", "inputs.encoder=elsewhere"]
    assert (
        train(*same, "run_dir=second", base=base) == 0
    )  # the same vectors, wherever they are from
    assert record("second")["test"] == record("texts")["test"]
    assert train(*same, "run_dir=third", "data.seed=2", base=base) == 2
    assert "was trained with other text vectors" in capsys.readouterr().err  # of other products
    assert train(*same, "run_dir=newer", "filter.max_history=20", base=base) == 0
    old, new = weights("texts"), weights("newer")
    layers = [name for name in old if "items" not in name]
    assert all(np.allclose(old[name], new[name], rtol=0, atol=1e-20) for name in layers)
    assert record("newer")["init_from"]["items_taken"] == len(item_ids("newer"))
    shutil.rmtree("prepared/text_vectors")
    monkeypatch.setattr(encoding, "_load", load(2))
    assert train(*same, "run_dir=fourth", base=base) == 2
    assert "was trained with other text vectors" in capsys.readouterr().err


def test_a_refit_begins_with_the_same_weights(capsys):
    """Steps of no size leave what both trainings begin with, also where it goes on alone."""
    still = [*STILL, "recipe.refit=true"]
    assert train("init_from=first", "run_dir=second", *still) == 0
    first, second = weights("first"), record("second")
    refit = load_file("second/checkpoints/refit/best.safetensors")
    assert all((refit[name] == first[name]).all() for name in first)
    assert second["refit"]["init_from"] == second["init_from"]["weights_sha256"]
    said = " ".join(capsys.readouterr().out.split())
    assert "training and validation, from the best weights of SASRec" in said
    card = Path("second/card.md").read_text()
    assert "The tested model was trained from its initial weights for 1 epoch " in card
    shutil.rmtree("first")
    assert run_command(["train", "resume=second", "recipe.max_epochs=2"]) == 0
    refit = load_file("second/checkpoints/refit/best.safetensors")
    assert all((refit[name] == first[name]).all() for name in first)


def test_of_a_refit_run_the_tested_weights_are_taken(capsys):
    assert train("run_dir=again", "recipe.refit=true", "recipe.max_epochs=1") == 0
    assert train("init_from=again", "run_dir=second", *STILL) == 0
    refit = load_file("again/checkpoints/refit/best.safetensors")
    assert all((weights("second")[name] == refit[name]).all() for name in refit)
    assert any((weights("again")[name] != refit[name]).any() for name in refit)
    assert record("second")["test"] == record("again")["test"]
    taken = record("second")["init_from"]
    assert taken["weights"] == "checkpoints/refit/best.safetensors"
    said = " ".join(capsys.readouterr().out.split())
    assert f"starts with the refit weights of SASRec ({taken['weights_sha256'][:8]})" in said
    assert "trained on the validation events, so validation is optimistic" in said
    assert "so the validation metrics are optimistic" in Path("second/card.md").read_text()
