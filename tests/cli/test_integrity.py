"""One bit flipped in a file of a run: refused by the file's name, and nothing else happens."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from recsys_lab.cli.main import run_command
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.experiment.recording import recorded
from recsys_lab.experiment.run import TrialRun
from recsys_lab.runs.record import RunRecord
from recsys_lab.training.checkpoint import CheckpointCallback
from tests.cli.flow import COUNTS, in_shop, record, rewrite, train

BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained run, a fitted one, and one that was stopped after its second epoch."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        assert train("run_dir=trained") == 0
        assert train("run_dir=fitted", base=COUNTS) == 0
        ended = CheckpointCallback.on_train_epoch_end

        def stop(keeper, *arguments):
            ended(keeper, *arguments)
            if len(keeper.history) == 2:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as stopping:
            stopping.setattr(CheckpointCallback, "on_train_epoch_end", stop)
            assert train("run_dir=stopped") == 130
    return folder


@pytest.fixture
def shop(made, tmp_path, monkeypatch):
    """A copy of all of it to work in; the records name the prepared dataset of the first."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    data = Path(record("trained")["data"]["path"])
    yield data
    shutil.rmtree(data)
    shutil.copytree(Path("prepared") / data.name, data)


def flip(file: Path | str, share: float = 0.5) -> None:
    """Change one bit of the byte that stands at this share of the file."""
    content = bytearray(Path(file).read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x10
    Path(file).write_bytes(content)


COMMANDS = [
    ("trained/run.json", ["show", "trained"]),
    ("trained/run.json", ["compare", "trained", "fitted"]),
    ("trained/config.yaml", ["evaluate", "trained"]),
    ("stopped/config.yaml", ["train", "resume=stopped"]),
    ("trained/test_users.parquet", ["compare", "trained", "fitted"]),
    ("trained/slices.parquet", ["show", "trained"]),
    (f"trained/{BEST}", ["evaluate", "trained"]),
    (f"trained/{BEST}", ["explain", "trained", "user=u7"]),
    ("fitted/model.npz", ["evaluate", "fitted"]),
    (f"stopped/{BEST}", ["train", "resume=stopped"]),
    (f"stopped/{LAST}", ["train", "resume=stopped"]),
    ("stopped/run.json", ["train", "resume=stopped"]),
]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("file", "command"), COMMANDS)
def test_a_flipped_bit_of_a_run_is_refused_by_name(file, command, capsys):
    before = {path: path.read_bytes() for path in Path("trained").rglob("*") if path.is_file()}
    flip(file)
    damaged = Path(file).read_bytes()
    assert run_command(command) == 2
    said = capsys.readouterr().err
    assert Path(file).name in said
    assert "damaged" in said or "not a run record" in said
    assert "Traceback" not in said
    assert Path(file).read_bytes() == damaged
    assert {path for path in Path("trained").rglob("*") if path.is_file()} == set(before)


