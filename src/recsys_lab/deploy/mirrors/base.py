"""What is copied to a mirror, and the option ``mirror`` that chooses one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError, command_line
from recsys_lab.config.errors import first_line
from recsys_lab.deploy.registry import Registry
from recsys_lab.files.digests import content_hash, digests
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.weights import weights_of

if TYPE_CHECKING:
    from recsys_lab.deploy.registry import Champion

ALIAS = "champion"
_KINDS = {"mlflow": "MlflowMirror", "wandb": "WandbMirror"}
_FORM = re.compile(rf"({'|'.join(_KINDS)}):(.+)")


class NotCopied(UserError):
    """The champion is in the registry, but not in the mirror."""


@dataclass(frozen=True)
class Copied:
    """The champion as it is copied.

    Attributes:
        champion: in the registry.
        folder: its export, or its run directory.
        names: the copied files, relative to the folder.
        tracker_ids: tracker -> its id of the run.
    """

    champion: Champion
    folder: Path
    names: tuple[str, ...]
    tracker_ids: Mapping[str, str]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of names and contents."""
        return content_hash(digests(self.folder, self.names))

    @property
    def facts(self) -> dict[str, str]:
        """Shown beside the copy."""
        return {
            "run": str(self.champion.run),
            "registry_version": str(self.champion.version),
            "decision": str(self.champion.decision),
            "weights_sha256": self.champion.weights_sha256 or "unknown",
        }


class Mirror(ABC):
    """A model of a tracker's registry.

    Args:
        name: of the model, as given after the colon.
        tracking: options of the run's trackers, from its config.

    Raises:
        UserError: the name is not valid.
    """

    def __init__(self, name: str, tracking: Mapping[str, Any]) -> None:
        self.name = name
        self.tracking = tracking

    @abstractmethod
    def connect(self) -> None:
        """Reach the registry.

        Raises:
            UserError: it is not installed, not configured, or does not answer.
        """

    @abstractmethod
    def copy(self, copied: Copied) -> str:
        """Store the files, unless they are there, and set the alias.

        Returns:
            Where, for people.
        """


def mirror_of(option: str, run: Path) -> Mirror:
    """The mirror that the option ``mirror`` names.

    Args:
        option: ``mlflow:NAME`` or ``wandb:NAME``.
        run: a run whose config has the tracker's options.

    Raises:
        UserError: the option is not valid.
    """
    match = _FORM.fullmatch(option)
    if match is None:
        raise UserError(
            f"mirror={option}: expected mlflow:NAME, wandb:NAME or wandb:ENTITY/PROJECT/NAME"
        )
    tracking = whole_record(run).values["config"].get("tracking", {})
    module = import_module(f"recsys_lab.deploy.mirrors.{match[1]}")
    mirror: Mirror = getattr(module, _KINDS[match[1]])(match[2], tracking)
    return mirror


def copy_champion(registry: Path, mirror: Mirror, option: str) -> str:
    """Copy the present champion.

    Returns:
        Where, for people.

    Raises:
        NotCopied: it failed; the message has the command that repeats it.
    """
    champion = Registry(registry).champion()
    assert champion is not None, "the caller has one"
    try:
        return mirror.copy(_copied(champion))
    except Exception as error:
        again = command_line("promote", f"registry={registry}", f"mirror={option}")
        raise NotCopied(
            f"mirror={option}: the champion is version {champion.version} of registry={registry}, "
            f"but it was not copied ({first_line(error)}). Copy it: {again}"
        ) from error


def _copied(champion: Champion) -> Copied:
    record = whole_record(champion.run)
    ids = record.values.get("trackers", {})
    if champion.export is not None:
        files = sorted(path for path in champion.export.rglob("*") if path.is_file())
        names = tuple(path.relative_to(champion.export).as_posix() for path in files)
        return Copied(champion, champion.export, names, ids)
    names = ("config.yaml", "run.json", weights_of(record)[0])
    return Copied(champion, record.folder, names, ids)
