"""A decision of the gate: what it is about, and its JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config.commands import Verify
from recsys_lab.deploy.promote.verdict import Check, Rules, Verdict
from recsys_lab.files.atomic import write_text
from recsys_lab.files.faults import reason
from recsys_lab.runs.provenance import package_versions
from recsys_lab.runs.weights import weights_of
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from recsys_lab.deploy.registry import Champion
    from recsys_lab.runs.record import RunRecord

Values = dict[str, Any]
"""The JSON of a decision."""
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


def described(settings: Settings, champion: Champion | None, record: RunRecord) -> dict[str, Any]:
    """What is known before anything is measured."""
    data = record.values["data"]
    old = None
    if champion is not None:
        old = {"run": str(champion.run), "version": champion.version}
    return {
        **head("promotion", settings.registry),
        "candidate": {"run": str(record.folder.resolve()), **run_fields(record)},
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


def head(kind: str, registry: Path) -> dict[str, Any]:
    """Fields of every decision."""
    return {
        "schema": 1,
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "registry": str(registry.resolve()),
        "lab_version": __version__,
        "packages": package_versions(),
    }


def run_fields(record: RunRecord) -> dict[str, Any]:
    """Of a run."""
    values = record.values
    return {
        "name": values["name"],
        "created": values["created"],
        "weights_sha256": weights_of(record)[1],
        "data_fingerprint": values["data"]["fingerprint"],
        "verified": record.is_verified,
    }


def decided(values: Values, verdict: Verdict) -> Decision:
    """The decision, not yet written."""
    done = {
        **values,
        "outcome": "promoted" if verdict.passed else "refused",
        "reasons": verdict.reasons,
        "checks": [asdict(check) for check in verdict.checks],
    }
    return Decision(verdict.passed, done, verdict.checks, None)


def copy_beside(file: Path, folder: Path) -> None:
    """Copy the decision beside the candidate; the registry's file is the one that counts."""
    try:
        write_text(folder / PROMOTION, file.read_text(encoding="utf-8"))
    except OSError as error:
        _log.warning(
            "%s: cannot be written (%s); the decision is in %s",
            folder / PROMOTION, reason(error), file,
        )  # fmt: skip
