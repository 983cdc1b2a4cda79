"""The picture in README.md: a comparison of two models as it stands in the terminal.

    python scripts/picture.py [--output docs/compare.svg]

Six runs of some seconds each are trained in a temporary folder and compared; the rows of
`METRICS` and the paired test are drawn with Rich.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

SHOP = ("seed=0,1,2", "data.num_users=500", "data.num_items=100", "tracking=none")
COMMANDS = (
    ("train", "--multirun", "model=popularity", *SHOP, "run_dir=shop/popularity"),
    ("train", "--multirun", "recipe.max_epochs=8", *SHOP, "run_dir=shop/sasrec"),
    ("compare", "shop"),
)
METRICS = ("ndcg@10", "hr@10", "coverage@10", "novelty@10")
WIDTH = 76


def compared(folder: Path) -> list[str]:
    """Lines of the comparison, in colour."""
    environment = {
        **os.environ,
        "COLUMNS": str(WIDTH),
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
    }
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "recsys_lab", *command],
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return done.stdout.splitlines()


def excerpt(lines: list[str]) -> list[str]:
    """The head of the first table, the rows of `METRICS`, and the table of differences."""
    plain = [Text.from_ansi(line).plain for line in lines]
    first_row = next(place for place, line in enumerate(plain) if line.startswith("┡")) + 1
    end = next(place for place, line in enumerate(plain) if line.startswith("└"))
    kept = [*range(first_row)]
    shown = False
    for place in range(first_row, end):
        name = re.match(r"│ (\S*)", plain[place])
        shown = name[1] in METRICS if name and name[1] else shown
        kept += [place] if shown else []
    tests = next(p for p, line in enumerate(plain) if line.startswith("differences in"))
    kept += [
        end,
        *range(tests, next(p for p in range(tests, len(plain)) if plain[p][:1] == "└") + 1),
    ]
    return [lines[place] for place in kept]


def drawn(lines: list[str]) -> str:
    """The lines as an SVG that fetches nothing."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="recsys-lab compare shop", unique_id="compare")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main() -> None:
    """Train, compare, draw."""
    parser = argparse.ArgumentParser(description="Draw the picture in README.md.")
    parser.add_argument("--output", type=Path, default=Path("docs/compare.svg"))
    output = parser.parse_args().output.absolute()
    with tempfile.TemporaryDirectory() as folder:
        lines = compared(Path(folder))
    output.write_text(drawn(["$ recsys-lab compare shop", *excerpt(lines)]), encoding="utf-8")
    print(f"{output}: {output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
