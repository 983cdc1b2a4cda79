"""Check a command line and its composed config, before anything is imported or written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from recsys_lab.config import UserError
from recsys_lab.config.check import find_problems
from recsys_lab.config.commands import TrainConfig
from recsys_lab.config.errors import did_you_mean, report
from recsys_lab.config.hydra_loader import Loader
from recsys_lab.config.literal_secrets import literal_secrets
from recsys_lab.config.locations import config_dir
from recsys_lab.config.origins import ConfigSources, choices
from recsys_lab.config.repository import StoredConfig

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


def check(request: Request) -> DictConfig:
    """Check the whole command.

    Args:
        request: the command.

    Returns:
        The composed config with its ``hydra`` node (of the first job for a multirun), which
        `HydraConfig` is set to, so that ``${hydra:...}`` resolves.

    Raises:
        UserError: one message with all problems.
    """
    preflight = _Preflight(request)
    cfg = preflight.run()
    if preflight.problems:
        raise UserError(report(preflight.problems))
    assert cfg is not None  # None only with problems
    return cfg


def check_to_print(request: Request) -> None:
    """Check a command that only prints its config.

    Raises:
        UserError: a choice does not exist, which Hydra ignores for optional groups, or a secret
            would be printed.
    """
    preflight = _Preflight(request)
    preflight.parsed()
    if not preflight.problems and issubclass(request.schema, TrainConfig):
        try:
            cfg = preflight.loader.load_configuration(
                request.config_name, request.overrides, RunMode.RUN
            )
        except COMPOSE_ERRORS:
            return  # Hydra reports it when it prints the config
        preflight.problems += literal_secrets(cfg)
    if preflight.problems:
        raise UserError(report(preflight.problems))


class _Preflight:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.loader = make_loader(request)
        self.problems: list[str] = []

    def run(self) -> DictConfig | None:
        first = None
        for variant in self._variants(self.parsed()):
            cfg = self._check_variant(variant)
            first = cfg if first is None else first
        if first is not None:
            HydraConfig.instance().set_config(first)
        return first

    def parsed(self) -> list[Override]:
        """The valid overrides, whose choices exist; the others become problems."""
        overrides = [o for text in self.request.overrides for o in self._parse(text)]
        return [o for o in overrides if self._choice_exists(o)]

    def _parse(self, text: str) -> list[Override]:
        try:
            parser = OverridesParser.create(config_loader=self.loader)
            return [parser.parse_override(text)]
        except HydraException as error:
            hint = "" if "=" in text else " Overrides are key=value."
            self.problems.append(f"{self.request.as_typed(text)}: {one_line(error)}{hint}")
            return []

    def _is_group(self, override: Override) -> bool:
        return bool(self.loader.repository.group_exists(override.key_or_group))

    def _choice_exists(self, override: Override) -> bool:
        group = override.key_or_group
        if override.is_delete() or override.is_hydra_override() or not self._is_group(override):
            return True
        names = choices(self.loader, group)
        wanted = self._values(override)
        wanted = [v for value in wanted for v in (value if isinstance(value, list) else [value])]
        wrong = ["null" if v is None else str(v) for v in wanted if str(v) not in names]
        for name in wrong:
            hint = did_you_mean(name, names)
            self.problems.append(
                f"{group}: no choice {name!r}{hint} Choices: {', '.join(names) or 'none'}. "
                f"(from the override {self.request.as_typed(str(override.input_line))})"
            )
        return not wrong

    def _values(self, override: Override) -> list[Any]:
        if not override.is_sweep_override():
            return [override.value()]
        return list(override.sweep_string_iterator()) if override.is_discrete_sweep() else []

    def _variants(self, overrides: Sequence[Override]) -> Iterator[list[Override]]:
        """The override lists to check: each swept value once, with the first of the others."""
        sweeps = [o for o in overrides if o.is_sweep_override()]
        if not self.request.multirun or not sweeps:
            yield list(overrides)
            return
        singles: dict[int, list[Override]] = {
            id(o): [_single(o, value) for value in self._values(o)] for o in sweeps
        }
        # Sweeps over an interval cannot be enumerated: these keys keep their defaults.
        base = [s for o in overrides for s in singles.get(id(o), [o])[:1]]
        yield base
        for sweep in sweeps:
            for other in singles[id(sweep)][1:]:
                yield [other if o.key_or_group == other.key_or_group else o for o in base]

    def _check_variant(self, overrides: list[Override]) -> DictConfig | None:
        cfg = self._compose(overrides)
        if cfg is None:
            return None
        HydraConfig.instance().set_config(cfg)
        if issubclass(self.request.schema, TrainConfig):
            self.problems += literal_secrets(cfg)
        values = [o for o in overrides if not self._is_group(o)]
        sources = ConfigSources(self.loader, values, self.loader.defaults, self.request.as_typed)
        self.problems += find_problems(_without_hydra(cfg), self.request.schema, sources)
        return cfg

    def _texts(self, overrides: Sequence[Override]) -> list[str]:
        return [self._text(o) for o in overrides]

    def _text(self, override: Override) -> str:
        assert override.input_line is not None
        plain = override.is_delete() or override.is_hydra_override() or self._is_group(override)
        if plain or override.is_sweep_override():
            return override.input_line
        # Hydra stops at the first unknown key; ++ lets all of them reach the checker.
        return f"++{override.key_or_group}={override.get_value_string()}"

    def _compose(self, overrides: list[Override]) -> DictConfig | None:
        """Compose; if that fails, report the overrides that fail alone, and leave them out."""
        cfg, error = self._try(overrides)
        if error is None:
            return cfg
        _, error_without = self._try([])
        failing = [] if error_without else [(o, e) for o in overrides if (e := self._try([o])[1])]
        self.problems += [
            f"{self.request.as_typed(str(o.input_line))}: {problem}" for o, problem in failing
        ]
        if not failing:
            self.problems.append(error)
            return None
        left_out = [o for o, _ in failing]
        return self._try([o for o in overrides if o not in left_out])[0]

    def _try(self, overrides: Sequence[Override]) -> tuple[DictConfig | None, str | None]:
        name, texts = self.request.config_name, self._texts(overrides)
        try:
            return self.loader.load_configuration(name, texts, RunMode.RUN), None
        except COMPOSE_ERRORS as error:
            return None, one_line(error)


def one_line(error: BaseException) -> str:
    """The message of an error and of its cause, as one line."""
    parts = [str(error)]
    if error.__cause__ is not None:
        parts.append(str(error.__cause__).partition("full_key:")[0])
    lines = [" ".join(part.split()) for part in parts if part.strip() not in ("", "None")]
    return "; ".join(lines) or type(error).__name__


def _single(override: Override, value: str) -> Override:
    line = f"{override.get_key_element()}={value}"
    return replace(OverridesParser.create().parse_override(line), input_line=line)


def _without_hydra(cfg: DictConfig) -> DictConfig:
    task = cfg.copy()
    with open_dict(task):
        del task["hydra"]
    return task
