"""What a check of a prepared dataset finds, and how bad it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

Severity = Literal["note", "property", "warning", "leak"]
"""How much a finding weighs, rising.

- ``note``: good to know of the data.
- ``property``: the split's own rule lets it happen, as published protocols do: numbers are better
  than they would be in use, and another split is the cure. Nothing is wrong with the data.
- ``warning``: something in the data or the settings bends the numbers; look at it.
- ``leak``: the answer can be read before it is to be found: a mistake.
"""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

STOPPABLE: tuple[Severity, ...] = ("warning", "leak")
"""What is told during the preparation: not what is good to know, or a property of the split."""

FEW, RARE = 5, 0.01
"""Fewer targets than these, or a smaller share of them, may be so by chance."""

PHASES = ("validation", "test")


class Kind(NamedTuple):
    """What is looked for.

    Attributes:
        severity: the usual one.
        said: how the sentence ends that begins with the count.
        cure: what to do about it, a sentence without its full stop; empty where nothing is.
        of: what is counted, with ``{phase}`` for its name.
        by_time: whether it cannot be found in a log without timestamps.
        of_candidates: whether a choice of candidates other than ``all`` is the cure, so that it
            does not concern an evaluation that has one.
    """

    severity: Severity
    said: str
    cure: str = ""
    of: str = "{phase} targets"
    by_time: bool = False
    of_candidates: bool = False


@dataclass(frozen=True)
class Leak:
    """One finding.

    Attributes:
        kind: its name, one of `recsys_lab.data.leaks.check.KINDS`.
        phase: ``validation`` or ``test``.
        count: targets (or what the kind counts) concerned, at least 1.
        total: of which they are a part.
        share: ``count / total``.
        severity: see `Severity`.
        explanation: one sentence for people.
        cure: what to do about it; empty where nothing is to be done, or in older manifests.
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
    """A finding in words.

    Args:
        kinds: of the family.
        name: of the kind.
        phase: ``validation`` or ``test``.
        count: what was found, at least 1.
        total: of how many.
        changes: fields of `Kind` that differ this time.
    """
    kind = kinds[name]._replace(**changes)
    share, of = count / total, kind.of.format(phase=phase)
    sentence = f"{count:,} of {total:,} {of} ({share:.1%}) {kind.said}"
    return Leak(name, phase, count, total, share, kind.severity, sentence, kind.cure)


def weighed(count: int, total: int, severity: Severity) -> Severity:
    """The severity of what may happen by chance: a ``note`` below `FEW` targets or `RARE` of all.

    Args:
        count: what was found.
        total: of how many.
        severity: above these.
    """
    return severity if count >= max(FEW, RARE * total) else "note"


def by_weight(leaks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings as they stand in a manifest, the gravest first."""
    return sorted(leaks, key=lambda found: -SEVERITIES.index(found["severity"]))


def in_words(found: Mapping[str, Any]) -> str:
    """The explanation of a finding in a manifest, and what to do."""
    cure = found.get("cure")  # older manifests have none
    return f"{found['explanation']}. {cure}" if cure else str(found["explanation"])
