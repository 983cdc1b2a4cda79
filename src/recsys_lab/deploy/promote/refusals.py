"""Reasons to refuse a candidate before anything is ranked, and runs that cannot be promoted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.data.prepared import NotWhole
from recsys_lab.deploy.promote.verdict import Check
from recsys_lab.experiment.restore import prepared_of
from recsys_lab.runs.failure import refuse_trial, refuse_unfinished
from recsys_lab.runs.find import is_smoke_test, whole_record
from recsys_lab.runs.weights import weights_of

if TYPE_CHECKING:
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.deploy.promote.holdout import Holdout
    from recsys_lab.deploy.registry import Champion
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord

_QUESTION = ("exclude_seen", "mean_over", "candidates", "release_column", "num_candidates",
             "sampling", "seed")  # fmt: skip
"""Options of the protocol that must be equal: they change what is asked of a model."""
_SETTINGS = ("metrics", "ks", "max_k")
"""Options whose difference is noted: the candidate's are applied to both."""


def finished_run(folder: Path) -> RunRecord:
    """The record of a run that has a trained model and a test.

    Raises:
        UserError: it is no such run.
    """
    record = whole_record(folder)
    if "windows" in record.values:
        raise UserError(
            f"{folder}: a back-test; promote one of its windows, which are runs, e.g. "
            f"{folder / 'window_0'}"
        )
    refuse_unfinished(record, "no model to promote")
    if is_smoke_test(record):
        raise UserError(
            f"{folder}: a smoke test (debug={record.values['config']['debug']}), whose model is "
            "not meant for use; train it without debug, and promote that run"
        )
    refuse_trial(record, "no test result to be compared by")
    return record


def is_moved(champion: Champion, record: RunRecord) -> bool:
    """Whether the candidate is the champion, whose folder is no longer where it was promoted."""
    _, weights = weights_of(record)
    same = weights is not None and weights == champion.weights_sha256
    return same and not champion.run.exists()


def same_run(champion: Champion, record: RunRecord) -> str | None:
    """Why the candidate is the champion, or None."""
    if champion.run == record.folder.resolve():
        return f"{record.folder} is already champion (version {champion.version})"
    _, weights = weights_of(record)
    if weights is not None and weights == champion.weights_sha256:
        return (
            f"{record.folder} has the weights of {champion.run}, which is already champion "
            f"(version {champion.version})"
        )
    return None


def run_of(champion: Champion, where: str, cure: str) -> RunRecord:
    """The record of a registered run, unchanged since its promotion.

    Args:
        champion: the present or an earlier champion.
        where: the registry, for messages.
        cure: advice besides restoring the folder.

    Raises:
        UserError: the run is missing, damaged or changed.
    """
    where = f"{where}: version {champion.version}, {champion.run}"
    try:
        record = finished_run(champion.run)
    except UserError as error:
        raise UserError(
            f"{where}: cannot be read ({error}); restore the folder, or {cure}"
        ) from None
    _, weights = weights_of(record)
    if champion.weights_sha256 is not None and weights != champion.weights_sha256:
        raise UserError(
            f"{where}: its weights are not those that were promoted ({champion.weights_sha256[:8]},"
            f" now {str(weights)[:8]}); restore the folder, or {cure}"
        )
    return record


def unlike_protocols(
    parts: Components, other: Components, notes: list[str], *, force: bool
) -> list[Check]:
    """Refuse a champion that was made for another question."""
    ours, theirs = asdict(parts.protocol.config), asdict(other.protocol.config)
    ours["_target_"], theirs["_target_"] = (type(p.protocol).__name__ for p in (parts, other))
    for key in _SETTINGS:
        if ours[key] != theirs[key]:
            notes.append(
                f"evaluation.{key} is {ours[key]}, of the champion {theirs[key]}: the candidate's "
                "is applied to both."
            )
    differing = [
        f"evaluation.{key} is {ours.get(key)}, of the champion {theirs.get(key)}"
        for key in ("_target_", *_QUESTION)
        if ours.get(key) != theirs.get(key)
    ]
    if not differing:
        return []
    text = f"the protocols differ: {'; '.join(differing)}"
    if force:
        notes.append(f"{text}; force=true: the candidate's is applied to both.")
        return []
    cure = "use force=true to apply the candidate's to both, or a registry for each protocol"
    return [Check("protocol", "refused", f"{text}; {cure}")]


def leak(holdout: Holdout, whose: str, data: PreparedDataset) -> list[Check]:
    """Refuse a model that has learned from targets of the holdout."""
    leaked = holdout.targets_in(data)
    if leaked.is_empty():
        return []
    example = ", ".join(f"{key} {value}" for key, value in leaked.row(0, named=True).items())
    return [
        Check(
            "leak",
            "refused",
            f"{whose} was trained or selected on {len(leaked):,} targets of the holdout, e.g. "
            f"{example}, so it would look better than it is; train the candidate on data that are "
            "at least as new, with a split whose test part the other model has not seen",
        )
    ]


def leak_of_source(record: RunRecord, holdout: Holdout, notes: list[str]) -> list[Check]:
    """The same for the runs whose weights the candidate started with."""
    seen: set[str] = set()
    origin = record.values.get("init_from")
    while origin and origin["run"] not in seen:
        seen.add(origin["run"])
        try:
            source = whole_record(Path(origin["run"]))
            data = prepared_of(source, "sizes")
        except (UserError, NotWhole) as error:
            notes.append(
                f"The candidate started with the weights of {origin['run']}, whose data cannot be "
                f"read ({error}): whether they know targets of the holdout is not checked."
            )
            return []
        whose = f"the candidate started with the weights of {origin['run']}, which"
        found = leak(holdout, whose, data)
        if found:
            return found
        origin = source.values.get("init_from")
    return []
