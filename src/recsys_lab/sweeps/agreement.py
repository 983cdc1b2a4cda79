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
    """Refuse to resume a study with other settings.

    Args:
        name: of the study.
        stored: settings of the study.
        spec: settings of the command; JSON-serialisable.

    Raises:
        UserError: they differ.
    """
    spec = json.loads(json.dumps(spec))
    if stored.get(DATA) != spec.get(DATA):
        raise UserError(
            f"sweep.name: the data have changed since the sweep '{name}' began (fingerprint "
            f"{stored.get(DATA)}, now {spec.get(DATA)}), and trials on different data cannot be "
            "compared; restore the original data, or use another sweep.name"
        )
    differing = [key for key in {**stored, **spec} if stored.get(key) != spec.get(key)]
    if differing:
        changes = "; ".join(
            f"{key}: stored {stored.get(key)}, got {spec.get(key)}" for key in differing
        )
        raise UserError(
            f"sweep.name: the study '{name}' exists with other settings ({changes}). Use the same "
            "settings to resume it, or another sweep.name"
        )


def refuse_another_study(plan: Plan, study: Study) -> None:
    """Record which study a folder belongs to: two studies would share run directories.

    Raises:
        UserError: the folder has the runs of another study.
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
        f"sweep.storage={plan.storage}: {plan.folder} has the runs of another study than "
        f"'{study.name}' in this storage. Use the storage that the folder's sweep began with, or "
        "another sweep.name or sweep.dir; or move the folder away"
    )
