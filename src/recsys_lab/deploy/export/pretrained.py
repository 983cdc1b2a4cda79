"""Weights and options of an exported model, in the layout of Hugging Face's ``save_pretrained``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from recsys_lab.config import build, config_values
from recsys_lab.deploy.export.folder import CONFIG, WEIGHTS
from recsys_lab.files.reading import reading
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from recsys_lab.models.sequential.dot_product import DotProductModel

_CURE = "; export the run again"
_OWN = "recsys_lab"


def save_pretrained(model: DotProductModel, node: DictConfig, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``.

    Args:
        model: folded: see `recsys_lab.deploy.export.program.folded`.
        node: the config of the model, with ``_target_``.
        folder: exists.
    """
    size = model.item_table().shape[0]
    values = {
        "architectures": [type(model).__name__],
        "model_type": f"{_OWN}_{type(model).__name__.lower()}",
        "torch_dtype": str(model.item_table().dtype).removeprefix("torch."),
        **config_values(node),
        _OWN: {
            "version": __version__,
            "target": str(node["_target_"]),
            "num_items": size,
            "cosine": bool(model.cosine),
        },
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def load_pretrained(folder: Path) -> DotProductModel:
    """The exported model, in evaluation mode, with item vectors as plain tables.

    Raises:
        UserError: a file is missing or damaged, or the model's class is not available.
    """
    with reading(folder / CONFIG, _CURE):
        values: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        own = values.pop(_OWN)
    for name in ("architectures", "model_type", "torch_dtype"):
        values.pop(name)
    node = {"_target_": own["target"], **values}
    model: DotProductModel = build(node, num_items=own["num_items"])
    model.cosine = own["cosine"]
    with reading(folder / WEIGHTS, _CURE):
        tensors = load_file(folder / WEIGHTS)
    model.load_state_dict(tensors)
    return model.eval()
