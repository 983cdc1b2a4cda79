"""A student's first day: a model, a loss and a metric of one's own, in a folder outside of the lab.

The parts are those of ``docs/how-to/add``. They are explained, tried with ``debug=fast`` and
``debug=overfit``, trained, trained again with another seed and another model, and compared.

    python -m scripts.journeys.student FOLDER
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .how_to import follow
from .steps import Run, do, in_process_of_its_own

MODULES = ("my_models", "my_losses", "my_metrics")
OWN = ["--config-dir", "conf", "model=mean_pool", "loss=hinge", "experiment=effort"]
DATA = ["data.num_users=300", "data.num_items=80"]
SMALL = [*DATA, "model.hidden_dim=16", "recipe.max_epochs=3", "tracking=none"]

COMMANDS: Sequence[tuple[int, list[str]]] = (
    (0, ["options", "model=mean_pool", "loss=hinge", "--config-dir", "conf"]),
    (2, ["train", "model=mean_pool"]),  # says that --config-dir conf is missing
    (2, ["train", *OWN, "lr=0.01"]),  # says what it is called here
    (0, ["train", *OWN, *DATA, "debug=fast", "run_dir=runs/smoke"]),
    (0, ["train", *OWN, *DATA, "debug=overfit", "recipe.learning_rate=0.03", "run_dir=runs/one"]),
    (0, ["train", *OWN, *SMALL, "run_dir=runs/own/0"]),
    (0, ["train", "from=runs/own/0", "seed=1", "run_dir=runs/own/1"]),
    (0, ["train", "from=runs/own/0", "model=popularity", "run_dir=runs/popularity"]),
    (0, ["runs"]),
    (0, ["compare", "runs", "metric=effort@10", "output=compared"]),
)
"""Exit status and arguments of each command."""


def journey(run: Run) -> None:
    """Do everything in the current folder.

    Args:
        run: see `steps.Run`.

    Raises:
        SystemExit: a command ended with another status than expected.
    """
    for page in ("add-a-model", "add-a-loss", "add-a-metric"):
        follow(page)
    for expected, arguments in COMMANDS:
        do(run, arguments, expected)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ["RECSYS_LAB_ALLOWED_TARGETS"] = ",".join(MODULES)
    journey(in_process_of_its_own)
