"""Groups runs into systems, finds the settings that differ and names the systems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recsys_lab.comparison.identity import identity
from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.find import LeftOut, flatten
from recsys_lab.runs.neutral import is_neutral
from recsys_lab.runs.record import RunRecord

_OF_TRAINING = ("recipe", "loss")
REFIT = "recipe.refit"
"""The only setting of `_OF_TRAINING` that matters to a model fitted in one pass."""


def system_settings(record: RunRecord, by: str) -> dict[str, Any]:
    """The flat settings and the `recsys_lab.comparison.identity.identity` that define a system.

    ``model._target_`` becomes ``model: ClassName``.

    Args:
        record: of the run.
        by: ``config``, or ``group`` or ``name`` to include this label.
    """
    settings: dict[str, Any] = {}
    fitted = not record.values.get("epochs")
    for key, value in flatten(record.values["config"]).items():
        group, last = key.partition(".")[0], key.rpartition(".")[2]
        if (is_neutral(key) and key != by) or (fitted and group in _OF_TRAINING and key != REFIT):
            continue
        if last == "_target_":
            settings[key.removesuffix("._target_")] = str(value).rpartition(".")[2]
        else:
            settings[key] = value
    return settings | identity(record)


def group_runs(records: Sequence[RunRecord], by: str) -> list[list[int]]:
    """Indices of the runs of each system, in order of their first run; ``by`` as above."""
    groups: dict[str, list[int]] = {}
    for run, record in enumerate(records):
        fingerprint = record.values["protocol"]["fingerprint"]
        key = json.dumps([fingerprint, system_settings(record, by)], sort_keys=True)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def newest_of_each_seed(
    records: Sequence[RunRecord], by: str
) -> tuple[list[RunRecord], list[LeftOut]]:
    """Keep only the newest run of each system and seed."""
    left_out = []
    kept = set(range(len(records)))
    for group in group_runs(records, by):
        newest: dict[int, int] = {}
        for run in sorted(group, key=lambda p: records[p].values["created"]):
            earlier = newest.get(records[run].values["seed"])
            if earlier is not None:
                kept.discard(earlier)
                reason = (
                    f"{records[run].folder} is newer and has the same configuration, code and seed"
                )
                left_out.append(LeftOut(str(records[earlier].folder), reason))
            newest[records[run].values["seed"]] = run
    return [records[run] for run in sorted(kept)], left_out


def what_differs(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Settings that differ between systems: key -> value by system; None where absent."""
    keys = dict.fromkeys(key for system in settings for key in system)
    rows = {key: tuple(system.get(key) for system in settings) for key in keys}
    return {key: row for key, row in rows.items() if len(set(map(json.dumps, row))) > 1}


def system_names(
    settings: Sequence[Mapping[str, Any]], given: Sequence[str | None]
) -> tuple[str, ...]:
    """A short unique name for each system.

    The names given by the user (``name=...``) if they are unique; else the model's class and, for
    systems of one model, a minimal set of settings that distinguishes them.

    Args:
        settings: of each system.
        given: the ``name`` shared by all runs of each system, or None.
    """
    if None not in given and len(set(given)) == len(given):
        return tuple(str(name) for name in given)
    names = [str(system.get("model", "system")) for system in settings]
    for label in dict.fromkeys(names):
        members = [index for index, name in enumerate(names) if name == label]
        for index, suffix in zip(members, _suffixes([settings[m] for m in members]), strict=True):
            names[index] = f"{label}{suffix}"
    return tuple(names)


def _suffixes(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that distinguish systems of one model, or numbers where no setting does."""
    suffixes = [""] * len(settings)
    if len(settings) == 1:
        return suffixes
    rows = what_differs(settings)
    chosen: list[str] = []
    while len(set(suffixes)) < len(settings):
        options = [key for key in rows if key not in chosen]
        more = {key: len(set(_written(rows, [*chosen, key]))) for key in options}
        best = max(options, key=more.__getitem__, default=None)
        if best is None or more[best] == len(set(suffixes)):  # only the protocol differs
            return [f"{text} #{number}" for number, text in enumerate(suffixes, start=1)]
        chosen.append(best)
        suffixes = _written(rows, chosen)
    return suffixes


def _written(rows: Mapping[str, tuple[Any, ...]], keys: Sequence[str]) -> list[str]:
    short = [key.rpartition(".")[2] for key in keys]
    labels = [s if short.count(s) == 1 else key for s, key in zip(short, keys, strict=True)]
    columns = zip(*(rows[key] for key in keys), strict=True)
    return [
        "".join(f" {label}={format_value(v)}" for label, v in zip(labels, values, strict=True))
        for values in columns
    ]
