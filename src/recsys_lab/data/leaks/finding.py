"""Findings of the leak checks and their severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

Severity = Literal["note", "property", "warning", "leak"]
"""Severity of a finding, in ascending order.

- ``note``: a fact about the data.
- ``property``: a consequence of the split's rule, as in published protocols: numbers are better
  than in deployment, and another split avoids it. The data has no error.
- ``warning``: something in the data or the settings biases the numbers; check it.
- ``leak``: the model can read the target before predicting it: a mistake.
"""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

STOPPABLE: tuple[Severity, ...] = ("warning", "leak")
"""Severities that are logged during the preparation and that ``fail_on_leaks`` can refuse."""

FEW, RARE = 5, 0.01
"""Fewer targets, or a smaller share of them, may be due to chance."""

PHASES = ("validation", "test")


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: the usual one.
        message: the sentence after "COUNT of TOTAL UNITS (SHARE)".
        cure: advice, a sentence without its full stop; or empty.
        of: the counted units, with ``{phase}`` for the phase.
        by_time: whether the check needs timestamps.
        of_candidates: whether it only concerns evaluations with ``evaluation.candidates=all``.
        told: whether it is logged during the preparation, whatever its severity.
    """

    severity: Severity
    message: str
    cure: str = ""
    of: str = "{phase} targets"
    by_time: bool = False
    of_candidates: bool = False
    told: bool = False


@dataclass(frozen=True)
class Leak:
    """One finding.

    Attributes:
        kind: its name, one of `recsys_lab.data.leaks.check.KINDS`.
        phase: ``validation`` or ``test``.
        count: number of affected targets (or other units: see `Kind.of`), at least 1.
        total: number of all targets.
        share: ``count / total``.
        severity: see `Severity`.
        explanation: one readable sentence.
        cure: advice; empty for none, and in older manifests.
    """

    kind: str
    phase: str
    count: int
    total: int
    share: float
    severity: Severity
    explanation: str
    cure: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def leak(
    kinds: Mapping[str, Kind], name: str, phase: str, count: int, total: int, **changes: Any
) -> Leak:
    """Make a finding.

    Args:
        kinds: of the family.
        name: of the kind.
        phase: ``validation`` or ``test``.
        count: number of affected targets, at least 1.
        total: number of all targets.
        changes: fields of `Kind` to replace for this finding.
    """
    kind = kinds[name]._replace(**changes)
    share, of = count / total, kind.of.format(phase=phase)
    sentence = f"{count:,} of {total:,} {of} ({share:.1%}) {kind.message}"
    return Leak(name, phase, count, total, share, kind.severity, sentence, kind.cure)


def weighed(count: int, total: int, severity: Severity) -> Severity:
    """A severity that is lowered to ``note`` below `FEW` targets or a share of `RARE`.

    Args:
        count: number of affected targets.
        total: number of all targets.
        severity: above these limits.
    """
    return severity if count >= max(FEW, RARE * total) else "note"


def by_weight(leaks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Findings of a manifest, the most severe first."""
    return sorted(leaks, key=lambda entry: -SEVERITIES.index(entry["severity"]))


class Said(NamedTuple):
    """What a card says of a finding.

    Attributes:
        severity: see `Severity`.
        kind: its name.
        phases: ``validation``, ``test``, or both.
        text: the explanation, with its advice.
    """

    severity: Severity
    kind: str
    phases: str
    text: str


def said_once(leaks: Sequence[Mapping[str, Any]]) -> list[Said]:
    """The findings of a manifest in words, the most severe first.

    Two that differ only in the phase and its numbers are one sentence.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for entry in by_weight(leaks):
        _, end, rest = _counted(entry)
        key = (entry["severity"], entry["kind"], end, rest, entry.get("cure"))
        groups.setdefault(key, []).append(entry)
    said = []
    for entries in groups.values():
        first = entries[0]
        phases = " and ".join(dict.fromkeys(entry["phase"] for entry in entries))
        counts = " and ".join("".join(_counted(entry)[:2]) for entry in entries)
        explanation = f"{counts if _counted(first)[1] else ''}{_counted(first)[2]}"
        text = in_words({**first, "explanation": explanation})
        said.append(Said(first["severity"], first["kind"], phases, text))
    return said


def _counted(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """COUNT of TOTAL UNITS (SHARE, then the end of the bracket, and the rest: all, if other."""
    explanation = str(entry["explanation"])
    before, end, rest = explanation.partition("%)")
    return (before, end, rest) if end else ("", "", explanation)


def in_words(entry: Mapping[str, Any]) -> str:
    """The explanation of a finding in a manifest, with its advice."""
    cure = entry.get("cure")  # older manifests have none
    return f"{entry['explanation']}. {cure}" if cure else str(entry["explanation"])
