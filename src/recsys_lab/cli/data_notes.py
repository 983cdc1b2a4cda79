"""What must be known of the data under the chosen protocol, said before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.cli.assemble import Parts

FEW = 0.01
"""A smaller share of targets is not worth a note."""


def notes_on_data(parts: Parts) -> Iterator[str]:
    """A sentence each.

    Args:
        parts: the assembled run.
    """
    manifest, protocol = parts.data.manifest, parts.protocol
    leaks = {(leak["kind"], leak["phase"]): leak for leak in manifest["leaks"]}
    share = leaks.get(("repeated_targets", "test"), {"share": 0.0})["share"]
    if protocol.config.exclude_seen and share > FEW:
        yield (
            f"{share:.1%} of the test targets stand in their user's history already; with "
            "evaluation.exclude_seen=true no model can hit these"
        )
    period = protocol.config.target_period
    if period is not None and parts.data.timestamps is None:
        yield (
            f"evaluation.target_period={period}: the log has no times, so the test is not cut by "
            "those of its targets"
        )
    unused = manifest["split"].get("items_unused", 0)
    if unused and protocol.candidates()["candidates"] == "all items":
        yield (
            f"{unused:,} of {parts.data.num_items:,} items have no event in the periods of this "
            "split and are candidates nevertheless; evaluation.candidates=released (what was there "
            "at the target's time) or known (what was trained on) leaves them out"
        )
