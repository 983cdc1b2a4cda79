"""Exports a run: traces, writes, compares with the lab, and only then shows the folder."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from omegaconf import OmegaConf

from recsys_lab.config import UserError, install_hint
from recsys_lab.deploy.export import card, folder
from recsys_lab.deploy.export.check import agreement, compared, histories_of, refuse_different
from recsys_lab.deploy.export.exported import ExportedModel
from recsys_lab.deploy.export.graph import OPSET, traced, write_int8, write_onnx, write_program
from recsys_lab.deploy.export.pretrained import save_pretrained
from recsys_lab.deploy.export.program import Program, folded
from recsys_lab.deploy.export.refusals import refuse_unsupported
from recsys_lab.experiment.recommend.ranker import HistoryRanker
from recsys_lab.files.digests import digest
from recsys_lab.files.reading import read_parquet
from recsys_lab.runs.model_card.page import card_of
from recsys_lab.runs.provenance import package_versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord

_PACKAGES = ("onnx", "onnxruntime", "onnxscript", "safetensors")
_CURE = "; prepare the data again: prepare=true"


@dataclass(frozen=True)
class Options:
    """Options of an export, as in ``configs/export.yaml``.

    Attributes:
        k: length of the lists; the catalogue at most.
        program: write the torch.export program.
        int8: write the graph with 8-bit weights.
        users: write the user ids.
        check_users: number of users that are compared.
    """

    k: int = 100
    program: bool = False
    int8: bool = False
    users: bool = False
    check_users: int = 1000


def export(record: RunRecord, parts: Components, output: Path, options: Options) -> Iterator[str]:
    """Write a run as a folder that needs no lab.

    Args:
        record: of the run.
        parts: its restored components; the model is moved to the CPU.
        output: the new folder.
        options: what is written.

    Yields:
        Lines that say what was done; the folder is there after the last one.

    Raises:
        UserError: the model is not supported, or the lists of the graph differ from the lab's.
    """
    _need_packages()
    refuse_unsupported(parts)
    folder.refuse_used(output)
    parts.model.cpu()
    parts.device = "cpu"
    ranker = HistoryRanker(parts)
    model = folded(parts.model)
    manifest = _manifest(record, parts, ranker, options)
    if not bool(torch.isfinite(model.item_table()).all()):
        raise UserError(f"{record.folder}: an item vector is NaN or infinite; train the run again")
    with folder.new_folder(output) as scratch:
        node = OmegaConf.load(record.folder / "config.yaml").model
        save_pretrained(model, node, scratch)
        _write_ids(parts.data, scratch, users=options.users)
        program = Program(
            model, manifest["k"], _candidates(ranker), ranks_empty=manifest["ranks_empty"]
        ).eval()
        graph = traced(program, reads_times=manifest["reads_times"])
        if options.program:
            write_program(graph, scratch / folder.PROGRAM)
        write_onnx(graph, scratch / folder.ONNX)
        if options.int8:
            write_int8(scratch / folder.ONNX, scratch / folder.INT8)
        yield from _compare(ranker, parts.data, scratch, manifest, options)
        names = [path.name for path in scratch.iterdir() if path.name != folder.MANIFEST]
        text = card.readme(
            card_of(record), manifest, sorted([*names, folder.MANIFEST]), parts.data.item_ids()[:2]
        )
        (scratch / folder.CARD).write_text(text, encoding="utf-8")
        folder.write_manifest(scratch, manifest)
    yield f"written: {output}"


def _need_packages() -> None:
    """Check that the exporter's packages are installed.

    Raises:
        UserError: one is missing.
    """
    for name in _PACKAGES:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise UserError(
                f"export needs {name}, which is not installed: {install_hint('export')}"
            ) from None


def _manifest(
    record: RunRecord, parts: Components, ranker: HistoryRanker, options: Options
) -> dict[str, Any]:
    values, data = record.values, parts.data
    # An event of an unknown item is skipped, which leaves a history without events.
    nothing = pl.DataFrame({"user_id": ["\0"], "item_id": ["\0"], "timestamp": [0]})
    versions = package_versions() | {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "run": {
            "folder": record.folder.resolve().name,
            "name": values["name"],
            "created": values["created"],
            "digest": values.get("digest"),
        },
        "model": type(parts.model).__name__,
        "weights_sha256": digest(record.folder / record.weights)["sha256"],
        "data_fingerprint": data.fingerprint,
        "opset": OPSET,
        "k": min(options.k, data.num_items),
        "window": parts.model.window,
        "num_items": data.num_items,
        "num_users": data.num_users,
        "reads_times": bool(parts.traits.reads_times),
        "exclude_seen": parts.protocol.config.exclude_seen,
        "ranks_empty": ranker.recommend(nothing, 1).num_unranked == 0,
        "options": asdict(options),
        "versions": versions,
    }


def _candidates(ranker: HistoryRanker) -> torch.Tensor | None:
    """Items that the run's protocol ranks, bool (V,); None: all."""
    left_out_V = ranker.not_candidates_V
    return None if left_out_V is None else torch.from_numpy(~left_out_V)


def _write_ids(data: PreparedDataset, scratch: Path, *, users: bool) -> None:
    items = read_parquet(data.path / "items.parquet", _CURE)
    items = items.rename({"index": "index_of_log"}, strict=False).rename({"item": "index"})
    items.write_parquet(scratch / folder.ITEMS)
    text = json.dumps(data.item_ids(), ensure_ascii=False)
    (scratch / folder.ITEM_IDS).write_text(text, encoding="utf-8")
    if users:
        ids = read_parquet(data.path / "users.parquet", _CURE, ["user_id"])
        ids.with_row_index("index").write_parquet(scratch / folder.USERS)


def _compare(
    ranker: HistoryRanker,
    data: PreparedDataset,
    scratch: Path,
    manifest: dict[str, Any],
    options: Options,
) -> Iterator[str]:
    """Compare the lists of the written graphs with the lab's, and add the result to the manifest.

    Raises:
        UserError: they differ.
    """
    k = manifest["k"]
    histories = histories_of(data, options.check_users, named=options.users)
    lab = ranker.recommend(histories, k).lists
    folder.write_manifest(scratch, manifest)  # for the reader
    model = ExportedModel(scratch)
    check = compared(lab, model.recommend(histories, k), k)
    refuse_different(check)
    manifest["check"] = check.as_dict()
    yield (
        f"{check.users:,} users, top {k}: {check.identical:,} lists identical with the lab's, "
        f"{check.near_ties:,} but for the order of scores within {check.tolerance:.0e}"
    )
    if options.int8:
        lists = ExportedModel(scratch, int8=True).recommend(histories, k)
        manifest["int8"] = agreement(lab, lists, k)
        shown = ", ".join(f"{name} {value:.1%}" for name, value in manifest["int8"].items())
        yield f"8-bit weights: {shown}"
    (scratch / folder.MANIFEST).unlink()
