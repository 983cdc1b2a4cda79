"""Where the lab's own configs are, and where the classes that they name are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from recsys_lab.config.errors import UserError


def config_dir() -> Path:
    """The configs that come with the lab: in the installed package, or the repository's.

    Raises:
        UserError: neither is there, so the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no configs beside {package}: install recsys-lab again.")


@cache
def component_packages(group: str | None) -> tuple[str, ...]:
    """The lab's packages that hold a group's classes: those that its own configs name.

    Args:
        group: a config group or another key with ``_target_``, e.g. ``model``; None: of any.
    """
    folder, target = config_dir(), r"_target_: *([\w.]+)\.\w+\.\w+"
    if group is None:
        return tuple(sorted(_found(folder.rglob("*.yaml"), target)))
    inside = _found((folder / group).rglob("*.yaml"), f"^{target}")
    beside = _found(folder.glob("*.yaml"), rf"^{re.escape(group)}:\n +{target}")
    return tuple(sorted(inside | beside))


def _found(files: Iterable[Path], pattern: str) -> set[str]:
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {name for text in texts for name in re.findall(pattern, text, re.MULTILINE)}
