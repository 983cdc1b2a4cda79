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
from recsys_lab.config import UserError
from recsys_lab.config.compose import one_line
from recsys_lab.config.environment import guarded


def train(overrides: Sequence[str] = (), *, config_dir: Path | str | None = None) -> Run:
    """Train a model as ``recsys-lab train OVERRIDES`` does, and open the run.

    The same config, run directory, record and output; nothing of Hydra's own state is changed, so
    it can be called again, also where a program uses Hydra itself. One at a time in a process:
    training sets the seeds of Python, NumPy and torch.

    A model of your own has to be in a file (in a notebook: ``%%writefile``), so that the run can be
    restored: see "Add a model" in the documentation.

    Args:
        overrides: as on the command line, e.g. ``["model=gru4rec", "seed=1"]``.
        config_dir: your own folder of configs: ``--config-dir``.

    Raises:
        UserError: the config is wrong, before anything is done; or the data cannot be used.
        Interrupted: Ctrl-C; the run can be resumed: ``resume=RUN_DIR``.
    """
    refused = [text for text in overrides if text.startswith(("-", "hydra.mode="))]
    if refused:
        raise UserError(
            f"train: got {', '.join(refused)}; overrides are key=value, and one run is trained"
        )
    own = [] if config_dir is None else ["--config-dir", str(config_dir)]
    arguments = [*own, *overrides]
    with _own_hydra(), _command(arguments), guarded(overrides):
        try:
            (folder,) = run_verb("train", arguments)
        except RunFailed as failed:
            raise (failed.__cause__ or failed) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(one_line(error)) from error
    return load(folder)


@contextmanager
def _command(arguments: Sequence[str]) -> Iterator[None]:
    """The record of the run gets the command that makes it again, not that of the notebook."""
    before, sys.argv = sys.argv, ["recsys-lab", "train", *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra as if nobody had used it; afterwards it is as it was before."""
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
