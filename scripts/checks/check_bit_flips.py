"""Flip single bits of a prepared dataset and of runs: none may give other numbers in silence.

    python scripts/checks/check_bit_flips.py [--flips 200] [--seed 0]

A small log is prepared, and three runs are trained on it: a trained model, a fitted one, and one
that is stopped half-way. Then one bit of one file is flipped at a time, in turn through all files,
a command that reads the file is given, the next time another one, and the file is brought back. The
command must refuse the file by its name (exit code 2), or end with the numbers that it gave before:
a prepared dataset that is damaged is made again. Exit code 1 when any command did otherwise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.table import Table

from recsys_lab.cli.main import run_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

USERS, ITEMS, EVENTS = 60, 25, 8
DATA = [
    "data=table", "data.path=log.csv", "data.items_path=items.csv", "data.users_path=users.csv",
    "+data.item_features.kind=categorical", "+data.item_features.price=numeric",
    "+data.item_features.title=text", "+data.user_features.town=categorical",
    "+data.event_features.device=categorical", "tracking=none",
]  # fmt: skip
SASREC = [
    "model.hidden_dim=8", "model.feedforward_dim=8", "model.max_length=6", "recipe.batch_size=16",
    "inputs=side_information", "inputs.features=[kind,price]",
    "inputs.context=[event.device,user.town,time.gap]",
]  # fmt: skip
STOPPED = ["recipe.max_epochs=4", "recipe.patience=null", "recipe.checkpoint_every_steps=1"]
FITTED = ["model=item_knn"]

Outcome = tuple[int, str, str]
"""Exit code, all numbers that the command gave, what it wrote to stderr."""


@dataclass(frozen=True)
class Kind:
    """A file and who reads it.

    Attributes:
        name: for people.
        file: to be damaged.
        commands: what reads it; the name of each in `COMMANDS`.
        folder: brought back as a whole after every command.
    """

    name: str
    file: Path
    commands: tuple[str, ...]
    folder: Path


@dataclass
class Count:
    """How the commands ended."""

    flips: int = 0
    refused: int = 0
    same: int = 0
    other: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def told(*arguments: str) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run_command(arguments)
    return code, out.getvalue(), err.getvalue()


def recorded(folder: str, *arguments: str) -> Outcome:
    """A run's numbers and best weights in place of what its command prints."""
    code, _, err = told("train", *arguments)
    if code:
        return code, "", err
    values = json.loads(Path(folder, "run.json").read_text())
    fields = ("epochs", "best", "validation", "test", "intervals", "fairness", "data")
    weights = Path(folder, "checkpoints/best.safetensors").read_bytes().hex()
    return code, json.dumps([values[name] for name in fields]) + weights, err


def trained() -> Outcome:
    """The numbers of a new run on the prepared dataset."""
    shutil.rmtree("new", ignore_errors=True)
    return recorded("new", *DATA, *SASREC, "recipe.max_epochs=1", "run_dir=new")


def compared() -> Outcome:
    """What `compare` writes for programs."""
    code, out, err = told("compare", "trained", "fitted", "output=table", "resamples=100")
    return code, out + Path("table/comparison.json").read_text() if code == 0 else "", err


def explained() -> Outcome:
    """What `explain` writes for programs."""
    code, out, err = told("explain", "trained", "--user", "u7", "output=why")
    return code, out + Path("why/explanation.json").read_text() if code == 0 else "", err


COMMANDS: Mapping[str, Callable[[], Outcome]] = {
    "train": trained,
    "evaluate": lambda: told("evaluate", "trained"),
    "evaluate a fitted model": lambda: told("evaluate", "fitted"),
    "explain": explained,
    "compare": compared,
    "show": lambda: told("show", "trained"),
    "resume": lambda: recorded("stopped", "resume=stopped"),
}


def write_log() -> None:
    """Users with different items; items and users with columns."""
    chance = random.Random(3)
    rows = [
        (f"u{user}", f"i{item}", 1000 * place + user, chance.choice(["phone", "desk"]))
        for user in range(USERS)
        for place, item in enumerate(chance.sample(range(ITEMS), EVENTS))
    ]
    pl.DataFrame(rows, ["user_id", "item_id", "timestamp", "device"], orient="row").write_csv(
        "log.csv"
    )
    pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(ITEMS)],
            "kind": [f"k{item % 4}" for item in range(ITEMS)],
            "price": [1.5 * item for item in range(ITEMS)],
            "title": [f"thing {item}" for item in range(ITEMS)],
        }
    ).write_csv("items.csv")
    towns = [f"t{user % 3}" for user in range(USERS)]
    names = [f"u{user}" for user in range(USERS)]
    pl.DataFrame({"user_id": names, "town": towns}).write_csv("users.csv")


def stop_at_first_checkpoint(folder: Path) -> None:
    """Ctrl-C, as soon as there is something to resume from."""
    while not (folder / "best.safetensors").exists():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)


