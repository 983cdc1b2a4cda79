"""`recsys-lab serve` under load, under attack, and while models are swapped, on loopback.

    python scripts/benchmark_serving.py [--items 100000] [--seconds 10] [--json FILE]

A SASRec is trained for one epoch on random events and exported (or taken by --run and --export):

- "bare": ONNX Runtime on the export, as it is by default; with --backend run the forward pass,
  product and top-k in torch. Batches of 1 to 64 histories, no HTTP, no ids. The best rate with a
  p99 below 50 ms.
- "server": clients on keep-alive connections ask for one history each, one after the other, with
  next to no work per request. The best rate with a p99 below 50 ms, and its share of the bare rate.
- "hostile": mutated, random and oversized requests: statuses, and the memory before and after.
- "swaps": clients ask while the registry's champion changes again and again: failed requests.

The server is a process of its own. Exit code 1 if there was a 5xx or a failed request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from recsys_lab.files.atomic import write_text
from recsys_lab.pages.table import Table
from serving_clients import LAB, LOAD, P99, Server, ask, attack, load, read_answer, serving


def make_run(folder: Path, items: int, width: int, length: int) -> Path:
    """A trained run on random events."""
    rng = np.random.default_rng(0)
    events = np.concatenate([rng.permutation(items), rng.integers(items, size=items // 2)])
    frame = {"user_id": np.arange(len(events)) // length, "item_id": [f"i{i}" for i in events]}
    pl.DataFrame({**frame, "timestamp": np.arange(len(events))}).write_csv(folder / "log.csv")
    command = [
        "train", "data=table", "data.path=log.csv", f"model.hidden_dim={width}",
        f"model.max_length={length}", "loss=sampled_softmax", "recipe.max_epochs=1",
        "tracking=none", "run_dir=run",
    ]  # fmt: skip
    subprocess.run([*LAB, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


def make_export(run: Path, folder: Path, k: int) -> Path:
    """The run's export."""
    command = ["export", str(run), f"output={folder / 'export'}", f"k={k}"]
    subprocess.run([*LAB, *command], check=True, stdout=subprocess.DEVNULL)
    return folder / "export"


def bare(
    run: Path, export: Path | None, histories: list[list[str]], k: int
) -> dict[int, list[float]]:
    """Seconds of each batch, by its size."""
    rank = _bare_onnx(export, histories) if export else _bare_torch(run, histories, k)
    timings = {}
    for size in (1, 2, 4, 8, 16, 24, 32, 48, 64):
        rank(size)
        seconds: list[float] = []
        while sum(seconds) < 1.0 or len(seconds) < 10:
            start = time.perf_counter()
            rank(size)
            seconds.append(time.perf_counter() - start)
        timings[size] = seconds
    return timings


def _bare_torch(run: Path, histories: list[list[str]], k: int) -> Any:
    import torch

    from recsys_lab.data.batches import EvaluationBatches
    from recsys_lab.data.given_histories import HistoryReader
    from recsys_lab.experiment.restore import restore
    from recsys_lab.runs.find import whole_record

    parts = restore(whole_record(run))
    read = HistoryReader(parts.data, "SASRec", (), reads_times=False)
    batches = {}

    def rank(size: int) -> None:
        if size not in batches:
            (batches[size],) = EvaluationBatches(
                read(histories[:size]), "test", batch_size=size, window=parts.model.window,
                exclude_seen=True,
            )  # fmt: skip
        batch = batches[size]
        with torch.inference_mode():
            scores = parts.model.query_states(batch.history) @ parts.model.item_table().T
            scores[batch.seen_rows, batch.seen_items] = -torch.inf
            scores.topk(k)

    return rank


def _bare_onnx(export: Path, histories: list[list[str]]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        export / "model.onnx", providers=["CPUExecutionProvider"]
    )
    ids = pl.read_parquet(export / "items.parquet")["item_id"].cast(pl.String)
    index = {raw: number for number, raw in enumerate(ids)}
    window = json.loads((export / "manifest.json").read_text())["window"]

    def rank(size: int) -> None:
        seen = np.array([[index[item] for item in history] for history in histories[:size]])
        users = np.full(size, 1 << 30)
        session.run(None, {"items": seen[:, -window:], "seen": seen, "users": users})

    return rank


