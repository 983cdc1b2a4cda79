"""Which runs are one system, what systems differ in, and what they are called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from recsys_lab.comparison.identity import identity
from recsys_lab.config import UserError
from recsys_lab.config.targets import import_class
from recsys_lab.contracts import traits
from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.find import LeftOut, flatten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.runs.record import RunRecord

NEUTRAL = frozenset(
    {
        "seed",
        "run_dir",
        "resume",
        "init_from",
        "name",
        "group",
        "tags",
        "notes",
        "prepared_dir",
        "fail_on_leaks",
        "verify",
        "recipe.accelerator",
        "recipe.precision",
        "recipe.compile",
        "recipe.checkpoint_every_steps",
        "loss.memory_mib",
        "loss.kernel",
    }
)
"""Settings that do not make another system: labels, places, speed and memory; the precision, the
device and the first weights that they come to are of the run's identity."""

NEUTRAL_GROUPS = ("tracking", "engine", "evaluation")
"""What copies the run, what prepares the data (equal bytes), and the protocol, compared apart."""

_OF_TRAINING = ("recipe", "loss")
REFIT = "recipe.refit"
"""All that a model which is fitted in one pass reads of `_OF_TRAINING`."""


def system_settings(record: RunRecord, by: str) -> dict[str, Any]:
    """What makes a run's system, flat: its settings and `recsys_lab.comparison.identity.identity`.

    ``model._target_`` is ``model: ClassName``.

    Args:
        record: of the run.
        by: ``config``: those that make its results; ``group`` or ``name``: this label too.
    """
    settings: dict[str, Any] = {}
    fitted = not record.values.get("epochs")
    for key, value in flatten(record.values["config"]).items():
        group, _, last = key.partition(".")[0], None, key.rpartition(".")[2]
        if (
            (key in NEUTRAL and key != by)
            or group in NEUTRAL_GROUPS
            or (fitted and group in _OF_TRAINING and key != REFIT)
        ):
            continue
        if last.endswith(("path", "_dir")):  # where the data lie; what they are is fingerprinted
            continue
        if last == "_target_":
            settings[key.removesuffix("._target_")] = str(value).rpartition(".")[2]
        else:
            settings[key] = value
    return settings | identity(record)


def group_runs(records: Sequence[RunRecord], by: str) -> list[list[int]]:
    """Places of the runs of each system, in order of their first run; ``by`` as above."""
    groups: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        fingerprint = record.values["protocol"]["fingerprint"]
        key = json.dumps([fingerprint, system_settings(record, by)], sort_keys=True)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def is_deterministic(record: RunRecord) -> bool:
    """Whether the seed is known to change nothing: the model's class says so, see `Traits`."""
    if record.values.get("epochs"):
        return False
    try:
        model = import_class(record.values["config"]["model"]["_target_"], "model")
    except (UserError, ImportError):  # foreign code, or of another version: nothing is known
        return False
    return bool(traits(model).ignores_seed)


def newest_of_each_seed(
    records: Sequence[RunRecord], by: str
) -> tuple[list[RunRecord], list[LeftOut]]:
    """Two runs of one system with one seed are one result, not two."""
    left_out = []
    kept = set(range(len(records)))
    for group in group_runs(records, by):
        newest: dict[int, int] = {}
        for place in sorted(group, key=lambda p: records[p].values["created"]):
            earlier = newest.get(records[place].values["seed"])
            if earlier is not None:
                kept.discard(earlier)
                reason = (
                    f"{records[place].folder} is newer, of the same configuration, code and seed"
                )
                left_out.append(LeftOut(str(records[earlier].folder), reason))
            newest[records[place].values["seed"]] = place
    return [records[place] for place in sorted(kept)], left_out


def what_differs(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Settings that are not the same everywhere: key -> value by system; None where absent."""
    keys = dict.fromkeys(key for system in settings for key in system)
    rows = {key: tuple(system.get(key) for system in settings) for key in keys}
    return {key: row for key, row in rows.items() if len(set(map(json.dumps, row))) > 1}


def system_names(
    settings: Sequence[Mapping[str, Any]], given: Sequence[str | None]
) -> tuple[str, ...]:
    """A short name for each system, no two alike.

    The name that the user gave (``name=...``) where it tells them apart; else the model's class
    and, among systems of one model, the fewest settings that tell these apart.

    Args:
        settings: of each system.
        given: the ``name`` that all runs of a system share, or None.
    """
    if None not in given and len(set(given)) == len(given):
        return tuple(str(name) for name in given)
    names = [str(system.get("model", "system")) for system in settings]
    for label in dict.fromkeys(names):
        members = [place for place, name in enumerate(names) if name == label]
        for place, suffix in zip(members, _suffixes([settings[m] for m in members]), strict=True):
            names[place] = f"{label}{suffix}"
    return tuple(names)


def _suffixes(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells systems of one model apart; numbers where nothing in their settings does."""
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
