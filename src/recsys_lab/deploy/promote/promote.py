"""``recsys-lab promote``: decide about a candidate, write the decision, move the champion."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.commands import Verify
from recsys_lab.deploy.promote.contender import NotFinite
from recsys_lab.deploy.promote.contest import Contest
from recsys_lab.deploy.promote.gate import judge, judge_first
from recsys_lab.deploy.promote.holdout import Holdout, popularity_of
from recsys_lab.deploy.promote.refusals import (
    finished_run,
    leak,
    leak_of_source,
    run_of,
    same_run,
    unlike_protocols,
)
from recsys_lab.deploy.promote.verdict import Check, Measured, Rules, Verdict
from recsys_lab.deploy.registry import Champion, Registry
from recsys_lab.experiment.restore import restore
from recsys_lab.files.atomic import write_text
from recsys_lab.files.faults import reason
from recsys_lab.runs.provenance import package_versions
from recsys_lab.runs.weights import weights_of
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord

_Values = dict[str, Any]
_log = logging.getLogger(__name__)

PROMOTION = "promotion.json"
"""The copy of a candidate's latest decision in its run directory."""


@dataclass(frozen=True)
class Settings:
    """What is decided, and how.

    Attributes:
        candidate: the run directory.
        registry: folder of the registry.
        rules: of the gate.
        metric: the metric; None for the candidate's model selection metric.
        guard: patterns of the guarded slices.
        force: whether the candidate's protocol is applied although the champion's differs.
        export: the candidate's exported folder, or None.
        prepare: whether missing datasets may be prepared again: see `restore`.
        verify: how prepared datasets are checked.
        dry_run: whether nothing is written.
    """

    candidate: Path
    registry: Path
    rules: Rules
    metric: str | None = None
    guard: Sequence[str] = ()
    force: bool = False
    export: Path | None = None
    prepare: bool = False
    verify: Verify = "full"
    dry_run: bool = False


@dataclass(frozen=True)
class Decision:
    """A decision.

    Attributes:
        promoted: whether the candidate is (with ``dry_run``: would be) the champion.
        values: its JSON.
        checks: of the gate.
        file: in the registry; None if nothing was written.
    """

    promoted: bool
    values: Mapping[str, Any]
    checks: Sequence[Check]
    file: Path | None


def promote(settings: Settings) -> Decision:
    """Decide about the candidate, and make it the champion if it passes.

    A decision that changes nothing because the candidate already is the champion is not written,
    so the command can be repeated.

    Raises:
        UserError: the candidate or the champion cannot be ranked with, an option is invalid, or
            the champion changed meanwhile.
    """
    registry = Registry(settings.registry)
    champion = registry.champion()
    record = finished_run(settings.candidate)
    _check_export(settings.export)
    values = _described(settings, champion, record)
    known = None if champion is None else same_run(champion, record)
    if known is not None:
        return _decided(values, Verdict(False, (Check("champion", "refused", known),)))
    parts = restore(record, settings.verify, prepare=settings.prepare)
    holdout = Holdout(parts)
    if champion is None:
        verdict = _first(settings, parts, record, holdout, values)
    else:
        verdict = _against(settings, champion, parts, record, holdout, values)
    decision = _decided(values, verdict)
    if settings.dry_run:
        return decision
    if verdict.passed:
        file = registry.promote(
            record.folder,
            decision.values,
            against=None if champion is None else champion.version,
            export=settings.export,
            weights_sha256=weights_of(record)[1],
        ).decision
    else:
        file = registry.note(decision.values)
    _copy(file, record.folder)
    return replace(decision, values=json.loads(file.read_text(encoding="utf-8")), file=file)


def roll_back(folder: Path, *, dry_run: bool = False) -> Decision:
    """Make the champion before the present one champion again; each call goes one further back.

    Raises:
        UserError: there is no earlier champion, or its run is missing, damaged or changed.
    """
    registry = Registry(folder)
    present, earlier = registry.step_back()
    run_of(earlier, f"registry={folder}", "promote another run")
    values = {
        **_head("rollback", folder),
        "outcome": "rolled back",
        "candidate": {"run": str(earlier.run), "version": earlier.version},
        "champion": {"run": str(present.run), "version": present.version},
        "reasons": [f"rollback from version {present.version} to the run of {earlier.version}"],
    }
    if dry_run:
        return Decision(True, values, (), None)
    file = registry.rollback(values, against=present.version).decision
    return Decision(True, json.loads(file.read_text(encoding="utf-8")), (), file)


