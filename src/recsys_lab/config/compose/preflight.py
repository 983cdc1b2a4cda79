"""Check a command line and its composed config, before anything is imported or written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, get_type_hints

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from recsys_lab.config import UserError
from recsys_lab.config.check import find_problems
from recsys_lab.config.commands import TrainConfig
from recsys_lab.config.compose.loader import Loader
from recsys_lab.config.compose.request import COMPOSE_ERRORS, Request, make_loader
from recsys_lab.config.errors import one_line, report
from recsys_lab.config.help.own_choice import own_choice
from recsys_lab.config.help.shell_words import not_a_pair, split_values
from recsys_lab.config.help.value_habits import value_hint
from recsys_lab.config.literal_secrets import literal_secrets
from recsys_lab.config.locations import config_dir
from recsys_lab.config.origins import ConfigSources, choices
from recsys_lab.config.verbs import VERBS, Verb


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
    preflight = _Preflight(request, make_loader(request))
    cfg = preflight.run()
    if preflight.problems:
        raise UserError(report(preflight.problems))
    assert cfg is not None  # None only with problems
    return cfg


def check_to_print(request: Request, loader: Loader, *, finds_problems: bool) -> list[str]:
    """Check a command that only prints its config.

    Args:
        request: the command.
        loader: of its config, which has composed it afterwards.
        finds_problems: whether to look for problems with the config itself, which takes longer.

    Returns:
        The problems for which the config would be refused, e.g. a class that does not exist.

    Raises:
        UserError: a choice does not exist, which Hydra ignores for optional groups, or a secret
            would be printed.
    """
    preflight = _Preflight(request, loader)
    overrides = preflight.parsed()
    would_be: list[str] = []
    if not preflight.problems:
        try:
            cfg = preflight.loader.load_configuration(
                request.config_name, request.overrides, RunMode.RUN
            )
        except COMPOSE_ERRORS:
            preflight.run()  # says what is wrong, as for a command that runs
            if not preflight.problems:
                return []  # Hydra reports it when it prints the config
            raise UserError(report(preflight.problems)) from None
        if issubclass(request.schema, TrainConfig):
            preflight.problems += literal_secrets(cfg)
        would_be = preflight.problems_of(cfg, overrides) if finds_problems else []
    if preflight.problems:
        raise UserError(report(preflight.problems))
    return would_be


class _Preflight:
    def __init__(self, request: Request, loader: Loader) -> None:
        self.request = request
        self.loader = loader
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
        typed = [self.request.as_typed(text) for text in self.request.overrides]
        split = dict(split_values(typed))
        self.problems += split.values()
        of_split = {index for indices in split for index in indices}
        overrides = [
            override
            for index, text in enumerate(self.request.overrides)
            if index not in of_split
            for override in self._parse(text, *[None, *typed][index : index + 2])
        ]
        return [o for o in overrides if self._is_of_command(o) and self._choice_exists(o)]

    def _parse(self, text: str, before: str | None, typed: str | None) -> list[Override]:
        if not text.startswith("~") and (wrong := not_a_pair(str(typed), before)):
            self.problems.append(wrong)
            return []
        try:
            parser = OverridesParser.create(config_loader=self.loader)
            return [parser.parse_override(text)]
        except HydraException as error:
            key, _, _ = str(typed).partition("=")
            what = one_line(error)
            if not _KEY.fullmatch(key):
                what = f"{key!r} is not a key: expected names joined by dots, e.g. model.num_layers"
            self.problems.append(f"{typed}: {what}")
            return []

    @property
    def _of_lab(self) -> bool:
        """Whether the config is one of the lab's, not of a stored run."""
        return self.request.config_path == config_dir()

    def _is_group(self, override: Override) -> bool:
        return bool(self.loader.repository.group_exists(override.key_or_group))

    def _is_of_command(self, override: Override) -> bool:
        """Whether the override is not a choice of a group that only other verbs have."""
        group = override.key_or_group
        if not self._of_lab or not self._is_group(override) or group in self._keys(self.request):
            return True
        owners = [f"recsys-lab {name}" for name, verb in VERBS.items() if group in self._keys(verb)]
        if owners:
            typed = self.request.as_typed(str(override.input_line))
            self.problems.append(f"{typed}: {group} is a group of {', '.join(owners)} only.")
        return not owners

    @staticmethod
    def _keys(command: Request | Verb) -> dict[str, Any]:
        return get_type_hints(command.schema)

    def _choice_exists(self, override: Override) -> bool:
        group = override.key_or_group
        if override.is_delete() or override.is_hydra_override() or not self._is_group(override):
            return True
        names = choices(self.loader, group)
        wanted = self._values(override)
        wanted = [v for value in wanted for v in (value if isinstance(value, list) else [value])]
        wrong = ["null" if v is None else str(v) for v in wanted if str(v) not in names]
        for name in wrong:
            hint = value_hint(group, name, names)
            own = (
                own_choice(group, name, self.request.config_dir)
                if hint == "." and self._of_lab
                else ""
            )
            self.problems.append(
                f"{group}: no choice {name!r}{hint} Choices: {', '.join(names) or 'none'}. {own}"
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
        if issubclass(self.request.schema, TrainConfig):
            self.problems += literal_secrets(cfg)
        self.problems += self.problems_of(cfg, overrides)
        return cfg

    def problems_of(self, cfg: DictConfig, overrides: Sequence[Override]) -> list[str]:
        """The problems of a composed config, which `HydraConfig` is set to."""
        HydraConfig.instance().set_config(cfg)
        self.problems += _unmarked(cfg)
        values = [o for o in overrides if not self._is_group(o)]
        sources = ConfigSources(self.loader, values, self.loader.defaults, self.request.as_typed)
        return find_problems(_without_hydra(cfg), self.request.schema, sources)

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


_KEY = re.compile(r"(\+\+?|~)?[\w./@:$-]+")


def _unmarked(cfg: DictConfig) -> list[str]:
    """A smoke test whose file does not mark the run, which would be compared like any other."""
    choice = cfg.hydra.runtime.choices.get("debug")
    if choice is None or isinstance(cfg.get("debug"), str):
        return []
    return [
        f"debug={choice}: its file does not mark the run as a smoke test; begin the file with "
        f"# @package _global_ and add the line debug: {choice}"
    ]


def _single(override: Override, value: str) -> Override:
    line = f"{override.get_key_element()}={value}"
    return replace(OverridesParser.create().parse_override(line), input_line=line)


def _without_hydra(cfg: DictConfig) -> DictConfig:
    task = cfg.copy()
    with open_dict(task):
        del task["hydra"]
    return task
