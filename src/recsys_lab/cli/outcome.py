"""The last line of a verb that schedulers run: what happened, as one JSON object.

Every line has ``status`` and ``exit_code``; that of a failure or an interruption has ``error``.
"""

from __future__ import annotations

import json
from typing import Any

from recsys_lab.config import Interrupted
from recsys_lab.pages.terminal import shown


def print_outcome(*, status: str, exit_code: int = 0, **values: Any) -> None:
    """Print the line to stdout."""
    line = json.dumps({"status": status, "exit_code": exit_code, **values}, ensure_ascii=False)
    print(shown(line), flush=True)


def print_failure(exit_code: int, error: BaseException) -> None:
    """Print the line of an error that was reported."""
    from recsys_lab.cli.output import RunFailed

    folder = error.output_dir if isinstance(error, RunFailed) else None
    if isinstance(error, Interrupted | KeyboardInterrupt):
        status, text = "interrupted", str(error) or "interrupted"
        folder = (
            error.run_dir.resolve() if isinstance(error, Interrupted) and error.run_dir else None
        )
    else:
        cause = error.__cause__ if isinstance(error, RunFailed) and error.__cause__ else error
        status, text = "failed", str(cause) or type(cause).__name__
    run = None if folder is None else str(folder)
    print_outcome(status=status, exit_code=exit_code, run=run, error=text)
