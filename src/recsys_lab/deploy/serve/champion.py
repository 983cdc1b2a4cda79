"""Reads the champion of a registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lab.files.reading import reading

REGISTRY = "registry.json"
_CURE = "; restore it, or promote a run again"


@dataclass(frozen=True)
class Champion:
    """The run whose lists users get.

    Attributes:
        run: the run directory.
        export: its exported folder, or None.
        version: grows with every promotion and rollback.
        promoted: when, ISO 8601 in UTC.
    """

    run: Path
    export: Path | None
    version: int
    promoted: str


def read_champion(registry: Path) -> Champion | None:
    """The champion of a registry's folder; None before the first promotion.

    Raises:
        UserError: the file is missing or damaged.
    """
    file = registry / REGISTRY
    with reading(file, _CURE):
        values: Any = json.loads(file.read_bytes())
        if values["schema"] != 1:
            raise ValueError(f"schema {values['schema']!r}, expected 1")
        champion = values["champion"]
        if champion is None:
            return None
        export, version = champion["export"], champion["version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"version {version!r}, expected an integer of at least 1")
        return Champion(
            registry / champion["run"],
            None if export is None else registry / export,
            version,
            str(champion["promoted"]),
        )