def make_runs() -> Path:
    """The runs and the prepared dataset, whose folder is returned."""
    for name, options in (("trained", [*SASREC, "recipe.max_epochs=3"]), ("fitted", FITTED)):
        code, _, err = told("train", *DATA, *options, f"run_dir={name}")
        assert code == 0, err
    watch = threading.Thread(target=stop_at_first_checkpoint, args=[Path("stopped/checkpoints")])
    watch.start()
    code, _, err = told("train", *DATA, *SASREC, *STOPPED, "run_dir=stopped")
    watch.join()
    assert code == 130, err
    return Path(json.loads(Path("trained/run.json").read_text())["data"]["path"])


def kinds(data: Path) -> list[Kind]:
    """All files that a command reads numbers from."""
    trained, fitted, stopped = Path("trained"), Path("fitted"), Path("stopped")
    reads = ("train", "evaluate")
    of_data = [
        Kind(str(file.relative_to(data)), file, reads, data)
        for file in sorted(data.rglob("*"))
        if file.suffix in (".npy", ".parquet", ".json")
    ]
    return [
        *of_data,
        Kind("run.json", trained / "run.json", ("show", "evaluate", "compare"), trained),
        Kind("run.json, stopped", stopped / "run.json", ("resume",), stopped),
        Kind("config.yaml", trained / "config.yaml", ("evaluate", "explain"), trained),
        Kind("config.yaml, stopped", stopped / "config.yaml", ("resume",), stopped),
        Kind("test_users.parquet", trained / "test_users.parquet", ("compare",), trained),
        Kind("slices.parquet", trained / "slices.parquet", ("show",), trained),
        Kind("best.safetensors", trained / "checkpoints/best.safetensors",
             ("evaluate", "explain"), trained),
        Kind("best.safetensors, stopped", stopped / "checkpoints/best.safetensors", ("resume",),
             stopped),
        Kind("epochs.jsonl", stopped / "epochs.jsonl", ("resume",), stopped),
        Kind("model.npz", fitted / "model.npz", ("evaluate a fitted model",), fitted),
        Kind("last.ckpt", stopped / "checkpoints/last.ckpt", ("resume",), stopped),
    ]  # fmt: skip


def flip(file: Path, chance: random.Random) -> str:
    """Change one bit; says which."""
    content = bytearray(file.read_bytes())
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"{file}, byte {place}, bit {bit}"


def check(kind: Kind, count: Count, expected: Mapping[str, str], chance: random.Random) -> None:
    """One flip, and one command that reads the file."""
    name = kind.commands[count.flips % len(kind.commands)]
    count.flips += 1
    where = f"{name}: {flip(kind.file, chance)}"
    code, said, err = COMMANDS[name]()
    if code == 2 and kind.file.name in err and "Traceback" not in err:
        count.refused += 1
    elif code == 0 and said == expected[name]:
        count.same += 1
    elif code == 0:
        count.other.append(where)
    else:
        count.broken.append(f"{where}: exit code {code}: {err[-300:]}")
    bring_back(kind.folder)


def bring_back(folder: Path) -> None:
    """The folder as it was before the flip."""
    shutil.rmtree(folder)
    shutil.copytree(Path("kept") / folder.name, folder)


def main() -> int:
    """Make, flip, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["COLUMNS"] = "200"
    console, chance, begun = Console(), random.Random(options.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        write_log()
        data = make_runs()
        listed = kinds(data)
        for folder in {kind.folder for kind in listed}:
            shutil.copytree(folder, Path("kept") / folder.name)
        expected = {}
        for name in dict.fromkeys(name for kind in listed for name in kind.commands):
            code, expected[name], err = COMMANDS[name]()
            assert code == 0, f"{name}: {err}"
        bring_back(Path("stopped"))
        # A dataset has as many files as the runs twice.
        turns = [*listed, *(kind for kind in listed if kind.folder != data)]
        counts = {kind.name: Count() for kind in listed}
        for number in range(options.flips):
            kind = turns[number % len(turns)]
            check(kind, counts[kind.name], expected, chance)
        os.chdir("/")
    table = Table(title=f"{options.flips} flips of one bit, seed {options.seed}")
    table.add_column("file")
    for heading in ("flips", "refused", "same numbers", "other numbers", "other endings"):
        table.add_column(heading, justify="right")
    found = counts.values()
    for name, one in counts.items():
        cells = (one.flips, one.refused, one.same, len(one.other), len(one.broken))
        table.add_row(name, *map(str, cells))
    table.add_section()
    sums = [sum(c.flips for c in found), sum(c.refused for c in found), sum(c.same for c in found)]
    sums += [sum(len(c.other) for c in found), sum(len(c.broken) for c in found)]
    table.add_row("all", *map(str, sums))
    console.print(table)
    for line in [line for one in found for line in (*one.other, *one.broken)]:
        console.print(line, markup=False, highlight=False)
    console.print(f"{time.monotonic() - begun:.0f} s")
    return 1 if sums[3] or sums[4] else 0


if __name__ == "__main__":
    raise SystemExit(main())
