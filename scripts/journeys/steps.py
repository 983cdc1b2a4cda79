"""Steps of a journey: commands of the lab, what they print, and what must be so after them."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO

Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a command of the lab; its exit status and what it said."""


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """A process of the lab; what it says, also its errors, is its stdout."""
    print("$ recsys-lab", shlex.join(arguments), flush=True)
    command = [sys.executable, "-m", "recsys_lab", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def said(stream: IO[str] | None) -> str:
    """Print and return what a process says, to its end."""
    lines = []
    for line in stream or ():
        print(line, end="", flush=True)
        lines.append(line)
    return "".join(lines)


def in_process_of_its_own(arguments: Sequence[str]) -> tuple[int, str]:
    """Run a command as a user does."""
    process = start(arguments)
    text = said(process.stdout)
    return process.wait(), text


def do(run: Run, arguments: Sequence[str], expected: int = 0) -> str:
    """Run a command, and return what it said.

    Raises:
        SystemExit: it ended with another status than expected.
    """
    code, text = run(arguments)
    command = shlex.join(arguments)
    require(code == expected, f"recsys-lab {command}: exit status {code}, expected {expected}")
    return text


def advised(text: str, what: str) -> list[str]:
    """The arguments of the command that a line ``what: recsys-lab ...`` advises.

    Raises:
        SystemExit: there is no such line, or more than one.
    """
    lines = [line for line in text.splitlines() if line.startswith(f"{what}: recsys-lab ")]
    require(len(lines) == 1, f"expected one line '{what}: recsys-lab ...', got {len(lines)}")
    return shlex.split(lines[0].partition(": ")[2])[1:]


def require(condition: object, message: str) -> None:
    """End the journey if something is not as it should be.

    Raises:
        SystemExit: with the message, if the condition is false.
    """
    if not condition:
        raise SystemExit(f"the journey ends here: {message}")
