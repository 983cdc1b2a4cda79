"""How a choice of one's own is made, for a choice that does not exist."""

from __future__ import annotations

import shlex
from pathlib import Path

_FOLDER = "in a folder given as --config-dir FOLDER: docs/how-to/add."


def own_choice(group: str, name: str, folder: str | None) -> str:
    """A sentence with a space behind it; empty if the name cannot be one of a file.

    Args:
        group: the config group.
        name: the choice that it does not have.
        folder: the user's own folder of configs, if any.
    """
    if not group or name in ("", "null"):
        return ""
    file = f"{group}/{name}.yaml"
    if "." in name:
        return f"A class is chosen by a file {group}/NAME.yaml with _target_: {name}, {_FOLDER} "
    found = sorted(path.relative_to(Path.cwd()) for path in Path.cwd().glob(f"*/{file}"))
    if found and folder is None:
        return f"There is {found[0]}: add --config-dir {shlex.quote(found[0].parts[0])}. "
    return f"One of your own is a file {file} {_FOLDER} "
