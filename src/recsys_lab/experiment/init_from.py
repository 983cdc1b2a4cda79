"""``train init_from=RUN_DIR``: a new run initialised with another run's weights.

The weights are those of the other run's test: of its best epoch, or of its refit, which was trained
on validation events.

On the same data (equal fingerprints) all weights are copied. On other data the layers are copied,
and the vectors of items with equal raw ids; new items keep their random initialisation. A summary
is printed and recorded in ``run.json`` (``init_from``); the weights' hash is part of the run's
identity. A refit of the new run starts with the same weights, stored in `FIRST`.

Shapes: V items of this run, S items of the other.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from recsys_lab.config import UserError
from recsys_lab.config.targets import import_class
from recsys_lab.experiment.restore import prepared_of
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.models.sequential.dot_product import DotProductModel
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.origin import are_of_refit, first_weights
from recsys_lab.training.checkpoint_names import LAST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from rich.console import Console
    from torch import Tensor

    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord

FIRST = "first.safetensors"
"""The initial weights, stored for the refit: the other run may be deleted by then."""

_CURE = "; restore the file, or use another run"


def begin_from(parts: Components, record: RunRecord, console: Console, *, refits: bool) -> None:
    """Load the weights of ``init_from`` into the model, and record their source.

    A run with checkpoints resumes from those: the other run is not read again.

    Args:
        parts: components of the run; the model is changed, and ``parts.origin`` set.
        record: record of the run.
        console: the console.
        refits: whether a refit follows, with the same initial weights: see `begin_again`.

    Raises:
        UserError: the other run has no weights, or they do not fit this model.
    """
    if parts.init_from is None:
        return
    noted = record.values.get("init_from")
    is_kept = not refits or (record.folder / FIRST).exists()
    if noted and is_kept and (record.folder / "checkpoints" / LAST).exists():
        parts.origin = noted
        return
    where = f"init_from={parts.init_from}"
    if parts.is_fitted:
        raise UserError(
            f"{where}: {parts.model_name} is a fitted model without initial weights; use a trained "
            "model, or leave init_from out"
        )
    source = whole_record(Path(parts.init_from))
    _refuse(where, source, record, parts)
    with source.reading(source.weights, _CURE) as path:
        weights = load_file(path)
    data = source.values["data"]
    same = data["fingerprint"] == parts.data.fingerprint
    taken = {
        "run": str(source.folder.resolve()),
        "name": source.values["name"],
        "weights": source.weights,
        "weights_sha256": source.values["files"][source.weights]["sha256"],
        "data_fingerprint": data["fingerprint"],
        "same_data": same,
        "items_taken": parts.data.num_items,
        "items_fresh": 0,
        "items_left_out": 0,
    }
    if not same:
        taken |= _map_items(where, source, parts, weights)
    _load(where, parts.model, weights)
    if noted and noted["weights_sha256"] != taken["weights_sha256"]:
        raise UserError(
            f"{where}: the weights have changed since this run started "
            f"({noted['weights_sha256'][:8]}, now {taken['weights_sha256'][:8]}); restore them, or "
            "start a new run"
        )
    parts.origin = taken
    record.update(init_from=taken)
    if refits:
        first = {k: v.detach().cpu().contiguous() for k, v in parts.model.state_dict().items()}
        replace_atomically(record.folder / FIRST, lambda path: save_file(first, path))
        record.note_files(FIRST)
    console.print(f"{where}: {_summary(taken)}", soft_wrap=True, highlight=False)


def begin_again(model: Any, record: RunRecord) -> None:
    """Load the run's initial weights into the model of its refit.

    Args:
        model: the untrained model; changed in place.
        record: record of a run for which `begin_from` stored the weights.

    Raises:
        UserError: they are missing or damaged.
    """
    with record.reading(FIRST) as path:
        _load(f"{record.folder / FIRST}", model, load_file(path))


def _summary(taken: Mapping[str, Any]) -> str:
    """A readable summary of the initial weights."""
    text = f"starts with the {first_weights(taken)}"
    if taken["same_data"]:
        caution = "; these were trained on the validation events, so validation is optimistic"
        return f"{text}, on the same data{caution if are_of_refit(taken) else ''}"
    return (
        f"{text}, trained on other data: copied the vectors of {taken['items_taken']:,} items with "
        f"equal raw ids; {taken['items_fresh']:,} items start with random vectors, and "
        f"{taken['items_left_out']:,} items of the other data are left out. The other data may "
        "include this run's validation and test events"
    )


def _refuse(where: str, source: RunRecord, record: RunRecord, parts: Components) -> None:
    """Check that the other run is finished, has weights, and the same architecture."""
    if not source.done or source.weights not in source.values.get("files", {}):
        reason = f"its status is '{source.status}'" if not source.done else "it was fitted"
        raise UserError(
            f"{where}: {source.folder} has no weights to start from: {reason}; use a finished run "
            "of a trained model"
        )
    differing = other_architecture(source.values["config"], record.values["config"])
    if differing:
        raise UserError(
            f"{where}: has another architecture, so its weights cannot be used: "
            f"{'; '.join(differing.values())}. Use the same options, or leave init_from out"
        )
    data, own = source.values["data"], parts.data
    same = data["fingerprint"], data.get("features_fingerprint")
    if not parts.inputs.plain and same != (own.fingerprint, own.features_fingerprint):
        raise UserError(
            f"{where}: was trained on other data, and inputs of columns or texts depend on the "
            "codes of those; only with inputs=ids items are matched by raw ids. Use the same data, "
            "or leave init_from out"
        )
    texts = (source.values.get("identity") or {}).get("text_vectors")
    if texts not in (None, parts.inputs.contents().get("text_vectors")):
        raise UserError(
            f"{where}: was trained with other text vectors, so its weights cannot be used; use the "
            "same texts and the same encoder"
        )


def other_architecture(source: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """The options of the architecture that differ between two runs: key -> both values in words.

    Args:
        source: config of the run with the weights.
        config: config of the run to be initialised with them.
    """
    differing = {}
    for group in ("model", "inputs"):
        other, this = _options(source[group]), _options(config[group])
        for key in dict.fromkeys([*other, *this]):
            if other.get(key) != this.get(key) and not _is_free(key):
                values = f"{group}.{key} ({other.get(key)!r} there, {this.get(key)!r} here)"
                differing[f"{group}.{key}"] = values
    return differing


def _options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a component, with defaults for options that older runs do not have."""
    later = [f for f in fields(import_class(settings["_target_"]).Config) if f.kw_only]
    older = {
        f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in later
    }
    return {**older, **settings}


