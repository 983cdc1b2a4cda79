"""Sweeps of ten trials under faults: the budget must come out exact, whatever happens.

    python scripts/checks/check_sweep_faults.py [--only disk data deaths clocks storage]
        [--away 180]

Sweeps are real, of a small model. The faults: a full disk (a file system of its own where this
process may mount one, else a limit on the size of files); the dataset removed and brought back; two
trials that kill their process; two more machines with clocks two hours off; the database away for
three minutes (needs PostgreSQL). A fault that stops a sweep may cost a second command.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from recsys_lab.sweeps.space import identity
from recsys_lab.sweeps.storage.attributes import CAUSE
from recsys_lab.sweeps.storage.backends import open_storage

ROOT = Path(__file__).parents[2]
TRIALS = 10
MODEL = """
import os, signal, time
from recsys_lab.models.classical.popularity import Popularity

class Slow(Popularity):
    def fit(self, data):
        time.sleep(1)
        if str(int(self.config.window_days)) in os.environ.get("KILLERS", "").split():
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(data)
"""
CONFIG = "_target_: slow_model.Slow\nwindow_days: null\ncategory_feature: null\n"
MACHINE = """
import os, socket, time
_real, _skew = time.time, float(os.environ.get("SKEW", "0"))
if _skew:
    time.time = lambda: _real() + _skew
    socket.gethostname = lambda: f"skewed{_skew:.0f}"
