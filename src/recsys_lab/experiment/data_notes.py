"""Notes about the data under the chosen protocol, printed at the start of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.data.leaks.check import OF_CANDIDATES
from recsys_lab.data.leaks.finding import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.experiment.components import Components

FEW = 0.01
"""Smallest share of targets for a note."""


def notes_on_data(parts: Components) -> Iterator[str]:
    """The notes, one sentence each.

    Args:
        parts: components of the run.
    """
    manifest, protocol = parts.data.manifest, parts.protocol
    if protocol.config.mean_over == "lists" and not protocol.over_lists:
        yield (
            "evaluation.mean_over=lists: every user has one list in this split, so it equals users "
            "and the protocol is recorded as that (split.target=successive gives several lists)"
        )
    ranks_all = protocol.candidates()["candidates"] == "all items"
    leaks = {(leak["kind"], leak["phase"]): leak for leak in manifest["leaks"]}
    share = leaks.get(("repeated_targets", "test"), {"share": 0.0})["share"]
    if protocol.config.exclude_seen and share > FEW:
        yield (
            f"{share:.1%} of the test targets are repeat purchases (items of the user's history); "
            "evaluation.exclude_seen=true makes them unreachable"
        )
    if ranks_all:
        for leak in manifest["leaks"]:
            grave = leak["severity"] != "note" and leak["phase"] == "test"
            if grave and leak["kind"] in OF_CANDIDATES:
                yield in_words(leak)
    period = protocol.config.target_period
    if period is not None and parts.data.timestamps is None:
        yield (
            f"evaluation.target_period={period}: the log has no timestamps, so the test is not "
            "sliced by them"
        )
    cold = manifest["split"].get("items_without_events", 0)
    if cold and ranks_all and parts.knows_ids_alone:
        name = type(parts.model).__name__
        yield (
            f"{cold:,} of {parts.data.num_items:,} items have no event (filter.catalogue=table), "
            f"and {name} reads only item ids: it ranks these items without having learned them. "
            "evaluation.candidates=known leaves them out; inputs=text or inputs=side_information "
            "gives the model their features"
        )