def _first(
    settings: Settings, parts: Components, record: RunRecord, holdout: Holdout, values: _Values
) -> Verdict:
    """Sanity checks of the first champion: finite, lists for all, not worse than popularity."""
    values["notes"].append(
        "The registry has no champion: only sanity checks, against the popularity of the "
        "candidate's training events."
    )
    early = leak_of_source(record, holdout, values["notes"])
    if early:
        return Verdict(False, tuple(early))
    baseline = copy(parts)
    baseline.model, baseline.device = popularity_of(parts), "cpu"
    rules = replace(settings.rules, coverage=None, latency=None)
    alone = replace(settings, rules=rules, guard=())
    return _measured(alone, [parts, baseline], record, holdout, values, judge_first)


def _against(
    settings: Settings,
    champion: Champion,
    parts: Components,
    record: RunRecord,
    holdout: Holdout,
    values: _Values,
) -> Verdict:
    """The gate against the champion."""
    where = f"registry={settings.registry}"
    cure = f"go back to the champion before: recsys-lab promote --rollback {where}"
    if not Registry(settings.registry).history():
        cure = "start another registry: registry=OTHER_FOLDER"
    theirs = run_of(champion, where, cure)
    other = restore(theirs, settings.verify, prepare=settings.prepare)
    values["champion"] |= _run_fields(theirs)
    early = [
        *unlike_protocols(parts, other, values["notes"], force=settings.force),
        *leak(holdout, f"the champion ({champion.run})", other.data),
        *leak_of_source(record, holdout, values["notes"]),
    ]
    if early:
        return Verdict(False, tuple(early))
    return _measured(settings, [parts, other], record, holdout, values, judge)


def _measured(
    settings: Settings,
    sides: Sequence[Components],
    record: RunRecord,
    holdout: Holdout,
    values: _Values,
    judged: Callable[[Measured, Rules], Verdict],
) -> Verdict:
    """Measure both sides and judge."""
    rules = settings.rules
    values["rules"] = asdict(rules)
    try:
        contest = Contest(
            holdout,
            sides,
            metric=settings.metric,
            preferred=record.main_metric,
            guard=settings.guard,
        )
        needed = contest.num_slices / rules.level
        if rules.resamples < needed:
            raise UserError(
                f"resamples={rules.resamples}: too few to show a harm in one of "
                f"{contest.num_slices} slices at level {rules.level:g}; use at least {needed:.0f}"
            )
        measured = contest.measure(latency=rules.latency is not None)
    except NotFinite as error:
        return Verdict(False, (Check("finite", "refused", str(error)),))
    values["means"] = contest.means
    values["holdout"] |= contest.facts()
    return judged(measured, rules)


def _described(settings: Settings, champion: Champion | None, record: RunRecord) -> dict[str, Any]:
    """What is known before anything is measured."""
    data = record.values["data"]
    old = None
    if champion is not None:
        old = {"run": str(champion.run), "version": champion.version}
    return {
        **_head("promotion", settings.registry),
        "candidate": {"run": str(record.folder.resolve()), **_run_fields(record)},
        "champion": old,
        "against": "popularity" if champion is None else "champion",
        "holdout": {
            "data": data["path"],
            "fingerprint": data["fingerprint"],
            "part": "test",
            "protocol": record.values["protocol"]["fields"],
        },
        "guard": list(settings.guard),
        "notes": [],
    }


def _head(kind: str, registry: Path) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "registry": str(registry.resolve()),
        "lab_version": __version__,
        "packages": package_versions(),
    }


def _run_fields(record: RunRecord) -> dict[str, Any]:
    values = record.values
    return {
        "name": values["name"],
        "created": values["created"],
        "weights_sha256": weights_of(record)[1],
        "data_fingerprint": values["data"]["fingerprint"],
        "verified": record.is_verified,
    }


def _decided(values: _Values, verdict: Verdict) -> Decision:
    done = {
        **values,
        "outcome": "promoted" if verdict.passed else "refused",
        "reasons": verdict.reasons,
        "checks": [asdict(check) for check in verdict.checks],
    }
    return Decision(verdict.passed, done, verdict.checks, None)


def _check_export(folder: Path | None) -> None:
    if folder is not None and not folder.is_dir():
        raise UserError(f"export={folder}: there is no such folder; give the export's folder")


def _copy(file: Path, folder: Path) -> None:
    """Copy the decision beside the candidate; the registry's file is the one that counts."""
    try:
        write_text(folder / PROMOTION, file.read_text(encoding="utf-8"))
    except OSError as error:
        _log.warning(
            "%s: cannot be written (%s); the decision is in %s",
            folder / PROMOTION, reason(error), file,
        )  # fmt: skip
