"""What two commands must agree on to share a study, and a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.storage.attributes import DATA

if TYPE_CHECKING:
    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study

FILE = "study.id"


def refuse_another(name: str, stored: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Refuse to go on with a study of another search.

    Args:
        name: of the study.
        stored: what it was begun with.
        spec: what the command says, for JSON.

    Raises:
        UserError: they differ.
    """
    spec = json.loads(json.dumps(spec))
    if stored.get(DATA) != spec.get(DATA):
        raise UserError(
            f"sweep.name: the data have changed since the sweep '{name}' began (fingerprint "
            f"{stored.get(DATA)}, now {spec.get(DATA)}), and trials on other data cannot be "
            "compared; bring the original data back, or give another sweep.name"
        )
    differing = [key for key in {**stored, **spec} if stored.get(key) != spec.get(key)]
    if differing:
        said = "; ".join(
            f"{key}: {stored.get(key)} there, {spec.get(key)} now" for key in differing
        )
        raise UserError(
            f"sweep.name: the study '{name}' exists with other settings ({said}). Give the same "
            "command to go on with it, or another sweep.name"
        )


def refuse_another_study(plan: Plan, study: Study) -> None:
    """Note whose the folder is; trials of two studies would share run directories by number.

    Raises:
        UserError: it holds the runs of another study.
    """
    file = plan.path / FILE
    if not file.exists():
        unknown = not study.trials() and any((plan.path / "trials").glob("*"))
        if not unknown:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, study.id + "\n")
            return
    elif file.read_text().strip() == study.id:
        return
    raise UserError(
        f"sweep.storage={plan.storage}: {plan.folder} holds the runs of another study than "
        f"the one of the name '{study.name}' there. Give the storage that this sweep began with, "
        "or another sweep.name or sweep.dir; or move the folder away"
    )
