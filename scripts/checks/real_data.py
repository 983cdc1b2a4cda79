"""Prepare four real datasets as their users have them, train a small SASRec one epoch on each.

    python scripts/checks/real_data.py --data FOLDER [--output FOLDER]

FOLDER holds online-retail/online_retail.parquet (UCI, with its missing customers, returns and
repeated lines), ml-100k/ (RecBole's atomic files), amazon-2014/Beauty.txt and Toys_and_Games.txt
(one user a line), and ml-1m/interactions.parquet with items.parquet.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from recsys_lab.cli.main import run_command

MOVIES = ["data.timestamp_column=null", "data.order_column=position", "data.title_column=title",
          "+data.item_features.genres=list"]  # fmt: skip
SOURCES = {
    "online_retail": ("online_retail", "online-retail/online_retail.parquet", []),
    "ml-100k": ("recbole", "ml-100k", []),
    "Beauty": ("sequences", "amazon-2014/Beauty.txt", []),
    "Toys": ("sequences", "amazon-2014/Toys_and_Games.txt", []),
    "ml-1m": ("table", "ml-1m/interactions.parquet", MOVIES),
}
"""Name -> choice of ``data=``, place below the folder, and options."""

SMALL = ["model=sasrec", "model.hidden_dim=32", "model.num_layers=1", "model.num_heads=1",
         "model.feedforward_dim=64", "model.max_length=20", "recipe.max_epochs=1",
         "tracking=none"]  # fmt: skip


def command(name: str, data: Path, output: Path) -> list[str]:
    """The command line that prepares and trains one dataset."""
    choice, place, options = SOURCES[name]
    items = [f"data.items_path={data / 'ml-1m/items.parquet'}"] if choice == "table" else []
    where = [f"prepared_dir={output / 'prepared'}", f"run_dir={output / name}"]
    return [
        "train",
        f"data={choice}",
        f"data.path={data / place}",
        *options,
        *items,
        *SMALL,
        *where,
    ]


def row(name: str, output: Path, seconds: float) -> list[str]:
    """What the run's record and the prepared dataset say.

    Raises:
        SystemExit: when the record or the card is not as it must be.
    """
    record = json.loads((output / name / "run.json").read_text())
    found = record["data"]
    card = Path(found["path"]) / "card.html"
    if not card.is_file() or len(record["epochs"]) != 1:
        raise SystemExit(f"{name}: no card, or not one epoch, in {output}")
    counts = [f"{found[f'num_{what}']:,}" for what in ("users", "items", "interactions")]
    score = record["epochs"][-1]["val/ndcg@10"]
    return [
        name,
        *counts,
        f"{seconds:.0f}",
        f"{score:.4f}",
        str(card.relative_to(output.resolve())),
    ]


def main() -> int:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the four datasets")
    parser.add_argument("--output", type=Path, help="default: a new folder below runs/")
    arguments = parser.parse_args()
    output = arguments.output or Path("runs") / f"real-data-{datetime.now():%Y%m%d-%H%M%S}"
    console = Console()
    table = Table(title=f"one epoch of a small SASRec; cards below {output}", title_justify="left")
    for heading in ("data", "users", "items", "interactions", "s", "val ndcg@10", "card"):
        left = heading in ("data", "card")
        table.add_column(
            heading, justify="left" if left else "right", no_wrap=heading != "card", overflow="fold"
        )
    for name in SOURCES:
        words = command(name, arguments.data, output)
        console.print(f"recsys-lab {' '.join(words)}", highlight=False, soft_wrap=True)
        began = time.perf_counter()
        code = run_command(words)
        if code:
            return code
        table.add_row(*row(name, output, time.perf_counter() - began))
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
