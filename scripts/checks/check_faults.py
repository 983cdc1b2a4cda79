"""Meet every verb with faults of the machine, and see that nothing is lost.

    python -m scripts.checks.check_faults [--calls 12] [--verb train ...]

Each verb is given with a full disk, a read-only one, without permission, with errors of the disk
and with SIGKILL, SIGTERM and SIGINT at file calls that are spread over all that it makes; then
with damaged files of every kind. It must end without a traceback, and the same command without the
fault must end well, leave the bytes of a run that nothing happened to, and no leftovers. Needs root
on Linux: it mounts a small file system of its own. Exit code 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import errno
import signal
import time
from collections import defaultdict
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from tests.support.faults import Fault, Machine
from tests.support.faults_of_verbs import (
    DAMAGES,
    VERBS,
    Case,
    prepared_states,
    problems,
    problems_of_damage,
)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def faults(calls: int, writes: int, samples: int) -> Iterator[tuple[str, Fault]]:
    """Each kind at places spread over all calls of the verb."""
    for room in (0, 8, 24, 48, 96):
        yield "disk full, in earnest", Fault(room=room)
    yield "read-only", Fault(read_only=True)
    yield "another user's", Fault(nobody=True)
    for at in _spread(writes, samples):
        yield "disk full", Fault(errno=errno.ENOSPC, at=at, writes=True)
    for at in _spread(calls, samples):
        yield "disk broken", Fault(errno=errno.EIO, at=at)
        yield "permission lost", Fault(errno=errno.EACCES, at=at)
    for number in SIGNALS:
        for at in _spread(calls, samples):
            yield signal.Signals(number).name, Fault(signal=number, at=at)


def _spread(count: int, samples: int) -> list[int]:
    step = max(1, count // max(1, samples))
    return list(range(1, count + 1, step))


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=12, help="places a kind of fault and a verb")
    parser.add_argument("--verb", nargs="*", default=list(VERBS))
    options = parser.parse_args()
    console = Console()
    machine = Machine()
    found: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    began = time.monotonic()
    prepared_states(machine)
    for name in options.verb:
        verb = VERBS[name]
        whole = Case.undisturbed(machine, verb)
        counted = whole.calls, whole.writes
        for kind, fault in faults(*counted, options.calls):
            wrong = problems(machine, verb, fault, whole)
            found[name, kind].append(wrong)
            for problem in wrong:
                console.print(f"{name}, {kind}, {fault}: {problem}", highlight=False)
        for path, damage in DAMAGES:
            wrong = problems_of_damage(machine, verb, path, damage)
            found[name, f"damaged: {damage}"].append(wrong)
            for problem in wrong:
                console.print(f"{name}, {path}, {damage}: {problem}", highlight=False)
    machine.close()
    kinds = ("traceback", "exit code", "lost", "leftover")
    table = Table(title=f"faults, {time.monotonic() - began:.0f} s", title_justify="left")
    for heading in ("verb", "fault", "cases", *kinds):
        table.add_column(heading)
    for (name, kind), cases in found.items():
        counts = [sum(any(p.startswith(k) for p in case) for case in cases) for k in kinds]
        table.add_row(name, kind, str(len(cases)), *map(str, counts))
    console.print(table)
    return 1 if any(any(cases) for cases in found.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
