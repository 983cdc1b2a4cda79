"""What two commands must agree on to share a study, and a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.sweeps.storage.attributes import DATA


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
