"""Running a verb: directories, multirun, resume, endings."""

from __future__ import annotations

import os

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from recsys_lab.config import Interrupted, UserError


def test_a_run_gets_its_config_and_one_directory(shell):
    code, _, err = shell("toy", "experiment=study/deep", "model.rate=0.25")
    assert (code, err) == (0, "")
    [job] = shell.jobs
    assert job["cfg"] == {
        "model": {"_target_": "toy_parts.Net", "num_layers": 9, "rate": 0.25},
        "seed": 4,
        "run_dir": str(job["dir"]),
        "resume": None,
    }
    assert job["dir"].name.endswith("-net")
    assert list((shell.folder / "runs").iterdir()) == [job["dir"]]
    assert list(job["dir"].iterdir()) == []  # Hydra leaves nothing of its own
    assert shell.files() == {"configs", "toy_parts.py", "runs"}


def test_the_environment_is_left_as_it_was(shell):
    before = dict(os.environ)
    shell("toy")
    assert dict(os.environ) == before


def test_a_plus_before_a_known_group_does_no_harm(shell):
    assert shell("toy", "+experiment=study/deep")[0] == 0
    assert shell.jobs[0]["cfg"]["model"]["num_layers"] == 9


def test_flags_and_overrides_in_any_order(shell):
    shell.write("mine/model/own.yaml", "_target_: toy_parts.Net\nnum_layers: 1\nrate: 1\n")
    assert shell("toy", "seed=1", "--config-dir", "mine", "model=own")[0] == 0
    assert shell.jobs[0]["cfg"]["seed"] == 1


def test_run_dir_with_awkward_characters(shell):
    assert shell("toy", "run_dir='a b=c,d/it\\'s'")[0] == 0
    assert shell.jobs[0]["dir"] == shell.folder / "a b=c,d" / "it's"


def test_multirun_gives_each_job_its_directory(shell):
    code, _, err = shell("toy", "--multirun", "seed=3,4", "run_dir=many")
    assert code == 0
    assert [job["cfg"]["seed"] for job in shell.jobs] == [3, 4]
    assert [job["dir"] for job in shell.jobs] == [shell.folder / "many" / n for n in "01"]
    assert [job["cfg"]["run_dir"] for job in shell.jobs] == [str(j["dir"]) for j in shell.jobs]
    assert "job 1: " in err


def test_multirun_over_a_group_stays_in_one_directory(shell):
    shell.write("configs/model/other.yaml", "_target_: toy_parts.Net\nnum_layers: 1\nrate: 1\n")
    assert shell("toy", "-m", "model=net,other")[0] == 0
    assert len({job["dir"].parent for job in shell.jobs}) == 1


def test_a_failing_job_does_not_stop_the_others(shell):
    shell.error = RuntimeError("no luck")
    code, _, err = shell("toy", "-m", "seed=0,1")
    assert code == 1
    assert len(shell.jobs) == 2
    assert "job 0 failed: no luck" in err
    assert "job 1 failed: no luck" in err


def test_an_occupied_directory_is_refused(shell):
    shell.write("old/run.json", '{"schema_version": 1, "status": "running"}')
    [line] = shell.refused("toy", "run_dir=old")
    assert line == (
        "recsys-lab: run_dir: old already has a run. Add resume=auto to resume it, or choose "
        "another run_dir."
    )
    assert shell("toy", "run_dir=old", "resume=auto")[0] == 0
    assert shell.jobs[0]["cfg"]["resume"] == "auto"


def test_a_damaged_record_is_not_advised_to_be_resumed(shell):
    shell.write("old/run.json", "{")
    [line] = shell.refused("toy", "run_dir=old")
    assert line == "recsys-lab: run_dir: old already has a run. Choose another run_dir."


def test_a_run_in_a_run_is_refused_as_lists_would_lose_it(shell):
    shell.write("shop/0/run.json", "{}")
    [line] = shell.refused("toy", "run_dir=shop")
    assert "run_dir: shop has runs in it, such as shop/0" in line
    [line] = shell.refused("toy", "run_dir=shop/0/deep/er")
    assert f"run_dir: shop/0/deep/er is in the run {shell.folder / 'shop/0'}" in line
    # What the message advises, and a multirun, whose folder is no run.
    assert shell("toy", "run_dir=shop/new")[0] == 0
    assert shell("toy", "-m", "seed=1,2", "run_dir=shop")[0] == 0