def test_the_record_has_the_digest_of_every_file_that_is_read_back(made):
    files = ["config.yaml", "test_users.parquet", "slices.parquet"]
    for run, model in (("trained", BEST), ("fitted", "model.npz")):
        noted = record(made / run)["files"]
        assert set(noted) == {*files, model}
        for name, found in noted.items():
            content = (made / run / name).read_bytes()
            assert found == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_flipped_bit_of_the_data_is_refused_and_prepare_mends_it(shop, capsys):
    flip(shop / "test.npy", 0.9)
    assert run_command(["evaluate", "trained"]) == 2
    said = capsys.readouterr().err
    assert f"{shop / 'test.npy'} is damaged" in said
    assert "or prepare it again in prepared, from the source in" in said
    assert "recsys-lab evaluate trained prepare=true" in said
    flip(Path("prepared") / shop.name / "test.npy", 0.9)
    assert run_command(["evaluate", "trained", "prepare=true"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    PreparedDataset(Path("prepared") / shop.name)


@pytest.mark.parametrize("ending", ["its end", "an error"])
def test_a_run_whose_data_were_damaged_meanwhile_counts_for_nothing(
    shop, capsys, monkeypatch, ending
):
    place = [f"prepared_dir={shop.parent}", "run_dir=during", "resume=auto"]
    note = RunRecord.note_epochs

    def damaging(*arguments):
        note(*arguments)
        items = np.load(shop / "items.npy", mmap_mode="r+")
        items[:] = items[::-1].copy()  # other histories, of items that there are
        items.flush()
        if ending == "an error":
            raise ValueError("what came of it")

    monkeypatch.setattr(RunRecord, "note_epochs", damaging)
    assert train(*place) == 2
    said = capsys.readouterr().err
    assert f"{shop / 'items.npy'} is damaged" in said
    assert "it was changed while this process read it" in said
    assert record("during")["status"] != "finished"
    monkeypatch.setattr(RunRecord, "note_epochs", note)
    assert train(*place) == 0  # prepared anew, and trained from the start
    for name in ("validation", "test"):
        assert record("during")[name] == record("trained")[name]


def test_training_prepares_damaged_data_again(shop):
    flip(shop / "items.npy", 0.9)
    place = f"prepared_dir={shop.parent}"
    assert train("run_dir=again", place, base=COUNTS) == 0
    assert record("again")["test"] == record("fitted")["test"]
    assert "again: " in Path("again/run.log").read_text()
    PreparedDataset(shop)


def test_sizes_alone_are_looked_at_when_told(shop):
    flip(shop / "card.html")
    assert run_command(["evaluate", "fitted"]) == 2
    assert run_command(["evaluate", "fitted", "verify=sizes"]) == 0
    assert run_command(["explain", "trained", "user=u7", "verify=sizes"]) == 0
    assert run_command(["evaluate", "fitted", "verify=half"]) == 2


def test_what_a_sweep_has_prepared_and_checked_is_not_hashed_for_each_trial(shop):
    flip(shop / "card.html")
    cfg = OmegaConf.load("fitted/config.yaml")
    done = recorded(cfg, Path("trial"), Console(quiet=True), TrialRun(), shop)
    assert done.values["validation"] == record("fitted")["validation"]


@pytest.mark.usefixtures("shop")
def test_a_run_with_a_damaged_checkpoint_begins_anew_as_is_advised(capsys):
    flip(f"stopped/{LAST}")
    assert run_command(["train", "resume=stopped"]) == 2
    assert "remove stopped/checkpoints and give the same command again" in " ".join(
        capsys.readouterr().err.replace(f"{Path.cwd()}/", "").split()
    )
    shutil.rmtree("stopped/checkpoints")
    assert run_command(["train", "resume=stopped"]) == 0
    for name in ("epochs", "best", "validation", "test"):
        assert record("stopped")[name] == record("trained")[name]
    assert Path("stopped", BEST).read_bytes() == Path("trained", BEST).read_bytes()


@pytest.mark.usefixtures("shop")
def test_a_record_changed_by_hand_is_read_as_is_advised_and_told(capsys):
    values = record("trained")
    values["config"]["notes"] = "the one for the talk"
    Path("trained/run.json").write_text(json.dumps(values))
    assert run_command(["show", "trained"]) == 2
    assert 'after an intended change, set "digest" to null' in capsys.readouterr().err
    rewrite("trained", values)
    assert run_command(["show", "trained"]) == 0
    assert "changed by hand" in " ".join(capsys.readouterr().out.split())
    assert run_command(["compare", "trained", "fitted"]) == 0
    assert "Not verified" in " ".join(capsys.readouterr().out.split())
    assert run_command(["evaluate", "trained"]) == 0


@pytest.mark.usefixtures("shop")
def test_a_run_of_an_older_version_is_read_and_told(capsys, caplog):
    values = {**record("trained"), "schema_version": 1}
    del values["digest"], values["files"]
    Path("trained/run.json").write_text(json.dumps(values))
    assert run_command(["evaluate", "trained"]) == 0
    assert "not verified: the record is of an older version" in caplog.text
    rows = pl.read_parquet("trained/test_users.parquet")
    shifted = pl.when(pl.col("user") == 7).then(0.5).otherwise("ndcg@10").alias("ndcg@10")
    rows.with_columns(shifted).write_parquet("trained/test_users.parquet")
    capsys.readouterr()
    assert run_command(["compare", "trained", "fitted"]) == 2
    said = capsys.readouterr().err
    assert "test_users.parquet: the mean of ndcg@10 over its users is" in said
    for file, verb in (
        (BEST, "evaluate"), ("config.yaml", "evaluate"), ("slices.parquet", "show"),
        ("test_users.parquet", "compare"),
    ):  # fmt: skip
        Path("trained", file).write_bytes(b"\xff: [")
        assert run_command([verb, "trained"]) == 2
        assert f"{file}: cannot be read (" in capsys.readouterr().err
