"""``recsys-lab serve SOURCE``: rank for histories and users over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from recsys_lab.config import UserError, install_hint

if TYPE_CHECKING:
    from omegaconf import DictConfig

_PACKAGES = ("fastapi", "prometheus_client", "starlette", "uvicorn")


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        UserError: a package is missing, an option is invalid, or the model cannot be loaded.
    """
    del output_dir
    try:
        from recsys_lab.deploy.serve.server import Server, logging_to_stderr
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise UserError(f"serve needs {error.name}: {install_hint('serve')}") from None
    with logging_to_stderr():
        Server(cast("Any", cfg)).run()