class TestResume:
    @pytest.fixture
    def run_dir(self, shell):
        shell.write("runs/a b/run.json", '{"schema_version": 1}')
        stored = {
            "model": {"_target_": "toy_parts.Net", "num_layers": 7, "rate": 0.125},
            "seed": 11,
            "run_dir": "elsewhere",
            "resume": None,
        }
        OmegaConf.save(stored, shell.folder / "runs/a b/config.yaml")
        return shell.folder / "runs/a b"

    def test_the_stored_config_is_used(self, shell, run_dir):
        code, _, err = shell("toy", "resume='runs/a b'")
        assert (code, err) == (0, "")
        [job] = shell.jobs
        assert job["dir"] == run_dir
        assert job["cfg"] == {
            "model": {"_target_": "toy_parts.Net", "num_layers": 7, "rate": 0.125},
            "seed": 11,
            "run_dir": str(run_dir),
            "resume": str(run_dir),
        }
        assert {p.name for p in run_dir.iterdir()} == {"run.json", "config.yaml"}

    def test_a_second_process_may_name_the_same_directory(self, shell, run_dir):
        child = [f"hydra.run.dir='{run_dir}'", "hydra.job.name=rank_1", "hydra.output_subdir=null"]
        assert shell("toy", "resume='runs/a b'", *child)[0] == 0
        assert shell.jobs[0]["dir"] == run_dir

    def test_other_overrides_are_refused(self, shell, run_dir):  # noqa: ARG002
        [line] = shell.refused("toy", "resume='runs/a b'", "seed=3", "-m", "model=net")
        assert line == (
            "recsys-lab: resume: got seed=3, model=net, --multirun, but a run resumes with its "
            "stored config; only recipe.max_epochs and recipe.patience may be given with resume, "
            "to train it longer, and recipe.devices. Drop the others, or start a new run without "
            "resume."
        )

    def test_a_stored_config_that_no_longer_fits_names_its_file(self, shell, run_dir):
        OmegaConf.save({"seed": "x"}, run_dir / "config.yaml")
        lines = shell.refused("toy", "resume='runs/a b'")
        assert lines[1] == (
            "seed: expected an int >= 0, got 'x' (str). (from runs/a b/config.yaml)"
        )

    def test_no_such_directory(self, shell, run_dir):  # noqa: ARG002
        [line] = shell.refused("toy", "resume=runs/b")
        assert line.endswith(f"there is no folder {shell.folder / 'runs/b'}. Runs there: runs/a b.")

    def test_a_directory_without_a_run(self, shell):
        shell.write("empty/x", "")
        [line] = shell.refused("toy", "resume=empty")
        assert "is not a run directory: it has no run.json" in line
        assert line.endswith("resume takes auto or a run directory.")


class TestEndings:
    def test_failure(self, shell):
        shell.error = ValueError("loss is NaN")
        code, _, err = shell("toy", "run_dir=r")
        assert code == 1
        assert "Traceback" in err
        assert err.endswith(
            f"failed: ValueError: loss is NaN\nlog and record so far: {shell.folder / 'r'}\n"
        )

    def test_a_users_mistake_found_late(self, shell):
        shell.error = UserError("data.path: no file x.csv.")
        assert shell("toy")[::2] == (2, "recsys-lab: data.path: no file x.csv.\n")

    def test_a_config_error_of_the_program_is_a_failure(self, shell):
        shell.error = ConfigKeyError("no key")
        code, _, err = shell("toy")
        assert code == 1
        assert "Traceback" in err

    def test_interrupted_with_a_message(self, shell):
        shell.error = Interrupted("stopped at epoch 3; go on with resume=r")
        assert shell("toy")[::2] == (130, "\nstopped at epoch 3; go on with resume=r\n")

    def test_interrupted_early(self, shell):
        shell.error = KeyboardInterrupt()
        assert shell("toy")[::2] == (130, "\ninterrupted.\n")
