"""Errors that end a command, and the wording of suggestions."""

from __future__ import annotations

import difflib
import json
import re
import shlex
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


class NoSource(UserError):
    """The option that says where the data are is not set."""


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


class OthersEnded(Exception):
    """Another process of the run has failed and tells the user why; this one ends in silence."""


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


_SIMILAR = 0.7
"""Similarity from which on a word is a typo of another: 'sead' is one of 'seed', 'sweep' is not."""
_PART = 3
"""Letters from which on a part of a name means the name."""


def closest(name: str, options: Iterable[str]) -> str | None:
    """The option most similar to `name`, or None if none is similar."""
    by_folded = {option.lower().replace("-", "_"): option for option in options}
    folded = name.lower().replace("-", "_")
    near = difflib.get_close_matches(folded, by_folded, n=1, cutoff=_SIMILAR)
    if near:
        return by_folded[near[0]]
    # Too short for difflib: 'SDG' for 'SGD', 'layers' for 'num_layers', 'ml_1m' for 'movielens_1m'.
    for is_meant in (_has_same_letters, _is_part, _abbreviates):
        found = [option for other, option in by_folded.items() if is_meant(folded, other)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _has_same_letters(one: str, other: str) -> bool:
    return sorted(one) == sorted(other)


def _is_part(one: str, other: str) -> bool:
    """Whether one is the start, the end or a word of the other, and no shorter than 3 letters."""
    short, long = sorted((one, other), key=len)
    if len(short) < _PART:
        return False
    return long.startswith(short) or long.endswith(short) or f"_{short}_" in long


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


def command_line(*words: str) -> str:
    """A command of the lab to copy into a shell, also if a path has spaces.

    Args:
        words: the verb and its arguments.
    """
    return shlex.join(["recsys-lab", *words])


def install_hint(extra: str) -> str:
    """The command that adds an extra to this installation, from any working directory.

    The lab is on no package index of its own, so the command names where it was installed from: the
    checkout, or the wheel, folder or repository that pip noted.

    Args:
        extra: a key of ``optional-dependencies`` in ``pyproject.toml``.
    """
    checkout = Path(__file__).parents[3]
    if (checkout / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{checkout}[{extra}]')}"
    source = _installed_from()
    where = f" @ {source}" if source else ""
    return f"pip install {shlex.quote(f'recsys-lab[{extra}]{where}')}"


def _installed_from() -> str | None:
    """What pip installed the lab from, as a URL; None for a package index.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        noted = json.loads(distribution("recsys-lab").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return None
    url = noted.get("url")
    repository = noted.get("vcs_info")
    return f"{repository['vcs']}+{url}@{repository['commit_id']}" if repository else url


def report(problems: Sequence[str], subject: str = "the config") -> str:
    """All distinct problems in one message, one line each."""
    unique = list(dict.fromkeys(problems))
    count = "1 problem" if len(unique) == 1 else f"{len(unique)} problems"
    return "\n".join([f"{count} in {subject}:", *(f"  {problem}" for problem in unique)])
