"""Loads what is served: a run, an export, or the champion of a registry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from recsys_lab.config import UserError, command_line
from recsys_lab.config.commands import Verify
from recsys_lab.deploy.registry import REGISTRY, Champion, Registry
from recsys_lab.deploy.serve.export_model import ExportModel
from recsys_lab.deploy.serve.queries import Bundle, ServedModel
from recsys_lab.runs.failure import refuse_unfinished
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import RECORD
from recsys_lab.runs.weights import weights_of

_MANIFEST, _ONNX = "manifest.json", "model.onnx"

Backend = Literal["run", "export"]


@dataclass(frozen=True)
class Loader:
    """Loads models and warms them up.

    Attributes:
        backend: what of a registry's champion is loaded.
        verify: how prepared datasets and exports are checked.
        threads: CPU threads of a model; None: as many as the library chooses.
        warm_up: size of the batch to warm up with.
    """

    backend: Backend
    verify: Verify
    threads: int | None
    warm_up: int

    def first(self, source: Path) -> Bundle:
        """The model to start with.

        Args:
            source: a run, an export, or a registry.

        Raises:
            UserError: it is none of these, has no model, or is damaged.
        """
        if is_registry(source):
            champion = Registry(source).champion()
            if champion is None:
                raise UserError(f"{source}: the registry has no champion yet; promote a run first")
            return self.champion(champion)
        if is_export(source):
            return self.export(source)
        return self.run(source)

    def champion(self, champion: Champion) -> Bundle:
        """The champion of a registry.

        Raises:
            UserError: it cannot be loaded.
        """
        if self.backend == "run":
            bundle = self.run(champion.run)
        elif champion.export is None:
            raise UserError(
                f"backend=export: champion version {champion.version} ({champion.run}) has no "
                "export; export it and promote it with its export, or use backend=run"
            )
        else:
            bundle = self.export(champion.export)
        about = {"champion": champion.version, "promoted": champion.promoted, **bundle.about}
        return replace(bundle, version=str(champion.version), number=champion.version, about=about)

    def run(self, folder: Path) -> Bundle:
        """A finished run.

        Raises:
            UserError: it is not a finished run with a model, or damaged.
        """
        record = whole_record(folder)
        if "windows" not in record.values:
            refuse_unfinished(record, "no model to serve")
        # These import torch, which an export does not need.
        import torch

        from recsys_lab.deploy.serve.run_model import RunModel
        from recsys_lab.experiment.restore import restore

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        parts = restore(record, self.verify)
        data, (_, weights) = record.values["data"], weights_of(record)
        about = {
            "run": folder.resolve().name,
            "name": record.values["name"],
            "model": type(parts.model).__name__,
            "weights_sha256": weights,
            "data": data["name"],
            "data_fingerprint": data["fingerprint"],
            "num_items": data["num_items"],
        }
        version = f"{record.values['name']}-{(weights or record.values['created'])[:12]}"
        return self._bundle(RunModel(parts), version, about)

    def export(self, folder: Path) -> Bundle:
        """An exported folder.

        Raises:
            UserError: it is damaged, or ONNX Runtime is not installed.
        """
        from recsys_lab.deploy.export.exported import ExportedModel  # needs ONNX Runtime

        exported = ExportedModel(folder, threads=self.threads or 0, verify=self.verify)
        manifest = exported.manifest
        digest = manifest["files"][_ONNX]["sha256"]
        about = {
            "export": folder.resolve().name,
            **{name: manifest[name] for name in ("run", "weights_sha256", "data_fingerprint")},
            "model": manifest["model"],
            "onnx_sha256": digest,
            "num_items": len(exported.items),
        }
        return self._bundle(ExportModel(exported), f"{manifest['model']}-{digest[:12]}", about)

    def _bundle(self, model: ServedModel, version: str, about: dict[str, Any]) -> Bundle:
        for rows in (1, self.warm_up):
            model.warm_up(rows)
        loaded = datetime.now(UTC).isoformat(timespec="seconds")
        return Bundle(model, version, 0, {**about, "loaded": loaded})


def is_registry(folder: Path) -> bool:
    """Whether a folder is a registry: it has `REGISTRY`."""
    return (folder / REGISTRY).exists()


def is_export(folder: Path) -> bool:
    """Whether a folder is an export: it has a manifest and an ONNX graph."""
    return (folder / _MANIFEST).exists() and (folder / _ONNX).exists()


def refuse_other(folder: Path, backend: Backend) -> None:
    """Check that a folder can be served.

    Raises:
        UserError: it is missing, or not a run, an export or a registry; or ``backend`` does not
            fit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give a run, an export or a registry")
    is_run = (folder / RECORD).exists()
    if not (is_registry(folder) or is_export(folder) or is_run):
        raise UserError(
            f"{folder}: not a run ({RECORD}), an export ({_ONNX}) or a registry ({REGISTRY}); give "
            "the directory of a finished run, or the registry that a run was promoted in"
        )
    if backend == "export" and not (is_registry(folder) or is_export(folder)):
        raise UserError(
            f"backend=export: {folder} is a run; export it and serve the export: "
            f"{command_line('export', str(folder), 'output=DIR')}"
        )
