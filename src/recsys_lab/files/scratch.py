"""Hidden folders for half-done work: gone with their owner, however it ends.

Each has a lock that its owner holds. Where nobody holds it the owner was killed, and whoever works
there next removes the folder.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path

from recsys_lab.files.locks import Held, hold

_LOCK = ".lock"


def make_scratch(root: Path, prefix: str, until: ExitStack) -> Path:
    """Make a folder that no other process uses; what killed ones left is removed first.

    Args:
        root: where; an existing folder.
        prefix: of the name, hidden: it begins with a dot.
        until: removes the folder when it is closed.

    Raises:
        OSError: it cannot be made.
    """
    sweep_scratch(root, prefix)
    while True:
        folder = root / f"{prefix}{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        until.callback(shutil.rmtree, folder, ignore_errors=True)
        with suppress(Held):  # by a process that took it for a leftover just before
            until.enter_context(hold(folder / _LOCK, wait=False))
            if (folder / _LOCK).exists():
                return folder


def sweep_scratch(root: Path, prefix: str) -> None:
    """Remove the folders of killed processes; those that cannot be removed stay."""
    for folder in root.glob(f"{prefix}*"):
        with suppress(Held, OSError), ExitStack() as held:
            if folder.is_dir():
                held.enter_context(hold(folder / _LOCK, wait=False))
                shutil.rmtree(folder, ignore_errors=True)
