"""``recsys-lab dashboard [DIR]``: a local page over runs, sweeps and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config.errors import Interrupted
from recsys_lab.dashboard.server import Dashboard
from recsys_lab.pages.terminal import tell

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        UserError: there is no such folder, or the address is not valid or in use.
    """
    del output_dir
    dashboard = Dashboard(Path(cfg.dir), cfg.host, cfg.port, cfg.refresh_s)
    print(f"{dashboard.url}  ({cfg.dir}; Ctrl-C ends it)", flush=True)
    others = dashboard.url_of_others
    if others is not None:
        tell(f"from other machines: {others}  (anyone who reaches it can read these runs)")
    try:
        dashboard.run()
    except (KeyboardInterrupt, Interrupted):  # its normal end
        tell("\nstopped")
