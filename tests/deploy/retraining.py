"""The outcome of ``retrain``, and a training that changes nothing."""

import json
from typing import Any

import pytest

from recsys_lab.cli.main import run_command

ONE = "recipe.max_epochs=1"
STILL = ["recipe.learning_rate=1e-30", ONE]
"""One epoch that changes no weight: float32 has 7 digits."""


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The last line of the command, an object of JSON with its exit code."""
    code = run_command(["retrain", *arguments])
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["exit_code"] == code
    return last
