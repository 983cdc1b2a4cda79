"""What may become an option of sbatch."""

from __future__ import annotations

import re

import pytest

from recsys_lab.config import UserError
from recsys_lab.sweeps.launchers.base import Task
from recsys_lab.sweeps.launchers.slurm import Slurm
from tests.data.conftest import build


def slurm(**options):
    return build(Slurm, "launcher", "slurm", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partition": "gpu\n#SBATCH --wrap=evil"}, "launcher.partition: got 'gpu\\n#SBATCH"),
        ({"partition": "gpu\rrm x"}, "one line of printable characters"),
        ({"partition": ""}, "launcher.partition: got ''"),
        ({"partition": "gpu\x1b[2J"}, "one line of printable characters"),
        ({"parameters": {"account": "x\ntouch evil"}}, "launcher.parameters.account: got"),
        ({"parameters": {"account x\ntouch evil": "1"}}, "not a valid name of an sbatch option"),
        ({"parameters": {"--wrap": "evil"}}, "not a valid name of an sbatch option"),
        ({"parameters": {"account=x --wrap": "evil"}}, "not a valid name of an sbatch option"),
    ],
)
def test_what_would_be_more_than_one_option_is_refused(options, said):
    with pytest.raises(UserError, match=re.escape(said)):
        slurm(**options)


def test_options_come_into_the_script_as_they_are(tmp_path, monkeypatch):
    from submitit.slurm.slurm import SlurmExecutor

    monkeypatch.setattr(SlurmExecutor, "affinity", staticmethod(lambda: 1))
    launcher = slurm(partition="gpu; rm -rf x", parameters={"mail-type": "FAIL", "account": "a b"})
    task = Task(["x"], log=str(tmp_path / "w.log"), folder=str(tmp_path))
    executor = launcher._executor(task)._executor
    lines = executor._make_submission_file_text("true", "id").splitlines()
    assert "#SBATCH --partition='gpu; rm -rf x'" in lines
    assert "#SBATCH --mail-type=FAIL" in lines
    assert "#SBATCH --account='a b'" in lines
