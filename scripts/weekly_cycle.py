"""A shop's week: train, recommend, export, serve; then newer data: drift, retrain, promote, swap.

    python scripts/weekly_cycle.py online_retail.parquet [--folder weekly] [OVERRIDE ...]

The log is UCI Online Retail, cut at ``--cut``: the first model knows what came before. A server
follows the registry and is asked all the time; when the retrained run is promoted, it changes its
model without a failed request. A run that was spoiled on purpose is refused. Each step is a command
that is printed; their times and outcomes are one table at the end, and ``weekly.json`` in the
folder.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import polars as pl
from rich.console import Console
from rich.table import Table

SERVER_STARTS = 120.0
"""Seconds that the server has to load its model, and to change to another one."""


@dataclass
class Cycle:
    """Runs the commands in one folder, and notes what they took.

    Attributes:
        folder: everything is written here.
        steps: name, seconds and outcome of each step.
    """

    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run a verb, print its output, and return it.

        Raises:
            SystemExit: its exit code is not the expected one.
        """
        print(f"$ recsys-lab {' '.join(arguments)}", flush=True)
        begun = time.monotonic()
        command = [sys.executable, "-m", "recsys_lab", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        print(done.stdout, flush=True)
        if done.returncode != expect:
            print(done.stderr, file=sys.stderr)
            raise SystemExit(
                f"{arguments[0]}: exit code {done.returncode}, expected {expect}: see above"
            )
        self.note(arguments[0], time.monotonic() - begun, f"exit code {done.returncode}")
        return done.stdout

    def note(self, step: str, seconds: float, outcome: str) -> None:
        """Add a row to the table."""
        self.steps.append({"step": step, "seconds": round(seconds, 1), "outcome": outcome})


class Client:
    """Asks the server for lists, again and again, in a thread.

    Args:
        url: of the server.
        histories: of each request.

    Attributes:
        answered: number of answers by model version.
        failed: requests without an answer, or with another status than 200.
    """

    def __init__(self, url: str, histories: list[list[str]]) -> None:
        body = json.dumps({"histories": histories, "k": 10}).encode()
        self._request = Request(f"{url}/recommend", body, {"Content-Type": "application/json"})
        self.answered: dict[str, int] = {}
        self.failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Client:
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()

    def await_other_than(self, version: str) -> str:
        """Wait for an answer of another model; its version.

        Raises:
            SystemExit: there is none in time.
        """
        end = time.monotonic() + SERVER_STARTS
        while time.monotonic() < end:
            others = [name for name in list(self.answered) if name != version]
            if others:
                return others[0]
            time.sleep(0.1)
        raise SystemExit(f"the server did not change its model within {SERVER_STARTS:.0f} s")

    def _ask(self) -> None:
        while not self._stop.wait(0.02):
            try:
                with urlopen(self._request, timeout=30) as answer:
                    version = json.load(answer)["model_version"]
            except (URLError, TimeoutError, ConnectionError):
                self.failed += 1
            else:
                self.answered[version] = self.answered.get(version, 0) + 1


@contextmanager
def server(folder: Path, registry: str) -> Iterator[str]:
    """A server of the registry's champion, until the block ends; yields its address.

    Raises:
        SystemExit: it does not start.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "recsys_lab", "serve", registry, f"port={port}"]
    print(f"$ recsys-lab serve {registry} port={port} &", flush=True)
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _await_ready(process, f"http://127.0.0.1:{port}", folder / "serve.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + SERVER_STARTS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"{url}/ready", timeout=5):
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def cut_log(source: Path, cut: datetime, folder: Path) -> None:
    """Write ``old.parquet``, the events before the cut, and ``new.parquet``, all of them."""
    log = pl.read_parquet(source)
    log.filter(pl.col("InvoiceDate") < cut).write_parquet(folder / "old.parquet")
    log.write_parquet(folder / "new.parquet")


def cycle(source: Path, folder: Path, cut: datetime, options: Sequence[str]) -> dict[str, Any]:
    """Run all steps; a summary.

    Args:
        source: the log.
        folder: a new folder.
        cut: the first model knows what was before.
        options: of the training.
    """
    os.makedirs(folder)
    cut_log(source, cut, folder)
    week = Cycle(folder)
    data = ["data=online_retail", "filter.drop_duplicates=true", "tracking=none"]
    week.run("train", *data, "data.path=old.parquet", "run_dir=first", *options)
    week.run("recommend", "first", "output=lists")
    week.run("export", "first", "output=exported")
    week.run("promote", "first")
    histories = _histories(folder / "lists")
    with server(folder, "registry") as url, Client(url, histories) as client:
        first = client.await_other_than("")
        text = week.run("prepare", *data, "data.path=new.parquet")
        newer = text.split("prepared dataset: ")[1].split()[0]
        week.run("drift", "first", newer, "days=28", "run=first", "output=drift", expect=3)
        week.run("retrain", "first", "data.path=new.parquet", "warm=true", "run_dir=second")
        week.run("promote", "second")
        begun = time.monotonic()
        second = client.await_other_than(first)
        week.note("swap", time.monotonic() - begun, f"{first} -> {second}")
        spoiled = ["recipe.max_epochs=1", "recipe.learning_rate=1e-6", "run_dir=spoiled"]
        week.run("retrain", "second", "force=true", *spoiled)
        week.run("promote", "spoiled", expect=3)
    return {"steps": week.steps, "answered": client.answered, "failed_requests": client.failed}


def _histories(lists: Path) -> list[list[str]]:
    """Histories to ask for: the lists of some customers, whose items the models know."""
    table = pl.read_parquet(sorted(lists.glob("part-*.parquet"))[0])
    listed = table.group_by("user_id", maintain_order=True).agg("item_id").head(4)
    histories: list[list[str]] = listed["item_id"].to_list()
    return histories


def main() -> None:
    """Run the cycle and print its table."""
    parser = argparse.ArgumentParser(description="A shop's week on Online Retail.")
    parser.add_argument("log", type=Path, help="UCI Online Retail as Parquet")
    parser.add_argument("--folder", type=Path, default=Path("weekly"), help="a new folder")
    parser.add_argument("--cut", type=datetime.fromisoformat, default=datetime(2011, 11, 9))
    parser.add_argument(
        "options", nargs="*", default=["recipe.max_epochs=10"], help="overrides of the training"
    )
    args = parser.parse_args()
    begun = time.monotonic()
    summary = cycle(args.log.resolve(), args.folder, args.cut, args.options)
    summary["seconds"] = round(time.monotonic() - begun, 1)
    (args.folder / "weekly.json").write_text(json.dumps(summary, indent=1) + "\n")
    table = Table("step", "seconds", "outcome", title=f"{summary['seconds']} s in all")
    for step in summary["steps"]:
        table.add_row(step["step"], str(step["seconds"]), step["outcome"])
    Console().print(table)
    answers = ", ".join(f"{name}: {count}" for name, count in summary["answered"].items())
    print(f"answered requests by model: {answers}; failed: {summary['failed_requests']}")


if __name__ == "__main__":
    main()