"""


@dataclass
class Sweep:
    """A sweep in a folder of its own.

    Attributes:
        folder: where it works.
        storage: of the study.
        environment: of its commands, besides this process's.
        given: how many commands were given.
        failed_to: what did not go as it must.
    """

    folder: Path
    storage: str = "sweeps/faults/study.journal"
    environment: dict[str, str] = field(default_factory=dict)
    given: int = 0
    failed_to: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "conf/model").mkdir(parents=True)
        (self.folder / "slow_model.py").write_text(MODEL)
        (self.folder / "conf/model/slow.yaml").write_text(CONFIG)
        (self.folder / "machine").mkdir()
        (self.folder / "machine/sitecustomize.py").write_text(MACHINE)
        drawn = random.Random(0)
        rows = [
            f"u{user},i{item},{1000 * place + user}"
            for user in range(60)
            for place, item in enumerate(drawn.sample(range(25), 8))
        ]
        text = "user_id,item_id,timestamp\n" + "\n".join(rows) + "\n"
        (self.folder / "log.csv").write_text(text)

    def begin(self, file_size: int | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """Give the command, with a limit on the bytes of files, and variables of its own."""
        self.given += 1
        days = ",".join(map(str, range(1, TRIALS + 1)))
        command = [
            sys.executable, "-m", "recsys_lab", "sweep", "--config-dir", "conf", "model=slow",
            "data=table", "data.path=log.csv", "tracking=none", "sweep.name=faults",
            f"search.params.model.window_days=choice({days})", f"sweep.n_trials={TRIALS}",
            "sweep.pruner=none", "sweep.sampler=grid", "sweep.workers=2",
            f"sweep.storage={self.storage}",
        ]  # fmt: skip
        paths = [str(self.folder / "machine"), str(self.folder), *sys.path]
        own = {
            "PYTHONPATH": os.pathsep.join(paths), "RECSYS_LAB_ALLOWED_TARGETS": "slow_model",
            **self.environment, **environment,
        }  # fmt: skip

        def limited() -> None:
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        log = (self.folder / f"command{self.given}.log").open("wb")
        return subprocess.Popen(
            command, cwd=self.folder, env={**os.environ, **own}, stdout=log, stderr=log,
            preexec_fn=limited,
        )  # fmt: skip

    def until_ended(self, number: int) -> None:
        """Wait until so many trials have left their record."""
        until = time.monotonic() + 300
        while len(self.records()) < number and time.monotonic() < until:
            time.sleep(0.1)

    def records(self) -> list[Path]:
        """Run directories in which a trial came to its end."""
        files = self.folder.glob("sweeps/faults/trials/*/run.json")
        return [file.parent for file in files if '"status": "finished"' in file.read_text()]

    def expect(self, process: subprocess.Popen[bytes], code: int, said: str = "") -> None:
        """Wait for a command; note where it ends otherwise, or does not say something."""
        given = self.given
        got = process.wait()
        text = (self.folder / f"command{given}.log").read_text(errors="replace")
        if got != code or said not in " ".join(text.split()) or "Traceback" in text:
            self.failed_to.append(f"command {given}: exit {got}, not {code}: {text[-600:]}")


@dataclass
class Found:
    """What a sweep left."""

    complete: int
    failed: int
    causes: str
    duplicates: int


def disk(sweep: Sweep, options: argparse.Namespace) -> Found:
    """The disk is full for a while."""
    del options
    small = sweep.folder / "sweeps"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        sweep.expect(sweep.begin(file_size=12_000), 1, "make room there")
        sweep.expect(sweep.begin(), 0)
        return judge(sweep)
    process = sweep.begin()
    sweep.until_ended(3)
    ballast = small / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while process.poll() is None:  # again and again: what the sweep removes makes room
            with contextlib.suppress(OSError):
                file.write(bytes(4096))
            time.sleep(0.001)
    sweep.expect(process, 1, "make room there, then give the same command again")
    ballast.unlink()
    sweep.expect(sweep.begin(), 0)
    return judge(sweep)


def data(sweep: Sweep, options: argparse.Namespace) -> Found:
    """The dataset is removed, with its source, and brought back."""
    del options
    process = sweep.begin()
    sweep.until_ended(3)
    for name in ("prepared", "log.csv"):
        (sweep.folder / name).rename(sweep.folder / f"{name}.away")
    sweep.expect(process, 1, "the prepared dataset of all trials is damaged")
    for name in ("prepared", "log.csv"):
        (sweep.folder / f"{name}.away").rename(sweep.folder / name)
    sweep.expect(sweep.begin(), 0)
    return judge(sweep)


def deaths(sweep: Sweep, options: argparse.Namespace) -> Found:
    """Two trials kill their process each time."""
    del options
    sweep.environment["KILLERS"] = "3 7"
    sweep.expect(sweep.begin(), 0)
    causes = [trial.user_attrs[CAUSE] for trial in trials_of(sweep) if trial.state.name == "FAIL"]
    if causes != ["its process was killed by SIGKILL 3 times; out of memory?"] * 2:
        sweep.failed_to.append(f"causes: {causes}")
    return judge(sweep)


def clocks(sweep: Sweep, options: argparse.Namespace) -> Found:
    """Three machines at once, of which one is two hours late and one two hours early."""
    del options
    processes = [sweep.begin(SKEW=skew) for skew in ("-7200", "0", "7200")]
    codes = [process.wait() for process in processes]
    if codes != [0, 0, 0]:
        sweep.failed_to.append(f"exit codes {codes}")
    return judge(sweep)


def storage(sweep: Sweep, options: argparse.Namespace) -> Found:
    """The database is away for a while."""
    sys.path.insert(0, str(ROOT))
    postgres, proxies = map(
        importlib.import_module, ("tests.support.postgres", "tests.support.proxy")
    )
    with (
        tempfile.TemporaryDirectory() as name,
        postgres.postgres_server(Path(name)) as port,
        contextlib.closing(proxies.Proxy(port)) as proxy,
    ):
        password = quote_plus(postgres.PASSWORD)
        sweep.storage = f"postgresql://{postgres.USER}:{password}@127.0.0.1:{proxy.port}/postgres"
        process = sweep.begin()
        sweep.until_ended(3)
        proxy.away = True
        time.sleep(options.away)
        proxy.away = False
        sweep.expect(process, 0, "the study's storage has not answered")
        return judge(sweep)


def trials_of(sweep: Sweep) -> list[FrozenTrial]:
    """All trials of a sweep."""
    import optuna

    here = Path.cwd()
    os.chdir(sweep.folder)
    try:
        return optuna.load_study(study_name="faults", storage=open_storage(sweep.storage)).trials
    finally:
        os.chdir(here)


def judge(sweep: Sweep) -> Found:
    """Count, and note what is wrong with the budget."""
    trials = trials_of(sweep)
    states = [trial.state.name for trial in trials]
    causes = sorted({str(t.user_attrs.get(CAUSE)) for t in trials if t.state.name == "FAIL"})
    ended = {folder.name for folder in sweep.records()}
    complete = {f"{t.number:04d}" for t in trials if t.state.name == "COMPLETE"}
    found = Found(
        complete=states.count("COMPLETE"), failed=states.count("FAIL"), causes="; ".join(causes),
        duplicates=len(trials) - len({identity(trial.params) for trial in trials}),
    )  # fmt: skip
    allowed = 2 if "KILLERS" in sweep.environment else 0
    if (found.complete, found.failed, found.duplicates) != (TRIALS - allowed, allowed, 0):
        sweep.failed_to.append(f"trials: {states}, {found.duplicates} points twice; {causes}")
    if ended != complete:
        sweep.failed_to.append(f"run directories {sorted(ended)} for trials {sorted(complete)}")
    return found


SCENARIOS: dict[str, Callable[[Sweep, argparse.Namespace], Found]] = {
    "disk": disk, "data": data, "deaths": deaths, "clocks": clocks, "storage": storage,
}  # fmt: skip


def main() -> None:
    """Run the scenarios, print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--away", type=float, default=180.0, help="seconds without the database")
    options = parser.parse_args()
    table = Table(title=f"sweeps of {TRIALS} trials under faults", title_justify="left")
    for name in ("scenario", "commands", "complete", "failed", "causes", "points twice", "seconds"):
        table.add_column(name)
    wrong = []
    for name in options.only:
        scenario = SCENARIOS[name]
        folder = Path(tempfile.mkdtemp())
        begun = time.monotonic()
        try:
            sweep = Sweep(folder)
            found = scenario(sweep, options)
            table.add_row(
                (scenario.__doc__ or name).strip("."), str(sweep.given), str(found.complete),
                str(found.failed), found.causes, str(found.duplicates),
                f"{time.monotonic() - begun:.0f}",
            )  # fmt: skip
            wrong += [f"{name}: {text}" for text in sweep.failed_to]
        finally:
            subprocess.run(["umount", str(folder / "sweeps")], capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)
    console = Console()
    console.print(table, *wrong, sep="\n", markup=False)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
