"""The semantic IDs of a retrained run: kept for known items where the quantiser can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from recsys_lab.config import UserError
from recsys_lab.experiment.restore import restore
from recsys_lab.experiment.semantic_ids import KEPT_CODES, SOURCES, tokenize
from recsys_lab.pages.number_format import number, percent
from recsys_lab.semantic_ids.churn import churn

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.runs.record import RunRecord

_KEEP = "semantic_ids.keep"


def keep_codes_of(parent: RunRecord, config: DictConfig) -> None:
    """Set ``semantic_ids.keep`` to the run, in place, unless it was given or cannot be kept.

    Codes of other options are other codes, so they are not kept then.
    """
    if KEPT_CODES not in parent.values.get("files", {}) or _is_given():
        return
    stored = parent.values["config"]["semantic_ids"]
    now: Any = OmegaConf.to_container(config.semantic_ids)
    free = {*SOURCES, "keep"}
    same = all(stored.get(key) == now[key] for key in now if key not in free)
    config.semantic_ids.keep = str(parent.folder) if same else None


def _is_given() -> bool:
    if not HydraConfig.initialized():
        return False
    given = HydraConfig.get().overrides.task
    return any(text.partition("=")[0].lstrip("+") == _KEEP for text in given)


def codes_report(parent: RunRecord, config: DictConfig, data: PreparedDataset) -> dict[str, Any]:
    """Make the codes, and compare them with those of the run.

    Returns:
        ``kept``: whether known items keep their codes; ``churn``: see
        `recsys_lab.semantic_ids.churn.churn`, None if no item is in both.

    Raises:
        UserError: the run's weights are to be used, and known items have other codes now.
    """
    made = tokenize(config, data, restore)
    kept = bool(made.manifest.get("kept_codes", {}).get("kept"))
    if config.init_from is not None and not kept:
        raise UserError(
            "warm=true: known items have other semantic IDs now, so the weights of the codes mean "
            f"other items ({made.manifest['name']} cannot keep them, or its options have changed); "
            "use warm=false"
        )
    with parent.reading(KEPT_CODES) as path:
        try:
            changes = churn(made.folder, path)[1]
        except UserError:  # no item in both, or ids of another type
            changes = None
    return {"kept": kept, "fingerprint": made.manifest["fingerprint"], "churn": changes}


def codes_line(codes: dict[str, Any]) -> str:
    """The report in one line."""
    changes = codes["churn"]
    if changes is None:
        return "semantic IDs: made again; none can be compared with those of RUN"
    known, new = number(changes["items"]), number(changes["new"])
    if codes["kept"]:
        return f"semantic IDs: {known} known items keep their codes; {new} new items get codes"
    equal = percent(changes["levels"][-1]["equal"])
    return (
        f"semantic IDs: made again; {equal} of {known} known items have the codes they had, {new} "
        "items are new"
    )
