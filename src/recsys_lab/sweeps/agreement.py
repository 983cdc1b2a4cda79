"""Checks that the settings of a command match those of an existing study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.sweeps.storage.attributes import DATA, SEARCHERS


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
    compared = [key for key in {**stored, **spec} if key in stored or key not in SEARCHERS]
    differing = [key for key in compared if stored.get(key) != spec.get(key)]
    if differing:
        changes = "; ".join(
            f"{key}: stored {stored.get(key)}, got {spec.get(key)}" for key in differing
        )
        raise UserError(
            f"sweep.name: the study '{name}' exists with other settings ({changes}). Use the same "
            "settings to resume it, or another sweep.name"
        )
