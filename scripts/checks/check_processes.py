"""Train five models in 1, 2 and 4 processes, and compare their weights.

    PYTHONPATH=. python scripts/checks/check_processes.py [OVERRIDE ...]

Each is trained for 50 steps without dropout on a small log, on the CPU. Prints the largest
difference of the weights from those of one process, relative to each tensor's largest weight (see
``tests.cli.together.largest_difference``). Exit code 1 when one is above 1e-5.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from tests.cli.flow import write_log
from tests.cli.together import largest_difference, together

from recsys_lab.cli.main import run_command

LARGEST = 1e-5
BASE = [
    "train", "data=table", "data.path=log.csv", "tracking=none", "model.hidden_dim=8",
    "model.max_length=6", "model.dropout=0", "recipe.batch_size=16", "recipe.max_steps=50",
    "recipe.max_epochs=20", "recipe.validate_every_epochs=20", "recipe.patience=null",
]  # fmt: skip
MODELS = {
    "sasrec, softmax": ["model=sasrec", "model.feedforward_dim=8"],
    "sasrec, gbce": ["model=sasrec", "model.feedforward_dim=8", "loss=gbce"],
    "hstu, sampled softmax, mixed": [
        "model=hstu", "loss=sampled_softmax", "loss.sampling=mixed", "loss.num_negatives=8",
    ],
    "bert4rec, softmax": [
        "model=bert4rec", "model.feedforward_dim=8", "model.attention_dropout=0",
    ],
    "tiger": [
        "model=tiger", "model.feedforward_dim=8", "model.num_heads=2", "model.head_dim=4",
        "semantic_ids=random", "semantic_ids.codes=4", "decoding.num_beams=25",
    ],
}  # fmt: skip


def main() -> int:
    """Run the check."""
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    console, worst = Console(stderr=True), 0.0
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        write_log()
        commands = [[*BASE, *options, *sys.argv[1:]] for options in MODELS.values()]
        for number, command in enumerate(commands):
            if run_command([*command, f"run_dir={number}_1"]):
                return 1
        for world in (2, 4):
            together(world, [[*c, f"run_dir={n}_{world}"] for n, c in enumerate(commands)])
            for number, name in enumerate(MODELS):
                change = largest_difference(f"{number}_1", f"{number}_{world}")
                worst = max(worst, change)
                console.print(f"{name}, {world} processes: {change:.1e}", highlight=False)
    return 0 if worst <= LARGEST else 1


if __name__ == "__main__":
    raise SystemExit(main())
