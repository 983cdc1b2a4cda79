"""The command ``recsys-lab``: dispatches verbs and sets the exit code.

Exit codes: 0 success, 1 failure (a message for faults of the machine, else a traceback), 2 user
error (a message), 3 a verb's own verdict (``drift``: above a threshold; ``promote``: refused;
``debug=overfit``: not reached), 130 interrupted (Ctrl-C, SIGTERM or SIGHUP). HYDRA_FULL_ERROR=1
shows every traceback.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from recsys_lab.config import (
    Disagreement,
    Interrupted,
    OthersEnded,
    UserError,
    Verdict,
    did_you_mean,
)
from recsys_lab.config.own_modules import find_allowed_modules_in
from recsys_lab.config.signals import stopped_by_signals
from recsys_lab.config.verbs import VERBS
from recsys_lab.files.faults import impossible_name, is_panic, machine_fault
from recsys_lab.pages.terminal import guard_outputs, tell, tell_exception
from recsys_lab.version import __version__

_HELP = ("-h", "--help", "help")
COMPLETION_FLAGS = ("-sc", "--shell-completion")


def main() -> NoReturn:
    """Entry point of the command."""
    # Python started with -m or -c (by submitit or multiprocessing) would otherwise import modules
    # of the current folder before those of its library.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    if "WORLD_SIZE" in os.environ:  # torch's notes on weights that a step leaves out
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    raise SystemExit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and report its errors.

    Args:
        arguments: everything after the program's name.

    Returns:
        The exit code.
    """
    guard_outputs()
    code, error = _reported(arguments)
    verb = VERBS.get(arguments[0]) if arguments else None
    if error is not None and verb is not None and verb.prints_outcome:
        from recsys_lab.cli.outcome import print_failure

        print_failure(code, error)
    return code


def _reported(arguments: Sequence[str]) -> tuple[int, BaseException | None]:
    """The exit code of a command line, and the error that it reported."""
    try:
        with stopped_by_signals():
            return _dispatch(list(arguments)), None
    except UserError as error:
        tell(f"recsys-lab: {error}")
        return 2, error
    except Interrupted as interruption:
        tell(f"\n{interruption}")
        return 130, interruption
    except KeyboardInterrupt as interruption:
        print("\ninterrupted.", file=sys.stderr)
        return 130, interruption
    except BrokenPipeError:  # the reader of the output (head, less) has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        return _report(error), error
    return 0, None


def _dispatch(arguments: list[str]) -> int:
    if arguments[:2] == ["runs", "prune"]:
        arguments = arguments[1:]
    first = arguments[0] if arguments else "--help"
    if first in _HELP and len(arguments) > 1:
        named = arguments[1]
        return _run(named, ["--help"]) if named in VERBS else _run("options", arguments[1:])
    if first in _HELP:
        print(_help())
    elif first == "--version" or (first in VERBS and "--version" in arguments):
        print(f"recsys-lab {__version__}")
    elif first in COMPLETION_FLAGS:
        _complete(arguments)
    elif first in VERBS:
        about = _asked_about(arguments[1:])
        return _run("options", about) if about else _run(first, arguments[1:])
    else:
        verbs = ", ".join(VERBS)
        raise UserError(f"there is no verb {first!r}{did_you_mean(first, VERBS)} Verbs: {verbs}.")
    return 0


def _asked_about(arguments: Sequence[str]) -> list[str]:
    """The group, with its choice if given, of ``VERB --help GROUP``; else nothing."""
    if len(arguments) != 2 or arguments[0] not in _HELP[:2]:
        return []
    from recsys_lab.config.help.keys import GROUPS

    return [arguments[1]] if re.split(r"[=.]", arguments[1])[0] in GROUPS else []


def _run(verb: str, arguments: list[str]) -> int:
    from recsys_lab.config.environment import guarded

    find_allowed_modules_in(os.getcwd())
    with guarded(arguments):
        if VERBS[verb].composes:
            from recsys_lab.cli.app import run_verb  # imports Hydra

            run_verb(verb, arguments)
            return 0
        from recsys_lab.cli.arguments.plain import run_plain

        return run_plain(verb, arguments)


def _report(error: BaseException) -> int:
    """Print an error other than a `UserError` or an interruption, and return the exit code."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from recsys_lab.cli.output import RunFailed
    from recsys_lab.cli.processes import FOLLOWED, Told
    from recsys_lab.config.errors import one_line

    if isinstance(error, HydraException | OmegaConfBaseException):
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            tell_exception(error)
        tell(f"recsys-lab: {one_line(error)}")
        return 2
    cause = error.__cause__ if isinstance(error, RunFailed) and error.__cause__ else error
    if isinstance(cause, Told):
        return cause.code
    if isinstance(cause, OthersEnded):
        return FOLLOWED
    wrong = impossible_name(cause)
    if wrong is not None:
        tell(f"recsys-lab: {wrong}")
        return 2
    if isinstance(cause, Disagreement | Verdict):
        tell(f"recsys-lab: {cause}")
        return 3 if isinstance(cause, Verdict) else 1
    fault = machine_fault(cause)
    if fault is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
        tell_exception(cause)
    tell(f"failed: {fault or f'{type(cause).__name__}: {cause}'}")
    if isinstance(error, RunFailed) and error.output_dir is not None:
        tell(f"log and record so far: {error.output_dir}")
    return 1


def _complete(arguments: list[str]) -> None:
    """Completion of the shell: its script, or what the line may become."""
    from recsys_lab.cli.arguments.completion import completed, script

    what, _, shell = next((text for text in arguments if "=" in text), "").partition("=")
    if what in ("install", "uninstall"):
        program = os.path.basename(sys.argv[0])
        program = "recsys-lab" if program.endswith(".py") else program  # python -m recsys_lab
        print(script(shell, program, remove=what == "uninstall"))
    elif what == "query":
        line = os.environ.get("COMP_LINE", "")
        with suppress(Exception):  # a message would appear in the line that is being typed
            print("\n".join(completed(line)))
    else:
        raise UserError("-sc: expected install=SHELL, uninstall=SHELL or query=SHELL")


def _help() -> str:
    width = max(map(len, VERBS))
    return "\n".join(
        [
            "recsys-lab VERB [key=value ...]",
            "",
            "Experiments with sequential recommenders, from a raw log to recorded results.",
            "",
            "Verbs:",
            *(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()),
            "",
            "Examples:",
            "  recsys-lab train",
            *(f"  {verb.example}" for verb in VERBS.values()),
            "",
            "More:",
            "  recsys-lab VERB --help         its options, choices and config",
            "  recsys-lab options model=sasrec   every key of a choice: meaning, range, default",
            "  recsys-lab VERB --cfg job      print the composed config and exit",
            "  recsys-lab train --hydra-help  Hydra's flags (--multirun, --config-dir, ...)",
            '  eval "$(recsys-lab -sc install=bash)"   completion in this shell (bash, zsh, fish)',
            "",
            f"recsys-lab {__version__}",
        ]
    )
