"""Locations of the lab's configs and of the classes that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from recsys_lab.config.errors import UserError


def config_dir() -> Path:
    """The folder of the lab's configs, in the installed package or in the repository.

    Raises:
        UserError: both are missing, so the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no configs beside {package}: install recsys-lab again.")


@cache
def component_packages(group: str | None) -> tuple[str, ...]:
    """The packages with a group's classes, from the targets in the lab's configs.

    Args:
        group: a config group or another key with ``_target_``, e.g. ``model``; None for all.
    """
    folder, target = config_dir(), r"_target_: *([\w.]+)\.\w+\.\w+"
    if group is None:
        return tuple(sorted(_matches(folder.rglob("*.yaml"), target)))
    inside = _matches((folder / group).rglob("*.yaml"), f"^{target}")
    beside = _matches(folder.glob("*.yaml"), rf"^{re.escape(group)}:\n +{target}")
    return tuple(sorted(inside | beside))


def _matches(files: Iterable[Path], pattern: str) -> set[str]:
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {name for text in texts for name in re.findall(pattern, text, re.MULTILINE)}
