"""The README of an export: the run's model card, and how the folder is used without the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.deploy.export.folder import (
    CONFIG,
    INT8,
    ITEM_IDS,
    ITEMS,
    MANIFEST,
    ONNX,
    PROGRAM,
    USERS,
    WEIGHTS,
)
from recsys_lab.pages import markdown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FILES = {
    ONNX: "ONNX graph from histories to ranked lists",
    INT8: "the same with 8-bit weights; its lists are not identical",
    PROGRAM: "the same graph as a torch.export program",
    WEIGHTS: "weights (safetensors)",
    CONFIG: "options of the model",
    ITEMS: "index, item_id and columns of every item",
    ITEM_IDS: "the item ids alone, in the order of their indices",
    USERS: "index and user_id of every user of the log",
    MANIFEST: "run, data, versions, the comparison with the lab, SHA-256 of the files",
}
HEADING = "## Use without the lab"


def readme(card: str, manifest: Mapping[str, Any], files: Sequence[str], ids: Sequence[Any]) -> str:
    """The README.

    Args:
        card: the model card of the run, as Markdown.
        manifest: the manifest without its files.
        files: names of the files.
        ids: some item ids, for the example.
    """
    check = manifest["check"]
    inputs = [
        ("items", "int64 (batch, length)", f"item indices, oldest first, padded with -1 at the "
         f"end; at most the {manifest['window']} most recent events"),
        ("seen", "int64 (batch, seen)", "items that must not appear, padded with -1; for none, "
         "one column of -1"),
        ("users", "int64 (batch)", f"order equal scores; {manifest['num_users']} for anybody"),
    ]  # fmt: skip
    if manifest["reads_times"]:
        inputs.append(
            ("timestamps", "int64 (batch, length)", "seconds since the epoch of the events")
        )
    agreed = (
        f"On {check['users']:,} users the graph's top {check['k']} lists were compared with the "
        f"lab's: {check['identical']:,} identical, {check['near_ties']:,} equal but for the order "
        f"of scores that differ by less than {check['tolerance']:.0e}, 0 different."
    )
    parts = [
        "---\nlibrary_name: recsys_lab\npipeline_tag: other\ntags:\n- recommender-system\n- onnx\n"
        f"- {manifest['model'].lower()}\n---",
        HEADING,
        "In this folder, with onnxruntime and numpy:",
        f"```python\n{snippet(manifest, ids)}```",
        f"The graph (opset {manifest['opset']}) has lists of {manifest['k']} items: a shorter list "
        "is the beginning of one. Inputs, for any batch size and length:",
        markdown.table(("input", "type", "content"), inputs),
        "Outputs: `item_indices`, int64, padded with -1, and `scores`, float32. A row of NaN "
        "scores cannot be ranked. "
        + ("" if manifest["ranks_empty"] else "A history without items has an empty list. ")
        + agreed,
        markdown.table(("file", "content"), [(name, _FILES[name]) for name in files]),
    ]
    head, _, rest = card.partition("\n")
    return "\n\n".join([parts[0], head, *parts[1:], rest.strip()]) + "\n"


def snippet(manifest: Mapping[str, Any], ids: Sequence[Any]) -> str:
    """Python code that prints a list for a history of these items, oldest first."""
    history = list(ids)
    lines = [
        "import json",
        "from pathlib import Path",
        "import numpy as np",
        "import onnxruntime",
        f'session = onnxruntime.InferenceSession("{ONNX}")',
        f'ids = json.loads(Path("{ITEM_IDS}").read_text(encoding="utf-8"))',
        f"seen = np.array([[ids.index(item) for item in {history!r}]])",
        f'inputs = {{"items": seen[:, -{manifest["window"]}:], "seen": seen, '
        f'"users": np.array([{manifest["num_users"]}])}}',
        "items, scores = session.run(None, inputs)",
        "print([ids[item] for item in items[0, :10] if item >= 0])",
    ]
    if manifest["reads_times"]:
        times = [1_700_000_000 + 3600 * event for event in range(len(history))]
        lines.insert(-2, f'inputs["timestamps"] = np.array([{times}])[:, -{manifest["window"]}:]')
    return "\n".join(lines) + "\n"
