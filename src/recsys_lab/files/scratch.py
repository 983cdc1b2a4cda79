"""Hidden temporary folders, removed when their owner ends.

The owner holds a lock in the folder. A folder whose lock is free is a leftover of a killed process,
and the next process removes it.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path

from recsys_lab.files.locks import Held, hold

_LOCK = ".lock"


def make_scratch(root: Path, prefix: str, until: ExitStack) -> Path:
    """Create a folder for this process, after removing those of killed processes.

    Args:
        root: parent folder, which exists.
        prefix: of the name, which begins with a dot.
        until: removes the folder when it is closed.

    Raises:
        OSError: it cannot be created.
    """
    sweep_scratch(root, prefix)
    while True:
        folder = root / f"{prefix}{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        until.callback(shutil.rmtree, folder, ignore_errors=True)
        with suppress(Held):  # by a process that is about to remove it as a leftover
            until.enter_context(hold(folder / _LOCK, wait=False))
            if (folder / _LOCK).exists():
                return folder


def sweep_scratch(root: Path, prefix: str) -> None:
    """Remove the folders of killed processes, if possible."""
    for folder in root.glob(f"{prefix}*"):
        with suppress(Held, OSError), ExitStack() as held:
            if folder.is_dir():
                held.enter_context(hold(folder / _LOCK, wait=False))
                shutil.rmtree(folder, ignore_errors=True)
