"""W&B's artifacts: a version of an artifact of type ``model``."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.config.errors import first_line
from recsys_lab.deploy.mirrors.base import ALIAS, Copied, Mirror
from recsys_lab.tracking.wandb_service import import_wandb

_NAME = re.compile(r"(?:(?P<entity>[\w.-]+)/(?P<project>[\w.-]+)/)?(?P<name>[\w.-]+)")
_SECONDS = 60.0


class WandbMirror(Mirror):
    """``wandb:NAME`` in the entity and project of the run, or ``wandb:ENTITY/PROJECT/NAME``.

    W&B keeps equal content as one version, so only the alias moves when a copy is repeated.
    """

    def __init__(self, name: str, tracking: Mapping[str, Any]) -> None:
        super().__init__(name, tracking)
        match = _NAME.fullmatch(name)
        if match is None:
            raise UserError(
                f"mirror=wandb:{name}: expected NAME or ENTITY/PROJECT/NAME of letters, digits, "
                "'-', '_' and '.'"
            )
        self.artifact = match["name"]
        self.entity = match["entity"] or tracking.get("entity")
        self.project = match["project"] or tracking.get("project", "recsys_lab")

    def connect(self) -> None:
        """See `Mirror`."""
        wandb = import_wandb()
        mode = os.environ.get("WANDB_MODE", "online")
        if mode != "online":
            raise UserError(
                f"mirror=wandb:{self.name}: got WANDB_MODE={mode}, but an alias is set on the "
                "server: unset WANDB_MODE; nothing was written"
            )
        try:
            account = wandb.Api(timeout=20).viewer.username
        except Exception as error:
            raise UserError(
                f"mirror=wandb:{self.name}: W&B does not answer, or you are not logged in "
                f"({first_line(error)}); log in: wandb login; nothing was written"
            ) from error
        self.entity = self.entity or account

    def copy(self, copied: Copied) -> str:
        """See `Mirror`."""
        wandb = import_wandb()
        artifact = wandb.Artifact(self.artifact, type="model", metadata=copied.facts)
        for name in copied.names:
            artifact.add_file(str(copied.folder / name), name=name)
        with (
            tempfile.TemporaryDirectory() as folder,
            wandb.init(
                entity=self.entity,
                project=self.project,
                job_type="promote",
                name=f"promote-{self.artifact}-{copied.champion.version}",
                config={**copied.facts, "tracked_run": copied.tracker_ids.get("wandb")},
                dir=folder,
                reinit="finish_previous",
                settings=wandb.Settings(
                    init_timeout=_SECONDS,
                    login_timeout=_SECONDS,
                    silent=True,
                    disable_git=True,
                    x_disable_meta=True,
                ),
            ) as run,
        ):
            run.log_artifact(artifact, aliases=[ALIAS]).wait()
        return f"{self.entity}/{self.project}/{self.artifact}:{ALIAS} is {artifact.version}"
