"""The record of a run before training: data, protocol, code, precision and machine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import ReadsFiles, ResolvesOptions
from recsys_lab.contracts.processes import shard
from recsys_lab.runs.sources import source_digest
from recsys_lab.training.numerics import in_effect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord
    from recsys_lab.training.recipe import Recipe

_log = logging.getLogger(__name__)


def begin(parts: Components, record: RunRecord, entry: str) -> None:
    """Record data, protocol, code and machine of a run.

    Args:
        parts: components of the run.
        record: record of the run, which may be resumed.
        entry: name of the module that executes the run.

    Raises:
        UserError: data or columns have changed since the run began.
    """
    refuse_other_data(parts, record)
    refuse_other_files(parts, record)
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
        resolved=_resolved(parts),
        numerics=None if parts.is_fitted else in_effect(parts.recipe),
    )


def refuse_other_data(parts: Components, record: RunRecord) -> None:
    """Check that the data and codes of a resumed run have not changed.

    Raises:
        UserError: they have.
    """
    noted = record.values.get("data") or {}
    now = {
        "data": ("fingerprint", parts.data.fingerprint),
        "columns of items, users or events": (
            "features_fingerprint",
            parts.data.features_fingerprint,
        ),
    }
    for what, (key, value) in now.items():
        if noted.get(key, value) != value:
            raise UserError(
                f"{record.folder}: the {what} have changed since the run began ({key} "
                f"{noted[key]}, now {value}); restore the original data, or start a new run"
            )
    codes = (record.values.get("identity") or {}).get("semantic_ids")
    now_codes = parts.semantic_ids and parts.semantic_ids.fingerprint[:8]
    if codes not in (None, now_codes):
        raise UserError(
            f"{record.folder}: the semantic IDs have changed since the run began (fingerprint "
            f"{codes}, now {now_codes}); restore what they were made from, or start a new run"
        )


def refuse_other_files(parts: Components, record: RunRecord) -> None:
    """Check that files that the model reads are those of the run.

    Raises:
        UserError: they are not.
    """
    noted = record.values.get("identity") or {}
    for name, now in _files(parts).items():
        if noted.get(name, now) != now:
            raise UserError(
                f"{record.folder}: the {name.replace('_', ' ')} has changed since the run began "
                f"(digest {noted[name]}, now {now}); restore the original files, or start a new run"
            )


def machine_with(record: RunRecord, device: str) -> dict[str, Any]:
    """The machine's record, with the GPU's name if one is used, and the number of processes."""
    name = {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {**record.values["machine"], **name, "processes": shard()[1]}


def _identity(parts: Components) -> dict[str, str]:
    """What determines results besides settings and code: see `recsys_lab.comparison.identity`."""
    trained = {} if parts.is_fitted else _precisions(parts.recipe)
    columns = {"features": parts.data.features_fingerprint[:8]}
    codes = (
        {} if parts.semantic_ids is None else {"semantic_ids": parts.semantic_ids.fingerprint[:8]}
    )
    source = {} if parts.origin is None else {"init_from": parts.origin["weights_sha256"][:8]}
    return {
        "device": parts.device,
        **trained,
        **columns,
        **parts.inputs.contents(),
        **codes,
        **_files(parts),
        **source,
    }


def _precisions(recipe: Recipe) -> dict[str, str]:
    """The precision in effect; that of products only if it is not the one of older runs."""
    used = in_effect(recipe)
    products = used["matmul_precision"]
    extra = {} if products == "highest" else {"matmul_precision": products}
    return {"precision": used["precision"], **extra}


def _resolved(parts: Components) -> dict[str, str]:
    """What options with the value ``auto`` are on this machine."""
    reads_loss = not parts.is_fitted and isinstance(parts.loss, ResolvesOptions)
    return dict(parts.loss.resolved(parts.device)) if reads_loss else {}


def _files(parts: Components) -> Mapping[str, str]:
    """Digests of the files that the model reads."""
    return parts.model.contents() if isinstance(parts.model, ReadsFiles) else {}


def _code(record: RunRecord, entry: str) -> dict[str, Any]:
    """The state of the code with digests of the modules that the run imports."""
    state = record.values.get("code") or {}
    now = {
        "source": source_digest(entry, record.values["config"]),
        "shared": source_digest(entry, {}),  # code that all models share
    }
    if "source" not in state or state["source"].endswith(now["source"]):
        return {**now, **state}
    _log.warning(
        "%s: the code of the run's components has changed since it began; it resumes with the "
        "current code, and compare treats it as a separate system",
        record.folder,
    )
    return {**state, **{key: f"{state[key]}+{digest}" for key, digest in now.items()}}
