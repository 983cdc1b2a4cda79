"""Short references to runs on the command line, replaced by the run directories that they mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import ListConfig

from recsys_lab.pages.terminal import tell

if TYPE_CHECKING:
    from recsys_lab.config.verbs import Verb


def whole_runs(key: str, value: Any) -> Any:
    """The value of a key that names runs, with whole paths; says what a reference means.

    Args:
        key: the key.
        value: a path, a reference, a list of these, or None.

    Raises:
        UserError: a reference means several runs.
    """
    if isinstance(value, list | ListConfig):
        return [_whole_run(key, str(text)) for text in value]
    return value if value is None else _whole_run(key, str(value))


def with_whole_runs(overrides: Sequence[str], verb: Verb) -> list[str]:
    """Overrides of a composed verb, with whole paths in place of references.

    Raises:
        UserError: a reference means several runs.
    """
    return [_override(text, verb) for text in overrides]


def _override(text: str, verb: Verb) -> str:
    from recsys_lab.config.quoting import quoted
    from recsys_lab.experiment.resume import parsed

    key = text.partition("=")[0]
    override = parsed(text) if key.lstrip("+") in verb.runs else None
    if override is None or override.is_sweep_override() or override.is_delete():
        return text
    value = override.value()
    whole = whole_runs(key.lstrip("+"), None if value is None else str(value))
    return text if whole == value else f"{key}={quoted(str(whole))}"


def _whole_run(key: str, text: str) -> str:
    """The run directory that a reference means; other texts as they are."""
    from recsys_lab.comparison.collect import SWEEPS
    from recsys_lab.runs.references import resolved

    if not text or text == "auto" or os.path.exists(text) or (SWEEPS / text).is_dir():
        return text
    folder = resolved(key, text)
    if folder is None:
        return text
    tell(f"{text}: {folder}")
    return str(folder)
