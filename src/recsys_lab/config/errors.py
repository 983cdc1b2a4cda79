"""Errors that end a command, and the wording of suggestions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from recsys_lab.config.secrets import scrubbed


class UserError(Exception):
    """A mistake in the user's input; its message is shown without a traceback, exit code 2.

    Args:
        message: readable text, in which secrets, e.g. of an address, are masked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(scrubbed(message))


class NoModule(UserError):
    """The module of a class that a config names does not exist."""

    def __init__(self, module: str) -> None:
        super().__init__(f"no module {module!r}.")
        self.module = module


class Disagreement(Exception):
    """Results differ from the record; the message is shown without a traceback, exit code 1."""


class Verdict(Exception):
    """A check that the user asked for failed; the message is shown without a traceback, code 3."""


class Interrupted(BaseException):
    """Ctrl-C or a termination signal ended the work cleanly; exit code 130.

    A `BaseException` like `KeyboardInterrupt`, so that ``except Exception`` does not catch it. Its
    message names what was kept and how to continue.

    Args:
        message: shown to the user.
        run_dir: the run that can be resumed, or None.
    """

    def __init__(self, message: str = "", run_dir: Path | None = None) -> None:
        super().__init__(message)
        self.run_dir = run_dir


class Pruned(Exception):
    """A search stopped this run because other runs are better."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def one_line(error: BaseException) -> str:
    """The message of an error and of its cause, as one line."""
    parts = [str(error)]
    if error.__cause__ is not None:
        parts.append(str(error.__cause__).partition("full_key:")[0])
    lines = [" ".join(part.split()) for part in parts if part.strip() not in ("", "None")]
    return "; ".join(lines) or type(error).__name__


def closest(name: str, options: Iterable[str]) -> str | None:
    """The option most similar to `name`, or None if none is similar."""
    by_folded = {option.lower().replace("-", "_"): option for option in options}
    folded = name.lower().replace("-", "_")
    near = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    if near:
        return by_folded[near[0]]
    # 'layers' for 'num_layers' is too short for difflib.
    inside = [o for f, o in by_folded.items() if len(folded) >= 3 and (folded in f or f in folded)]
    short = inside or [o for f, o in by_folded.items() if _abbreviates(folded, f)]
    return short[0] if len(short) == 1 else None


def _abbreviates(short: str, long: str) -> bool:
    """Whether each word abbreviates the other, as in ml_1m; words with digits must be equal."""
    pairs = list(zip(short.split("_"), long.split("_"), strict=False))
    if short.count("_") != long.count("_") or len(pairs) < 2:
        return False
    return all(a == b or (a.isalpha() and re.match(".*".join(a), b) is not None) for a, b in pairs)


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or a full stop if no option is similar."""
    match = closest(name, options)
    return f"; did you mean {match!r}?" if match else "."


def report(problems: Sequence[str], subject: str = "the config") -> str:
    """All distinct problems in one message, one line each."""
    unique = list(dict.fromkeys(problems))
    count = "1 problem" if len(unique) == 1 else f"{len(unique)} problems"
    return "\n".join([f"{count} in {subject}:", *(f"  {problem}" for problem in unique)])
