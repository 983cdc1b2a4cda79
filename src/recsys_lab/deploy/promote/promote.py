"""``recsys-lab promote``: decide about a candidate, write the decision, move the champion."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.deploy.promote.contender import NotFinite
from recsys_lab.deploy.promote.contest import Contest
from recsys_lab.deploy.promote.decision import (
    Decision,
    Settings,
    Values,
    copy_beside,
    decided,
    described,
    head,
    run_fields,
)
from recsys_lab.deploy.promote.gate import judge, judge_first
from recsys_lab.deploy.promote.holdout import Holdout, popularity_of
from recsys_lab.deploy.promote.refusals import (
    finished_run,
    is_moved,
    leak,
    leak_of_source,
    run_of,
    same_run,
    unlike_protocols,
)
from recsys_lab.deploy.promote.verdict import Check, Measured, Rules, Verdict
from recsys_lab.deploy.registry import Champion, Registry
from recsys_lab.experiment.restore import restore
from recsys_lab.runs.weights import weights_of

if TYPE_CHECKING:
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord


def promote(settings: Settings) -> Decision:
    """Decide about the candidate, and make it the champion if it passes.

    Nothing is written for the champion itself, so the command can be repeated. A champion whose
    folder was moved keeps its version and gets its new path.

    Raises:
        UserError: the candidate or the champion cannot be ranked with, an option is invalid, or
            the champion changed meanwhile.
    """
    registry = Registry(settings.registry)
    champion = registry.champion()
    record = finished_run(settings.candidate)
    _check_export(settings.export)
    values = described(settings, champion, record)
    if champion is not None and is_moved(champion, record):
        return _moved(settings, registry, champion, record, values)
    known = None if champion is None else same_run(champion, record)
    if champion is not None and known is not None:
        decision = decided(values, Verdict(False, (Check("champion", "refused", known),)))
        if settings.dry_run or champion.run == record.folder.resolve():
            return decision
        return _written(decision, registry.note(decision.values), None)
    parts = restore(record, settings.verify, prepare=settings.prepare)
    holdout = Holdout(parts)
    if champion is None:
        verdict = _first(settings, parts, record, holdout, values)
    else:
        verdict = _against(settings, champion, parts, record, holdout, values)
    decision = decided(values, verdict)
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
    return _written(decision, file, record.folder)


def _moved(
    settings: Settings, registry: Registry, champion: Champion, record: RunRecord, values: Values
) -> Decision:
    """Register the champion under its new folder: the same weights need no contest."""
    here = record.folder.resolve()
    text = f"{here} has the weights of the champion, whose folder {champion.run} is gone: moved"
    decision = decided(values, Verdict(True, (Check("champion", "passed", text),)))
    decision = replace(decision, values={**decision.values, "kind": "move", "reasons": [text]})
    if settings.dry_run:
        return decision
    moved = registry.move(here, decision.values, against=champion.version)
    return _written(decision, moved.decision, record.folder)


def _written(decision: Decision, file: Path, folder: Path | None) -> Decision:
    """The decision as its file has it; copied beside the candidate."""
    if folder is not None:
        copy_beside(file, folder)
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
        **head("rollback", folder),
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
    settings: Settings, parts: Components, record: RunRecord, holdout: Holdout, values: Values
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
    values: Values,
) -> Verdict:
    """The gate against the champion."""
    where = f"registry={settings.registry}"
    cure = f"go back to the champion before: recsys-lab promote --rollback {where}"
    if not Registry(settings.registry).history():
        cure = "start another registry: registry=OTHER_FOLDER"
    theirs = run_of(champion, where, cure)
    other = restore(theirs, settings.verify, prepare=settings.prepare)
    values["champion"] |= run_fields(theirs)
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
    values: Values,
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


def _check_export(folder: Path | None) -> None:
    if folder is not None and not folder.is_dir():
        raise UserError(f"export={folder}: there is no such folder; give the export's folder")
