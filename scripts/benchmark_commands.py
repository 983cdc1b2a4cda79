"""Seconds of commands that only answer: help, a wrong config, the list of datasets.

    python scripts/benchmark_commands.py

The median of five fresh processes each, the first left out; run it on a quiet machine.
"""

import subprocess
import sys
import tempfile
import time
from statistics import median

from rich.console import Console
from rich.table import Table

COMMANDS = (
    ["--help"],
    ["train", "--help"],
    ["train", "model.num_layer=3", "recipe.learning_rate=fast", "data.pth=x"],
    ["datasets"],
)


def seconds(arguments: list[str]) -> float:
    """Of one fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "recsys_lab", *arguments],
            cwd=folder, capture_output=True, check=False,
        )  # fmt: skip
        return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    table = Table("command", "seconds")
    for arguments in COMMANDS:
        taken = [seconds(arguments) for _ in range(6)][1:]
        table.add_row(" ".join(["recsys-lab", *arguments]), f"{median(taken):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
