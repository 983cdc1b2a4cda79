"""`recsys-lab recommend` against the bare matrix product and top-k, its memory, and five kills.

    python scripts/benchmark_recommend.py --users 1e6 --items 1e5 [--json FILE]

The data are a synthetic log, prepared as usual; the model has random weights, as if its training
had ended. "bare" is ``(states @ table.T).topk(k)`` for batches of as many users as the command
ranks at once; "encoder" makes the states of the same batches from histories. Both are measured on
some batches before and after the command, which ranks for all users, in a process of its own. Then
the command is killed by SIGKILL five times, and its rows are compared with the undisturbed ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


def options(given: argparse.Namespace) -> list[str]:
    """The config of the run."""
    return [
        "data=table",
        f"data.path={given.folder / 'log.parquet'}",
        f"data.items_path={given.folder / 'items.parquet'}",
        f"model.hidden_dim={given.width}",
        f"model.feedforward_dim={given.width}",
        f"model.num_layers={given.layers}",
        f"model.max_length={given.history}",
        "tracking=none",
        f"prepared_dir={given.folder / 'prepared'}",
        f"run_dir={given.folder / 'run'}",
    ]


def make(given: argparse.Namespace) -> None:
    """The log, the prepared dataset, and a finished run with random weights."""
    import numpy as np
    from hydra import compose, initialize_config_dir
    from safetensors.torch import save_file

    from recsys_lab.config import config_dir
    from recsys_lab.experiment.components import Components
    from recsys_lab.experiment.identity import begin
    from recsys_lab.experiment.prepare import prepare_from
    from recsys_lab.experiment.restore import restore
    from recsys_lab.experiment.run_folder import open_record
    from recsys_lab.runs.record import WEIGHTS

    rng = np.random.default_rng(1)
    number = given.users * given.history
    items = (given.items * rng.random(number, dtype=np.float32) ** 2).astype(np.int32)
    items[: given.items] = np.arange(given.items)  # each at least once
    pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(given.users, dtype=np.int32), given.history),
            "item_id": items,
            "timestamp": np.tile(np.arange(given.history) * 3600 + 10**9, given.users),
        }
    ).write_parquet(given.folder / "log.parquet")
    numbers = pl.DataFrame({"item_id": np.arange(given.items, dtype=np.int32)})
    titles = pl.format("A thing of the shop, number {}", "item_id")
    numbers.with_columns(title=titles).write_parquet(given.folder / "items.parquet")
    with initialize_config_dir(str(config_dir()), version_base=None):
        cfg = compose("train", overrides=options(given))
    parts = Components(cfg, restore)
    parts.attach(prepare_from(cfg))
    folder = given.folder / "run"
    record = open_record(cfg, folder)
    begin(parts, record, __name__)
    (folder / WEIGHTS).parent.mkdir(parents=True)
    save_file(parts.model.state_dict(), folder / WEIGHTS)
    record.note_files(WEIGHTS, status="finished")


def bare(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of the product and top-k, and of the encoder, per user."""
    import torch

    import recsys_lab

    run = recsys_lab.load(given.folder / "run", verify="sizes")
    ranker = run.ranker
    size, table_VD = ranker.users_at_once, run.model.item_table().detach()
    firsts = [n % max(1, given.users - size) for n in range(0, given.batches * size, size)]
    states_BD = torch.randn(size, given.width)
    spent = {"bare": 0.0, "encoder": 0.0}
    with torch.inference_mode():
        for first in firsts:
            batch = next(
                ranker._moved(
                    ranker.read.of_users(pl.arange(first, first + size, eager=True).to_numpy())
                )
            )
            begun = time.perf_counter()
            run.model.query_states(batch.history)
            spent["encoder"] += time.perf_counter() - begun
            begun = time.perf_counter()
            (states_BD @ table_VD.T).topk(given.k)
            spent["bare"] += time.perf_counter() - begun
    return {name: seconds / (size * len(firsts)) for name, seconds in spent.items()}


def command(given: argparse.Namespace, output: str) -> list[str]:
    """The command line of the job."""
    return [
        *(sys.executable, "-m", "recsys_lab", "recommend", str(given.folder / "run")),
        *(f"output={given.folder / output}", f"k={given.k}", f"shard_users={given.shard_users}"),
        "verify=sizes",
    ]


