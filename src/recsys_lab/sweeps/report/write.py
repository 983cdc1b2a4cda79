"""``report.html`` and ``report.md`` of a sweep."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from recsys_lab.config.secrets import scrubbed
from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.report.importance import importance
from recsys_lab.sweeps.report.markdown import markdown
from recsys_lab.sweeps.report.page import html
from recsys_lab.sweeps.report.summary import SweepSummary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study


def write_report(plan: Plan, study: Study, summary: Mapping[str, Any], command: str) -> None:
    """Write both files into the sweep's folder.

    Args:
        plan: of the sweep.
        study: has the trials.
        summary: what ``sweep.json`` says.
        command: runs the best again.
    """
    story = SweepSummary(
        name=str(plan.options["name"]),
        options=plan.options,
        base=scrubbed(plan.base),
        space=plan.search.space,
        directions=plan.sweep.directions,
        trials=study.trials(),
        best=[trial["number"] for trial in summary["best"]],
        importance=importance(study.copy()),
        workers=worker_notes(plan.path / "workers"),
        metric=summary.get("metric", ""),
        top=summary.get("top", []),
        said=summary.get("said", []),
        command=command,
    )
    write_text(plan.path / "report.html", html(story))
    write_text(plan.path / "report.md", markdown(story))


def worker_notes(folder: Path) -> list[dict[str, Any]]:
    """What every worker last told, those of earlier commands included."""
    found = []
    for file in sorted(folder.glob("*.json")):
        with suppress(ValueError, OSError):
            found.append(json.loads(file.read_text()))
    return found