def _is_free(key: str) -> bool:
    """Whether the weights do not depend on an option: dropout rates, encoders and folders.

    Text vectors are compared by their content.
    """
    return "dropout" in key or key == "encoder" or key.endswith("_dir")


def _map_items(
    where: str, source: RunRecord, parts: Components, weights: dict[str, Tensor]
) -> dict[str, int]:
    """Map the other run's item vectors to this run's items, in place."""
    model = parts.model
    if not isinstance(model, DotProductModel):
        raise UserError(
            f"{where}: was trained on other data, and the item weights of {parts.model_name} are "
            "not known; use the same data, or a model that derives from "
            "recsys_lab.models.sequential.dot_product.DotProductModel"
        )
    ids, theirs = parts.data.item_ids(), prepared_of(source).item_ids()
    index = {str(item): number for number, item in enumerate(theirs)}
    from_V = np.array([index.get(str(item), -1) for item in ids])
    shared = int((from_V >= 0).sum())
    if not shared:
        raise UserError(
            f"{where}: has no item in common with these data: ids there are e.g. {theirs[0]!r}, "
            f"here {ids[0]!r}"
        )
    tables = [table.weight for table in (model.items, model.output) if table is not None]
    for name, own in model.named_parameters(remove_duplicate=False):
        if any(own is table for table in tables):
            weights[name] = _mapped(weights[name], own.detach(), from_V)
    left = len(theirs) - shared
    return {"items_taken": shared, "items_fresh": len(ids) - shared, "items_left_out": left}


def _mapped(theirs_SD: Tensor, own_VD: Tensor, from_V: NDArray[np.int64]) -> Tensor:
    """Rows of the other table for shared items, else those of this table."""
    rows = torch.from_numpy(from_V)
    mapped = own_VD.clone().cpu()
    mapped[rows >= 0] = theirs_SD[rows[rows >= 0]].to(mapped.dtype)
    return mapped


def _load(where: str, model: Any, weights: dict[str, Tensor]) -> None:
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    other = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = [name for name in {**own, **other} if own.get(name) != other.get(name)]
    if wrong:
        shown = ", ".join(f"{n} ({other.get(n)} there, {own.get(n)} here)" for n in wrong[:3])
        raise UserError(f"{where}: its weights do not fit this model: {shown}")
    model.load_state_dict(weights)