def watched(arguments: list[str], stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
    """Run a process to its end, or kill it; its seconds and peak memory."""
    begun, peak = time.monotonic(), 0.0
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, *(int(li.split()[1]) for li in status.splitlines() if "VmHWM" in li))
        except (OSError, TypeError):
            pass
        if stop():
            process.send_signal(signal.SIGKILL)
            process.wait()
            return {"killed": 1}
        time.sleep(0.02)
    assert process.returncode == 0, f"exit code {process.returncode}"
    return {"seconds": time.monotonic() - begun, "peak_mebibytes": peak / 2**10}


def parts_of(folder: Path) -> dict[str, int]:
    """The finished parts, with their inodes."""
    return {file.name: file.stat().st_ino for file in folder.glob("part-*.parquet")}


def kill(given: argparse.Namespace, parts: int, seconds_per_part: float) -> dict[str, Any]:
    """Kill the job several times, and compare its rows with the undisturbed ones."""
    folder, rng, again, kills = given.folder / "killed", random.Random(2), 0, 0
    for number in range(given.kills):
        done = parts_of(folder)
        wanted = max(len(done), parts * number // (given.kills + 1))
        moment: list[float] = []

        def stop(wanted: int = wanted, moment: list[float] = moment) -> bool:
            if len(parts_of(folder)) >= wanted and list(folder.glob(".part-*.tmp")) and not moment:
                moment.append(time.monotonic() + rng.random() * seconds_per_part)
            return bool(moment) and time.monotonic() > moment[0]

        kills += "killed" in watched(command(given, "killed"), stop)
        now = parts_of(folder)
        again += sum(now.get(name) != inode for name, inode in done.items())
    done = parts_of(folder)
    watched(command(given, "killed"))
    now = parts_of(folder)
    again += sum(now.get(name) != inode for name, inode in done.items())
    whole = given.folder / "whole"
    equal = sorted(now) == sorted(parts_of(whole)) and all(
        pl.read_parquet(whole / name).equals(pl.read_parquet(folder / name)) for name in now
    )
    return {"kills": kills, "parts_made_twice": again, "rows_equal": equal}


def in_process(given: argparse.Namespace, only: str) -> Any:
    """A step in a process of its own, so that this one stays small."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--only", only, "--folder", str(given.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    whole = {"type": lambda text: int(float(text))}
    for name, default in (
        ("users", 1e6), ("items", 1e5), ("history", 20), ("width", 64), ("layers", 1), ("k", 20),
        ("batches", 100), ("shard-users", 50_000), ("kills", 5),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", default=int(default), **whole)  # type: ignore[arg-type]
    parser.add_argument("--folder", type=Path, default=Path("benchmark_recommend"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep the folder of the data")
    parser.add_argument("--only", choices=("make", "bare"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder = given.folder.absolute()
    if given.only:
        print(json.dumps({"make": make, "bare": bare}[given.only](given)))
        return
    os.environ.setdefault("PYTHONPATH", str(ROOT / "src"))
    if not (given.folder / "run" / "run.json").exists():
        given.folder.mkdir(parents=True, exist_ok=True)
        in_process(given, "make")
    for name in ("whole", "killed"):
        shutil.rmtree(given.folder / name, ignore_errors=True)
    before = in_process(given, "bare")
    job = watched(command(given, "whole"))
    after = in_process(given, "bare")
    manifest = json.loads((given.folder / "whole" / "manifest.json").read_text())
    per_user = {name: mean((before[name], after[name])) for name in before}
    rates = {
        "bare product and top-k": 1 / per_user["bare"],
        "the same with the encoder": 1 / (per_user["bare"] + per_user["encoder"]),
        "recsys-lab recommend": given.users / manifest["seconds"],
    }
    parts = len(manifest["parts"])
    killed = kill(given, parts, manifest["seconds"] / parts) if given.kills else {}
    table = Table(
        title=f"{given.users:,} users x {given.items:,} items, width {given.width}, top {given.k}, "
        f"{manifest['settings']['users_at_once']} users at once, {parts} parts",
        title_justify="left",
    )
    for name in ("", "users/s", "share of bare"):
        table.add_column(name, justify="left" if not name else "right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates['bare product and top-k']:.0%}")
    console = Console()
    console.print(table)
    console.print(
        f"peak memory {job['peak_mebibytes']:,.0f} MiB; {job['seconds']:.0f} s with start; "
        f"{manifest['counts']['rows']:,} rows; {killed}"
    )
    if given.json:
        measured = {"rates": rates, "job": job, "killed": killed, "counts": manifest["counts"]}
        given.json.write_text(json.dumps({**vars(given), **measured}, indent=2, default=str))
    if not given.keep:
        shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()
