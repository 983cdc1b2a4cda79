"""A sweep with ``init_from``: every trial has the architecture of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from recsys_lab.config import UserError
from recsys_lab.experiment.init_from import other_architecture
from recsys_lab.runs.find import whole_record
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.space import as_override, as_overrides


def refuse_other_architectures(plan: Plan, init_from: str | None) -> None:
    """Refuse a space with trials that cannot load the weights.

    Args:
        plan: of the sweep.
        init_from: of its config: the run directory, or None.

    Raises:
        UserError: keys of the space or of the config change the architecture.
    """
    if init_from is None:
        return
    source = whole_record(Path(init_from)).values["config"]
    dimensions = plan.search.space.dimensions
    searched = {d.key for d in dimensions}

    def differing(overrides: Sequence[str]) -> dict[str, str]:
        cfg: Any = OmegaConf.to_container(plan.composed(overrides), resolve=True)
        return other_architecture(source, cfg)

    wrong: dict[str, list[Any]] = {}
    whole = searched & {"model", "inputs"}
    fixed = [] if whole else [text for key, text in differing([]).items() if key not in searched]
    if fixed:
        raise UserError(
            f"init_from={init_from}: has another architecture, so no trial can use its weights: "
            f"{'; '.join(fixed)}. Give the same options, or search without init_from"
        )
    for dimension in dimensions:
        group, _, option = dimension.key.partition(".")
        if group not in ("model", "inputs"):
            continue
        for value in dimension.extremes:
            point = {**dimension.when, dimension.key: value}
            other = differing(as_overrides(point, [key for key in point if plan.is_group(key)]))
            own = dimension.key if option else f"{group}._target_"
            if own in other:
                wrong.setdefault(dimension.key, []).append(as_override(dimension.key, value))
    if wrong:
        values = "; ".join(", ".join(texts) for texts in wrong.values())
        raise UserError(
            f"init_from={init_from}: has another architecture than some trials, which cannot use "
            f"its weights: {values}. Remove "
            f"{', '.join(f'search.params.{key}' for key in wrong)} from the space, or search "
            "without init_from"
        )
