"""The part of a run record that a study keeps: no folders of the machine, one line an epoch.

python scripts/keep_result.py RUN_DIR experiments/STUDY/NAME.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from recsys_lab.files.atomic import write_text
from recsys_lab.runs.record import RunRecord

KEPT = (
    "name", "status", "created", "finished", "seed", "code", "packages", "protocol", "best",
    "validation", "test", "intervals", "parameters", "compute",
)  # fmt: skip
PLACES = ("run_dir", "prepared_dir", "resume")


def kept(record: RunRecord) -> dict[str, Any]:
    """What is worth keeping."""
    values = record.values
    config = {key: value for key, value in values["config"].items() if key not in PLACES}
    if config.get("init_from"):
        config["init_from"] = Path(config["init_from"]).name
    config["data"] = {
        key: Path(value).name if key.endswith("path") and value else value
        for key, value in config["data"].items()
    }
    config["inputs"] = {k: v for k, v in config["inputs"].items() if k != "cache_dir"}
    watched = ("epoch", "train/loss", f"val/{record.main_metric}")
    return {
        **{key: values[key] for key in KEPT if key in values},
        "config": config,
        "data": {key: value for key, value in values["data"].items() if key != "path"},
        "machine": {key: values["machine"][key] for key in ("python", "cpus")},
        "epochs": [{key: row[key] for key in watched if key in row} for row in values["epochs"]],
    }


def main() -> None:
    """Read, trim, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    text = json.dumps(kept(RunRecord.load(options.run)), indent=1)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.file, text + "\n")


if __name__ == "__main__":
    main()
