"""Whose folder it is: the runs in it belong to one study."""

from __future__ import annotations

from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.study import Study

STUDY_FILE = "study.id"
_PLAN = "plan.json"


def sweep_of(run: Path) -> Path | None:
    """The folder of the sweep that a run directory belongs to, or None."""
    for folder in run.absolute().parents:
        if (folder / STUDY_FILE).exists() or (folder / _PLAN).exists():
            return folder
    return None


def refuse_another_study(plan: Plan, study: Study) -> None:
    """Record which study a folder belongs to: two studies would share run directories.

    Raises:
        UserError: the folder has the runs of another study.
    """
    file = plan.path / STUDY_FILE
    if not file.exists():
        unknown = not study.trials() and any((plan.path / "trials").glob("*"))
        if not unknown:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, study.id + "\n")
            return
    elif file.read_text().strip() == study.id:
        return
    raise UserError(
        f"sweep.storage={plan.storage}: {plan.folder} has the runs of another study than "
        f"'{study.name}' in this storage. Use the storage that the folder's sweep began with, or "
        "another sweep.name or sweep.dir; or move the folder away"
    )
