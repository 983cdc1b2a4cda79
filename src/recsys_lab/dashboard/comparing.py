"""Compares runs with ``recsys-lab compare``, each comparison in a process of its own.

It needs torch and the results of every user, whose memory is free again when the process ends, and
a comparison of many runs can be ended at any time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from recsys_lab.dashboard.scan import REPORT
from recsys_lab.pages.terminal import shown

_KEPT = 20


@dataclass(frozen=True)
class Outcome:
    """What became of a comparison.

    Attributes:
        report: the page; empty if there is none.
        text: what the command printed.
        failed: whether it was refused or failed.
    """

    report: str
    text: str
    failed: bool


class Comparer:
    """Runs comparisons one after the other, and keeps the latest results."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(
            prefix="recsys-lab-dashboard-", ignore_cleanup_errors=True
        )
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="comparer")
        self._jobs: dict[object, tuple[float, Future[Outcome]]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ask(self, key: object, runs: Sequence[Path], *, force: bool) -> Outcome | float:
        """The outcome, or the seconds since it was asked for first.

        Args:
            key: of the runs and the state of their files: the same key has the same outcome.
            runs: run directories, the baseline first.
            force: see the option of ``compare``.
        """
        with self._lock:
            if key not in self._jobs:
                job = self._executor.submit(self._compare, list(runs), force)
                self._jobs[key] = (time.monotonic(), job)
                for old in list(self._jobs)[:-_KEPT]:
                    self._jobs.pop(old)[1].cancel()
            since, job = self._jobs[key]
        return job.result() if job.done() and not job.cancelled() else time.monotonic() - since

    def close(self) -> None:
        """End the present comparison, and remove all results."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()

    def _compare(self, runs: Sequence[Path], force: bool) -> Outcome:
        with TemporaryDirectory(dir=self._folder.name) as output:
            done, text = self._run([*command_of(runs, force=force), f"output={output}"])
            report = Path(output) / REPORT
            page = report.read_text(encoding="utf-8") if report.is_file() else ""
        return Outcome(page, text.replace(f"{output}{os.sep}", ""), done != 0)

    def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """The exit code of a verb, and what it printed."""
        with self._lock:
            if self._closed:
                return 1, "the dashboard was ended"
            self._process = subprocess.Popen(
                [sys.executable, "-m", "recsys_lab", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
                process_group=0,  # Ctrl-C is for this process, which ends the other
            )
        try:
            text, _ = self._process.communicate()
        finally:
            code, self._process = self._process.returncode, None
        return code, shown(text.removeprefix("recsys-lab: ").rstrip())


def command_of(runs: Sequence[Path], *, force: bool) -> list[str]:
    """The arguments of ``recsys-lab`` that compare runs, the baseline first."""
    return ["compare", *map(str, runs), *(["force=true"] if force else [])]
