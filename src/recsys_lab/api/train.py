"""``recsys-lab train`` in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf.errors import OmegaConfBaseException

from recsys_lab.api.run import Run, load
from recsys_lab.cli.app import run_verb
from recsys_lab.cli.output import RunFailed
from recsys_lab.cli.processes import INTERRUPTED, Told
from recsys_lab.config import Interrupted, UserError
from recsys_lab.config.environment import guarded
from recsys_lab.config.errors import one_line


def train(overrides: Sequence[str] = (), *, config_dir: Path | str | None = None) -> Run:
    """Train a model like ``recsys-lab train OVERRIDES``, and open the run.

    Config, run directory, record and output are the same. Hydra's global state is restored, so
    that programs that use Hydra can call it too. Do not call it in parallel in one process, as
    training sets the seeds of Python, NumPy and torch.

    Your own models must be in a file (in a notebook: ``%%writefile``), so that the run can be
    restored: see "Add a model" in the documentation.

    Args:
        overrides: as on the command line, e.g. ``["model=gru4rec", "seed=1"]``.
        config_dir: your own folder of configs, as ``--config-dir``.

    Raises:
        UserError: the config is invalid, which is checked first, or the data cannot be used.
        Interrupted: on Ctrl-C; resume the run with ``resume=RUN_DIR``.
    """
    if not isinstance(overrides, list | tuple) or not all(
        isinstance(text, str) for text in overrides
    ):
        raise UserError(
            f"train: overrides: got {overrides!r}; expected a list of texts, e.g. "
            '["model=gru4rec", "seed=1"]'
        )
    refused = [text for text in overrides if text.startswith(("-", "hydra.mode="))]
    if refused:
        raise UserError(
            f"train: got {', '.join(refused)}; expected overrides key=value of a single run"
        )
    own = [] if config_dir is None else ["--config-dir", str(config_dir)]
    arguments = [*own, *overrides]
    with _own_hydra(), _command(arguments), guarded(overrides):
        try:
            (folder,) = run_verb("train", arguments)
        except RunFailed as failed:
            cause = failed.__cause__ or failed
            if isinstance(cause, Told) and cause.code == INTERRUPTED:
                raise Interrupted(str(cause)) from None
            raise cause from None
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(one_line(error)) from error
    return load(folder)


@contextmanager
def _command(arguments: Sequence[str]) -> Iterator[None]:
    """Record the command that reproduces the run, not that of the notebook."""
    before, sys.argv = sys.argv, ["recsys-lab", "train", *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Clear Hydra's global state, and restore it afterwards."""
    running, config, version = (
        GlobalHydra.instance(),
        HydraConfig.instance(),
        VersionBase.instance(),
    )
    before = running.hydra, config.cfg, version.version_base
    running.hydra, config.cfg = None, None
    try:
        yield
    finally:
        running.hydra, config.cfg, version.version_base = before
