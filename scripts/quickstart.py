"""Train SASRec on the synthetic shop; show it beside popularity and the oracle.

    python scripts/quickstart.py [OVERRIDE ...]

The same as three `recsys-lab train` commands and a look into their run records.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from datetime import datetime
from io import StringIO
from pathlib import Path

from rich.console import Console

from recsys_lab.cli.main import run_command
from recsys_lab.runs.summary_tables import result_table

MODELS = ("popularity", "sasrec", "oracle")


def main() -> int:
    """Run the three and print one table."""
    console = Console()
    folder = Path("runs") / f"quickstart-{datetime.now():%Y%m%d-%H%M%S}"
    columns = {}
    for model in MODELS:
        run = folder / model
        command = ["train", f"model={model}", f"run_dir={run}", *sys.argv[1:]]
        console.print(f"recsys-lab {' '.join(command)}", highlight=False, soft_wrap=True)
        # The baselines take a second each; only SASRec has progress to show.
        with nullcontext() if model == "sasrec" else redirect_stdout(StringIO()):
            code = run_command(command)
        if code:
            return code
        columns[model] = json.loads((run / "run.json").read_text())["test"]
    console.print(result_table(columns, "synthetic_shop, test users"))
    share = columns["sasrec"]["ndcg@10"] / columns["oracle"]["ndcg@10"]
    console.print(
        "The oracle knows the process that made the log: no model can be better on average.\n"
        f"SASRec reaches {share:.0%} of its NDCG@10.",
        highlight=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