def best_rate(seconds: dict[int, list[float]]) -> tuple[float, int]:
    """Histories per second at a p99 below the limit, and the size of the batches."""
    rates = {
        size: size * len(s) / sum(s) for size, s in seconds.items() if np.quantile(s, 0.99) < P99
    }
    size = max(rates, key=rates.__getitem__, default=0)
    return rates.get(size, 0.0), size


def promote(registry: Path, run: Path, version: int) -> None:
    """Write a registry, as promotion does."""
    champion = {"run": str(run), "export": None, "version": version, "promoted": "", "decision": ""}
    values = {"schema": 1, "champion": champion, "history": []}
    write_text(registry / "registry.json", json.dumps(values))


async def swap_under_load(
    server: Server, registry: Path, run: Path, bodies: list[bytes], swaps: int
) -> Counter[int]:
    """Statuses while the champion changes."""
    done = False
    asked = asyncio.create_task(ask(server.port, bodies, 4, lambda: not done))
    for version in range(2, swaps + 2):
        promote(registry, run, version)
        present = ""
        while present != str(version):
            await asyncio.sleep(0.2)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /ready HTTP/1.1\r\nHost: here\r\n\r\n")
            present = json.loads((await read_answer(reader))[1])["model_version"]
            writer.close()
    done = True
    return (await asked)[1]


def main() -> None:
    """Run all parts; print a table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--history", type=int, default=50)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load per number of clients")
    parser.add_argument("--hostile", type=int, default=10_000)
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--wait-ms", type=float, default=2.0, help="max_wait_ms of the server")
    parser.add_argument("--run", type=Path, help="a finished SASRec on ids i0, i1, ...")
    parser.add_argument("--export", type=Path, help="its export")
    parser.add_argument("--backend", choices=("export", "run"), default="export")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args, Path(folder))
    print(json.dumps(figures, indent=1))
    if args.json:
        write_text(args.json, json.dumps(figures, indent=1) + "\n")
    raise SystemExit(int(figures["server_errors"] + figures["failed_during_swaps"] > 0))


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    run = (args.run or make_run(folder, args.items, args.width, args.history)).resolve()
    export = None
    if args.backend == "export":
        export = args.export or make_export(run, folder, args.k)
    rng = np.random.default_rng(1)
    histories = [
        [f"i{item}" for item in rng.integers(args.items, size=args.history)] for _ in range(256)
    ]
    bodies = [json.dumps({"histories": [one], "k": args.k}).encode() for one in histories]
    raw, size = best_rate(bare(run, export, histories, args.k))
    options = (f"max_wait_ms={args.wait_ms}",)
    with serving(export or run, *options) as server:
        memory = [server.memory_mib()]
        rows, rate, statuses = load(server, bodies, args.seconds)
        memory.append(server.memory_mib())
        attacked: Counter[int] = Counter()
        for part in (args.hostile // 10, args.hostile - args.hostile // 10):
            attacked += asyncio.run(attack(server.port, bodies[0], part))
            memory.append(server.memory_mib())
    registry = folder / "registry"
    registry.mkdir()
    promote(registry, run, 1)
    with serving(registry, "poll_s=0.1", *options) as server:
        before = server.memory_mib()
        swapped = asyncio.run(swap_under_load(server, registry, run, bodies, args.swaps))
        memory_of_swaps = [before, server.memory_mib()]
    Console().print(Table(f"server, {args.items:,} items", LOAD, rows, right=tuple(range(6))))
    total = statuses + attacked
    return {
        "bare": "onnxruntime" if export else "torch",
        "bare_histories_per_s": round(raw, 1),
        "bare_batch_size": size,
        "server_requests_per_s": round(rate, 1),
        "share": round(rate / raw, 3) if raw else None,
        "statuses_under_load": dict(statuses),
        "statuses_hostile": dict(attacked),
        "server_errors": sum(n for status, n in total.items() if status >= 500),
        "memory_mib_start_load_tenth_of_attack_attack": [round(m, 1) for m in memory],
        "statuses_during_swaps": dict(swapped),
        "failed_during_swaps": sum(n for status, n in swapped.items() if status != 200),
        "memory_mib_before_and_after_swaps": [round(m, 1) for m in memory_of_swaps],
        "cpus": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
