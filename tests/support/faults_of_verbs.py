"""What each verb is given, and what must hold after a fault: shared by the test and the script."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.faults import Fault, Machine

TINY = (
    "data=table", "data.path=log.csv", "model.hidden_dim=8", "model.feedforward_dim=8",
    "model.max_length=6", "recipe.max_epochs=2", "recipe.batch_size=32", "tracking=none",
)  # fmt: skip
COUNTS = ("data=table", "data.path=log.csv", "model=popularity", "tracking=none")
FRESH, DONE = "fresh", "done"
ALLOWED = (0, 1, 2, 130)


@dataclass(frozen=True)
class Verb:
    """A command.

    Attributes:
        arguments: after ``recsys-lab``; the same ones go on after a fault.
        state: what the work is before.
        results: patterns of the files that it makes; their bytes must be equal.
        record: the run whose record must say the same.
        reads: whether it reads finished runs, which may be damaged.
    """

    arguments: tuple[str, ...]
    state: str = FRESH
    results: tuple[str, ...] = ()
    record: str | None = None
    reads: bool = True


_PREPARED = ("prepared/*/*.npy", "prepared/*/*.parquet")
_RUN = ("test_users.parquet", "slices.parquet")
VERBS = {
    "prepare": Verb(("prepare", *TINY[:2]), results=_PREPARED, reads=False),
    "train": Verb(
        ("train", *TINY, "run_dir=run", "resume=auto"),
        results=(*_PREPARED, "run/checkpoints/best.safetensors", *(f"run/{n}" for n in _RUN)),
        record="run",
    ),
    "fit": Verb(
        ("train", *COUNTS, "run_dir=counts", "resume=auto"),
        results=(*_PREPARED, "counts/model.npz", *(f"counts/{n}" for n in _RUN)),
        record="counts",
    ),
    "evaluate": Verb(("evaluate", "run", "output=out"), DONE, ("out/*",)),
    "explain": Verb(("explain", "run", "--user", "u1", "output=out"), DONE, ("out/*",)),
    "compare": Verb(("compare", "run", "counts", "resamples=200", "output=out"), DONE, ("out/*",)),
    "runs": Verb(("runs", "."), DONE),
    "show": Verb(("show", "run", "--card"), DONE, ("run/card.*",)),
}

DAMAGED = (
    "run/run.json", "run/config.yaml", "run/test_users.parquet", "run/slices.parquet",
    "run/checkpoints/best.safetensors", "counts/model.npz", "run/checkpoints/last.ckpt",
    "prepared/*/manifest.json", "prepared/*/items.npy", "prepared/*/items.parquet",
)  # fmt: skip
_OTHER = {
    ".json": b'{"schema_version": 1, "status": 3}', ".yaml": b"- a list\n", ".npy": b"",
    ".npz": b"", ".ckpt": b"", ".safetensors": b"\x02\0\0\0\0\0\0\0{}",
}  # fmt: skip


def _other_kind(path: Path) -> None:
    """A whole file of its form with another content."""
    if path.suffix == ".parquet":
        import polars as pl

        pl.DataFrame({"user": ["x"], "metric": [[1.0]]}).write_parquet(path)
    else:
        path.write_bytes(_OTHER[path.suffix])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


HARM: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size * 2 // 3),
    "empty": lambda path: os.truncate(path, 0),
    "garbage": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "other": _other_kind,
    "gone": lambda path: path.unlink(),
    "a folder": _folder,
    "a pipe": _pipe,
    "a loop": _loop,
}
DAMAGES = [(path, harm) for path in DAMAGED for harm in HARM]


@dataclass(frozen=True)
class Case:
    """What an undisturbed command leaves, and how many file calls it makes."""

    left: dict[str, str]
    calls: int
    writes: int

    @classmethod
    def undisturbed(cls, machine: Machine, verb: Verb, *, counted: bool = True) -> Case:
        """Run it; where they are counted twice: all its calls, and those that write."""
        counts = [0] * (not counted)
        for writes in (False, True)[: 1 + counted]:
            machine.back_to(verb.state)
            ended = machine.run(*verb.arguments, fault=Fault(writes=writes))
            assert ended.code == 0, ended.said
            counts.append(ended.calls)
        return cls(left_by(machine.work, verb), *counts)


def prepared_states(machine: Machine) -> None:
    """The states that verbs begin with."""
    from tests.cli.flow import write_log

    before = Path.cwd()
    os.chdir(machine.work)
    write_log()
    os.chdir(before)
    machine.keep(FRESH)
    for name in ("train", "fit"):
        ended = machine.run(*VERBS[name].arguments)
        assert ended.code == 0, ended.said
    machine.keep(DONE)


def left_by(work: Path, verb: Verb) -> dict[str, str]:
    """Hashes of the results, and what the record says."""
    files = sorted(file for pattern in verb.results for file in work.glob(pattern))
    left = {
        file.relative_to(work).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    if verb.record is not None:
        values = json.loads((work / verb.record / "run.json").read_text())
        wanted = ("status", "epochs", "best", "validation", "test", "intervals", "protocol")
        left |= {name: json.dumps(values.get(name)) for name in wanted}
        left |= {
            name: str((work / verb.record / name).exists()) for name in ("card.md", "card.html")
        }
    return left


def leftovers(work: Path) -> list[str]:
    """Hidden files and folders; the lock of a run stays, and is empty."""
    return sorted(
        path.relative_to(work).as_posix()
        for path in work.rglob(".*")
        if path.name != ".lock" or path.stat().st_size or path.parent.parent != work
    )


def problems(machine: Machine, verb: Verb, fault: Fault, whole: Case) -> list[str]:
    """What is wrong with how a verb takes a fault and goes on after it."""
    machine.back_to(verb.state)
    ended = machine.run(*verb.arguments, fault=fault)
    found = told_well(ended.code, ended.said, killed=fault.signal)
    again = machine.run(*verb.arguments)
    if again.code != 0:
        return [*found, f"lost: again ends with {again.code}: {again.said[-600:]}"]
    left = left_by(machine.work, verb)
    differing = [name for name in whole.left | left if whole.left.get(name) != left.get(name)]
    if differing:
        found.append(f"lost: {', '.join(differing)} differ")
    if leftovers(machine.work):
        found.append(f"leftover: {', '.join(leftovers(machine.work))}")
    return found


def problems_of_damage(machine: Machine, verb: Verb, pattern: str, harm: str) -> list[str]:
    """What is wrong with how a verb takes a damaged file."""
    machine.back_to(DONE if verb.reads else verb.state)
    files = list(machine.work.glob(pattern))
    if not files:
        return []
    shutil.rmtree(machine.work / "out", ignore_errors=True)
    if verb.record is not None and (machine.work / verb.record / "run.json").exists():
        _unfinish(machine.work / verb.record / "run.json")
    HARM[harm](files[0])
    ended = machine.run(*verb.arguments, limit=60)
    return told_well(ended.code, ended.said)


def _unfinish(path: Path) -> None:
    """As if the run had been stopped before its test, so that there is something to go on with."""
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "status": "interrupted"}))


def told_well(code: int, said: str, killed: int | None = None) -> list[str]:
    """What is wrong with an ending."""
    found = []
    if "Traceback" in said:
        found.append(f"traceback: {said[-900:]}")
    if code not in ALLOWED and code != -(killed or 0):
        found.append(f"exit code: {code}: {said[-600:]}")
    elif code > 0 and not said.strip():
        found.append(f"exit code: {code} without a word")
    return found
