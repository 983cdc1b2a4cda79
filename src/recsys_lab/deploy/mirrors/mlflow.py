"""MLflow's model registry: a version of a registered model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.errors import first_line
from recsys_lab.deploy.mirrors.base import ALIAS, Copied, Mirror
from recsys_lab.tracking.mlflow import client_of, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_CONTENT = "content_sha256"
"""Tag of a version with the hash of its files."""


class MlflowMirror(Mirror):
    """``mlflow:NAME``: the files are artifacts of the run that MLflow has tracked, or of a new one.

    The server is that of the run, ``tracking.mlflow_uri``, or MLFLOW_TRACKING_URI.
    """

    def __init__(self, name: str, tracking: Mapping[str, Any]) -> None:
        super().__init__(name, tracking)
        if set(name) & set("/:'\""):
            raise UserError(
                f"mirror=mlflow:{name}: a model's name has no '/', no ':' and no quotes"
            )

    def connect(self) -> None:
        """See `Mirror`."""
        tracked = "mlflow" in self.tracking.get("trackers", ())
        uri = store_uri(self.tracking.get("mlflow_uri") if tracked else None)
        self._client = client_of(uri, f"mirror=mlflow:{self.name}")
        try:
            self._client.search_registered_models(max_results=1)
        except Exception as error:
            raise UserError(
                f"mirror=mlflow:{self.name}: MLflow at {uri} does not answer "
                f"({first_line(error)}); nothing was written"
            ) from error

    def copy(self, copied: Copied) -> str:
        """See `Mirror`."""
        client = self._client
        if not client.search_registered_models(filter_string=f"name='{self.name}'"):
            client.create_registered_model(self.name)
        versions = client.search_model_versions(f"name='{self.name}'")
        same = [version for version in versions if version.tags.get(_CONTENT) == copied.sha256]
        number = (same[0] if same else self._new_version(copied)).version
        for key, value in copied.facts.items():
            client.set_model_version_tag(self.name, number, key, value)
        client.set_registered_model_alias(self.name, ALIAS, number)
        return f"models:/{self.name}@{ALIAS} is version {number}"

    def _new_version(self, copied: Copied) -> ModelVersion:
        client, run = self._client, self._run(copied)
        root = PurePosixPath(f"{ALIAS}-{copied.sha256[:12]}")
        for name in copied.names:
            folder = root / PurePosixPath(name).parent
            client.log_artifact(run.info.run_id, str(copied.folder / name), str(folder))
        return client.create_model_version(
            self.name,
            f"{run.info.artifact_uri}/{root}",
            run_id=run.info.run_id,
            tags={_CONTENT: copied.sha256},
        )

    def _run(self, copied: Copied) -> Run:
        """The tracked run; a new one if MLflow has none."""
        from mlflow.exceptions import MlflowException

        client, known = self._client, copied.tracker_ids.get("mlflow")
        if known is not None:
            with suppress(MlflowException):  # deleted, or of another server
                return client.get_run(known)
        project = self.tracking.get("project", self.name)
        experiment = client.get_experiment_by_name(project)
        identifier = experiment.experiment_id if experiment else client.create_experiment(project)
        run = client.create_run(identifier, run_name=copied.champion.run.name, tags=copied.facts)
        client.set_terminated(run.info.run_id)
        return run
