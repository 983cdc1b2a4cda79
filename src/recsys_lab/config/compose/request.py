"""A config to compose, and the loader that composes it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from recsys_lab.config import UserError
from recsys_lab.config.compose.loader import Loader
from recsys_lab.config.compose.repository import StoredConfig
from recsys_lab.config.locations import config_dir

COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError)
"""Errors that Hydra raises while it composes a config."""


@dataclass(frozen=True)
class Request:
    """A config to compose.

    Attributes:
        config_path: folder of the primary config.
        config_name: name of the primary config.
        config_dir: the user's folder of configs, or None.
        overrides: the overrides as typed.
        multirun: whether comma-separated values are swept.
        schema: dataclass of the top-level keys.
        stored: the config of a run that is composed instead of the primary config; or None.
        typed: override -> what was typed, where it was rewritten.
    """

    config_path: Path
    config_name: str
    config_dir: str | None
    overrides: list[str]
    multirun: bool
    schema: type[Any]
    stored: StoredConfig | None = None
    typed: Mapping[str, str] = field(default_factory=dict)

    def as_typed(self, text: str) -> str:
        """An override as the user typed it."""
        found = self.typed.get(text, text)
        plain = {typed.partition("=")[0] for typed in self.typed.values()}
        is_forced = found.startswith("++") and found[2:].partition("=")[0] in plain
        return found[2:] if is_forced else found  # one value of several


def make_loader(request: Request) -> Loader:
    """The config loader over the lab's and the user's folders.

    Raises:
        UserError: the user's folder does not exist.
    """
    setup_globals()
    search_path = create_config_search_path(str(request.config_path))
    if request.config_dir is not None:
        folder = Path(request.config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir: no folder {folder}.")
        groups = {path.name for path in config_dir().iterdir() if path.is_dir()}
        if folder.name in groups and not any((folder / group).is_dir() for group in groups):
            raise UserError(
                f"--config-dir: {folder} is a group of configs; give the folder that contains it: "
                f"--config-dir {shlex.quote(str(folder.parent))}"
            )
        query = SearchPathQuery(provider="schema")
        search_path.prepend("command-line", f"file://{folder}", anchor=query)
    return Loader(search_path, request.stored)


def with_plain_groups(request: Request) -> Request:
    """``+group=x`` as ``group=x`` if the group is in the defaults list.

    Hydra refuses the plus there, which users type by analogy with ``+experiment=``.
    """
    if not any(text.startswith("+") for text in request.overrides):
        return request
    try:
        defaults = make_loader(request).compute_defaults_list(request.config_name, [], RunMode.RUN)
    except COMPOSE_ERRORS:
        return request  # the check reports it
    known = defaults.overrides.known_choices
    plain = [
        text[1:] if text.startswith("+") and text[1:].partition("=")[0] in known else text
        for text in request.overrides
    ]
    return replace(request, overrides=plain)
