"""What the system says of the folder that prepared datasets are made in, for people."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.files.faults import MachineFault, out_of_space, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def usable(root: Path) -> Iterator[None]:
    """Turn what the system says of the folder of prepared datasets into a `UserError`."""
    try:
        yield
    except OSError as error:
        if out_of_space(error):
            raise _full(root, error) from error
        raise UserError(
            f"prepared_dir={root}: cannot make or write this folder ({error.strerror}); change its "
            "mode (chmod u+rwx), or choose another"
        ) from error


@contextlib.contextmanager
def explain_full_disk(root: Path) -> Iterator[None]:
    """Name the option that moves the work to another disk when this one is full."""
    try:
        yield
    except (OSError, PolarsError) as error:
        if not out_of_space(error):
            raise
        raise _full(root, error) from error


def _full(root: Path, error: Exception) -> MachineFault:
    return MachineFault(
        f"prepared_dir={root}: no space left while preparing ({reason(error)}); nothing was kept. "
        "Free some, or choose another prepared_dir"
    )
