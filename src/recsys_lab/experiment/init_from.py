"""``train init_from=RUN_DIR``: a new run initialised with another run's weights.

The weights are those of the other run's test: of its best epoch, or of its refit, which was trained
on validation events.

On the same data (equal fingerprints) all weights are copied. On other data they are matched by raw
id: see `recsys_lab.experiment.matched_weights`. The optimizer starts anew in both cases. A summary
is printed and recorded in ``run.json`` (``init_from``); the weights' hash is part of the run's
identity. A refit of the new run starts with the same weights, stored in `FIRST`.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load_file, save_file

from recsys_lab.config import UserError
from recsys_lab.config.targets import import_class
from recsys_lab.experiment.matched_weights import NEW_ROWS, match_weights, matched
from recsys_lab.experiment.restore import prepared_of
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.models.inputs.item_inputs import KEPT
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.origin import are_of_refit, first_weights
from recsys_lab.training.checkpoint_names import LAST

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    same = _same_data(data, parts)
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
        taken |= match_weights(where, source, prepared_of(source), parts, weights)
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
        f"equal raw ids; {taken['items_fresh']:,} new items start with the {NEW_ROWS}, and "
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
    _refuse_texts(where, source, parts)


def _same_data(data: Mapping[str, Any], parts: Components) -> bool:
    """Whether all codes mean the same: those of items, and those of columns that are read."""
    own = parts.data
    features = data.get("features_fingerprint", own.features_fingerprint)
    same_columns = parts.inputs.plain or features == own.features_fingerprint
    return bool(data["fingerprint"] == own.fingerprint and same_columns)


def _refuse_texts(where: str, source: RunRecord, parts: Components) -> None:
    """Refuse weights that were trained on vectors of another encoder, or of other texts."""
    inputs = parts.inputs
    noted = (source.values.get("identity") or {}).get("text_vectors")
    if noted in (None, inputs.contents().get("text_vectors")):
        return
    msg = (
        f"{where}: was trained with other text vectors, so its weights cannot be used; use the "
        "same texts and the same encoder"
    )
    if _same_data(source.values["data"], parts):
        raise UserError(msg)
    if inputs.config.text_mode == "frozen":
        raise UserError(
            f"{where}: was trained on other data with inputs.text_mode=frozen, whose components "
            "are those of one catalogue; use the same data, or leave initial weights out"
        )
    with source.reading(KEPT) as path:
        theirs_SE = np.load(path, allow_pickle=False)
    from_V = matched(prepared_of(source).item_ids(), parts.data.item_ids())
    known_V = from_V >= 0
    ours_VE = inputs.text_vectors
    same_width = ours_VE is not None and ours_VE.shape[1] == theirs_SE.shape[1]
    # Some texts may have changed; with another encoder all vectors have.
    if (
        not same_width
        or not np.isclose(ours_VE[known_V], theirs_SE[from_V[known_V]], atol=1e-4).all(1).any()
    ):
        raise UserError(msg)


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


def _load(where: str, model: Any, weights: dict[str, Tensor]) -> None:
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    other = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = [name for name in {**own, **other} if own.get(name) != other.get(name)]
    if wrong:
        shown = ", ".join(f"{n} ({other.get(n)} there, {own.get(n)} here)" for n in wrong[:3])
        raise UserError(f"{where}: its weights do not fit this model: {shown}")
    model.load_state_dict(weights)
