"""What is recorded of a run before it trains: its data, protocol, code, precision and machine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from recsys_lab.config import UserError
from recsys_lab.runs.sources import source_digest

if TYPE_CHECKING:
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord

_log = logging.getLogger(__name__)


def begin(parts: Components, record: RunRecord, entry: str) -> None:
    """Note what the run works on.

    Args:
        parts: of the run.
        record: of the run, which may have begun before.
        entry: name of the module that does the work.

    Raises:
        UserError: these are not the data or columns that the run began with.
    """
    refuse_other_data(parts, record)
    record.update(
        status="running",
        code=_code(record, entry),
        identity=_identity(parts),
        metrics=parts.metric_definitions(),
        data={
            "name": parts.data.manifest["name"],
            "path": str(parts.data.path.resolve()),
            "fingerprint": parts.data.fingerprint,
            "features_fingerprint": parts.data.features_fingerprint,
            "num_users": parts.data.num_users,
            "num_items": parts.data.num_items,
            "num_interactions": parts.data.num_interactions,
            "has_timestamps": parts.data.timestamps is not None,
        },
        leaks=parts.data.manifest["leaks"],
        protocol=parts.protocol_record(),
        split=parts.data.manifest["split"],
        machine=machine_with(record, parts.device),
    )


def refuse_other_data(parts: Components, record: RunRecord) -> None:
    """The data of a run that goes on are those that it began with.

    Raises:
        UserError: they are not.
    """
    noted = record.values.get("data") or {}
    now = {
        "data": ("fingerprint", parts.data.fingerprint),
        "columns of items, users or events": (
            "features_fingerprint", parts.data.features_fingerprint,
        ),
    }  # fmt: skip
    for what, (key, found) in now.items():
        if noted.get(key, found) != found:
            raise UserError(
                f"{record.folder}: the {what} have changed since the run began ({key} "
                f"{noted[key]}, now {found}); bring the original data back, or start a new run"
            )


def machine_with(record: RunRecord, device: str) -> dict[str, Any]:
    """What is recorded of the machine, with the GPU's name where one is used."""
    name = {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {**record.values["machine"], **name}


def _identity(parts: Components) -> dict[str, str]:
    """What makes the numbers besides settings and code; see `recsys_lab.comparison.identity`."""
    trained = {} if parts.is_fitted else {"precision": str(parts.recipe.trainer_precision())}
    columns = {"features": parts.data.features_fingerprint[:8]}
    begun = {} if parts.origin is None else {"init_from": parts.origin["weights_sha256"][:8]}
    return {"device": parts.device, **trained, **columns, **parts.inputs.contents(), **begun}


def _code(record: RunRecord, entry: str) -> dict[str, Any]:
    """The state of the code with the digest of what the run reads; all of them if it changed."""
    state = record.values.get("code") or {}
    now = {
        "source": source_digest(entry, record.values["config"]),
        "shared": source_digest(entry, {}),  # what runs of other models read, too
    }
    if "source" not in state or state["source"].endswith(now["source"]):
        return {**now, **state}
    _log.warning(
        "%s: the code of the run's parts has changed since it began; it goes on with the code of "
        "today, and compare takes it for a system of its own",
        record.folder,
    )
    return {**state, **{key: f"{state[key]}+{digest}" for key, digest in now.items()}}
