"""Kill a training run with SIGKILL at random moments, resume it each time, compare bit for bit.

    python scripts/checks/check_resume.py [--kills 5] [--seed 0] [OVERRIDE ...]

Two runs of one config: one is left alone, the other is killed and continued. With
``recipe.devices=2`` a kill hits one of the processes, or all at once. Prints where each
kill fell and compares the final parameters (bytes), the weights of the best epoch, every
epoch's metrics, the test metrics and the per-user file. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch
from rich.console import Console

QUICK = [
    "data.num_users=2000", "recipe.max_epochs=8", "recipe.patience=3", "recipe.batch_size=64",
    "recipe.checkpoint_every_steps=5", "recipe.schedule=cosine", "recipe.gradient_clip=1.0",
]  # fmt: skip


def command(folder: Path, overrides: list[str]) -> list[str]:
    """The same command for the first start and for each continuation."""
    fixed = [f"run_dir={folder}", f"prepared_dir={folder.parent / 'prepared'}", "resume=auto"]
    return [sys.executable, "-m", "recsys_lab", "train", *QUICK, *overrides, *fixed]


def place(folder: Path) -> str:
    """What the last checkpoint knows of the place."""
    path = folder / "checkpoints" / "last.ckpt"
    if not path.exists():
        return "before the first checkpoint"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return f"last checkpoint: epoch {state['epoch'] + 1}, step {state['global_step']}"


def wait_for_progress(
    folder: Path, process: subprocess.Popen[bytes], extra: float, progress: bool
) -> None:
    """Wait for a new checkpoint (or the run's start), then for `extra` seconds more."""
    path = folder / "checkpoints" / "last.ckpt" if progress else folder / "run.json"
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None and not (path.exists() and path.stat().st_mtime_ns > before):
        time.sleep(0.01)
    time.sleep(extra)


def kill(process: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Kill the command, or one of several processes that it started; wait for the others."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = list(map(int, listed.read_text().split())) if listed.exists() else []
    victims = [process.pid, *started]
    if len(started) > 1 and chance.random() < 0.5:
        victims = [chance.choice(started)]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def outcome(folder: Path) -> dict[str, object]:
    """Everything that has to be equal at the end."""
    record = json.loads((folder / "run.json").read_text())
    last = torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    return {
        "final parameters": {k: v.numpy().tobytes() for k, v in last["state_dict"].items()},
        "best weights": (folder / "checkpoints" / "best.safetensors").read_bytes(),
        "epochs": record["epochs"],
        "best epoch": record["best"],
        "test metrics": record["test"],
        "per-user results": (folder / "test_users.parquet").read_bytes(),
    }


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="of recsys-lab train")
    options = parser.parse_args()
    console = Console()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        prepare = command(whole, options.overrides)
        prepare[3] = "prepare"
        subprocess.run(prepare, check=True, capture_output=True)
        begun = time.monotonic()
        subprocess.run(command(whole, options.overrides), check=True, capture_output=True)
        seconds = time.monotonic() - begun
        console.print(f"left alone: {seconds:.1f} s")
        for number in range(options.kills):
            process = subprocess.Popen(
                command(killed, options.overrides),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            # The first kill may fall before any checkpoint; the later ones after some progress.
            wait_for_progress(killed, process, chance.uniform(0, seconds / 8), number > 0)
            ended = process.poll() is not None
            kill(process, chance)
            console.print(f"kill {number + 1}: {'too late, ended' if ended else place(killed)}")
        subprocess.run(command(killed, options.overrides), check=True, capture_output=True)
        mine, reference = outcome(killed), outcome(whole)
    same = {name: mine[name] == reference[name] for name in reference}
    for name, equal in same.items():
        console.print(f"{name}: {'equal' if equal else 'DIFFERENT'}")
    return 0 if all(same.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
