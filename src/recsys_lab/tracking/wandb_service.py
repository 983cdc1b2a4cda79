"""W&B's service process, which each process that logs has for itself."""

from __future__ import annotations

import os
import sys
from typing import Any


def import_wandb() -> Any:
    """The module, with a service process of this process's own.

    A program that used W&B leaves the address of its service in the environment of all it starts.
    That service ends with the program, and a run that used it would end its logging there.
    """
    if "wandb" not in sys.modules:
        os.environ.pop("WANDB_SERVICE", None)
    import wandb

    return wandb
