"""Old names of components and of their options, in configs: replaced, with a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from recsys_lab.config.errors import UserError
from recsys_lab.moved import WORKS_UNTIL, current, current_key, old_keys

_log = logging.getLogger(__name__)


def warn_of_typed(override: Override) -> None:
    """Warn of a class that is typed by its old name."""
    if override.is_delete() or override.is_sweep_override():  # a multirun's jobs come here, too
        return
    typed = OmegaConf.create({})
    OmegaConf.update(typed, override.key_or_group, override.value(), force_add=True)
    for path, old in targets_in("", typed):
        if old != current(old):
            warn_moved(path.lstrip("."), old)


def rename_targets(node: Any) -> None:
    """Replace old names of moved components by the current ones."""
    if isinstance(node, DictConfig) and not node._is_none():
        for key in list(node.keys()):
            value = node._get_node(key)
            if key == "_target_" and value is not None and isinstance(value._value(), str):
                with flag_override(node, "readonly", False):
                    node[key] = current(value._value())
            else:
                rename_targets(value)
    elif isinstance(node, ListConfig) and not node._is_none():
        for index in range(len(node)):
            rename_targets(node._get_node(index))


def forced(text: str, override: Override) -> str:
    """The override; an old name, which no config has, gets ``++`` and is renamed later."""
    is_old = override.key_or_group in old_keys() and not override.is_delete()
    return f"++{text.lstrip('+')}" if is_old else text


def rename_options(cfg: DictConfig, typed: set[str]) -> None:
    """Rename old options of the lab's components; the command line has precedence over files.

    Args:
        cfg: the composed config.
        typed: the keys of the command line.
    """
    for key in old_keys():
        new = current_key(key)
        group, _, option = key.partition(".")
        node = cfg._get_node(group) if group in cfg else None
        if not isinstance(node, DictConfig) or node._is_none() or option not in node.keys():  # noqa: SIM118
            continue
        if not str(resolved(node, "_target_")).startswith("recsys_lab."):
            continue  # a user's class
        value = node._get_node(option)
        if new.partition(".")[2] in node.keys():  # noqa: SIM118 - false for a stored run's config
            warn_renamed(key)
        if new in typed and key in typed:
            raise UserError(f"{key}: the old name of {new}, which is given too; leave it out")
        with flag_override(node, ["readonly", "struct"], False):
            if new not in typed:
                node[new.partition(".")[2]] = value
            del node[option]


@cache
def warn_renamed(key: str) -> None:
    """Warn of an option's old name, once in a process."""
    _log.warning("%s is now %s; use the new name: %s", key, current_key(key), WORKS_UNTIL)


@cache
def warn_moved(where: str, old: str) -> None:
    """Warn of a class's old name, once in a process for each place."""
    _log.warning("%s: %s is now %s; use the new name: %s", where, old, current(old), WORKS_UNTIL)


def targets_in(path: str, node: Any) -> Iterator[tuple[str, str]]:
    """Every ``_target_`` in a node, with its dotted path below `path`."""
    if isinstance(node, DictConfig) and not node._is_none():
        for key in node.keys():  # noqa: SIM118 - iterating would resolve the values
            if key == "_target_":
                yield f"{path}.{key!s}", str(resolved(node, key))
            else:
                yield from targets_in(f"{path}.{key!s}", resolved(node, key))
    elif isinstance(node, ListConfig) and not node._is_none():
        for index in range(len(node)):
            yield from targets_in(f"{path}.{index}", resolved(node, index))


def resolved(node: Any, key: Any) -> Any:
    """A value, or None if it is missing or can only be resolved when a job runs."""
    try:
        return node[key] if isinstance(node, DictConfig | ListConfig) else None
    except (OmegaConfBaseException, LookupError):
        return None
