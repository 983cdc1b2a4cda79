"""Build objects from checked config nodes."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from recsys_lab.config.choice import Choice, Chosen
from recsys_lab.config.errors import UserError
from recsys_lab.config.targets import import_class
from recsys_lab.moved import WORKS_UNTIL

if TYPE_CHECKING:
    from omegaconf import DictConfig

    Node = DictConfig | Mapping[str, Any]

_log = logging.getLogger(__name__)


def config_values(node: Node) -> dict[str, Any]:
    """The options of a component node as plain values, interpolations resolved.

    Args:
        node: a config node with ``_target_``.

    Returns:
        All keys except ``_target_``, as plain lists and dicts.
    """
    from omegaconf import DictConfig, OmegaConf

    plain: Any = (
        OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    )
    return {str(key): value for key, value in plain.items() if key != "_target_"}


def component_targets(cfg: DictConfig) -> dict[str, str]:
    """The class of every component of a config, by its key."""
    from omegaconf import DictConfig, OmegaConf

    nodes = {
        key: cfg[key]
        for key in map(str, cfg)
        # Interpolations of Hydra can only be read while one of its jobs runs.
        if not OmegaConf.is_missing(cfg, key) and not OmegaConf.is_interpolation(cfg, key)
    }
    return {
        key: str(node["_target_"])
        for key, node in nodes.items()
        if isinstance(node, DictConfig) and node.get("_target_") is not None
    }


def build(node: Node, **extras: Any) -> Any:
    """Import the class of ``_target_`` and build it from the node.

    Args:
        node: a config node with ``_target_`` and every option of the class's ``Config``.
        extras: further keyword arguments of the class, e.g. ``num_items``.

    Returns:
        ``cls(cls.Config(**options), **extras)``.

    Raises:
        UserError: the target is not allowed or does not exist, or does not have these options.
    """
    cls = import_class(node.get("_target_"), _group(node))
    return _made(cls, _config(cls, node), extras)


def class_of_chosen(choice: Choice, chosen: Chosen) -> type[Any]:
    """The class that the value of an open option names.

    Args:
        choice: the allowed values of the option.
        chosen: a name of the lab, or a node with ``_target_``.

    Raises:
        UserError: the target is not allowed or does not exist, or is not a class of this kind.
    """
    if isinstance(chosen, str):
        if chosen in choice.renamed:
            _warn_renamed(choice, chosen)
        return _imported(choice.target(chosen))
    cls = import_class(chosen.get("_target_"), choice)
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise UserError(
            f"{chosen['_target_']} is not a valid {choice}: it lacks the method "
            f"{', '.join(lacking)}"
        )
    if choice.base is not None:
        base = _imported(f"{choice.package}.{choice.base}")
        if not issubclass(cls, base):
            raise UserError(
                f"{chosen['_target_']} is not a valid {choice}: derive it from "
                f"{base.__module__}.{base.__name__}"
            )
    return cls


def build_chosen(choice: Choice, chosen: Chosen, **extras: Any) -> Any:
    """Build the object that the value of an open option describes.

    Args:
        choice: the allowed values of the option.
        chosen: a name of the lab, or a node with ``_target_``.
        extras: further keyword arguments of the class.

    Returns:
        ``cls(**extras)`` for a name, ``cls(cls.Config(**options), **extras)`` for a node.

    Raises:
        UserError: see `class_of_chosen`; or the class does not have these options.
    """
    cls = class_of_chosen(choice, chosen)
    return cls(**extras) if isinstance(chosen, str) else _made(cls, _config(cls, chosen), extras)


def _made(cls: type[Any], config: Any, extras: Mapping[str, Any]) -> Any:
    """The object, of a class whose ``__init__`` takes the options and ``extras``."""
    try:
        inspect.signature(cls).bind(config, **extras)
    except TypeError:
        wanted = ", ".join(["self", "config", *(["*", *extras] if extras else [])])
        raise UserError(
            f"{cls.__module__}.{cls.__qualname__}: its __init__ takes {inspect.signature(cls)}, "
            f"expected __init__({wanted})"
        ) from None
    return cls(config, **extras)


def _imported(target: str) -> type[Any]:
    module, _, name = target.rpartition(".")
    cls: type[Any] = getattr(importlib.import_module(module), name)
    return cls


@cache
def _warn_renamed(choice: Choice, old: str) -> None:
    new = choice.renamed[old]
    _log.warning("the %s %s is now %s; use the new name: %s", choice, old, new, WORKS_UNTIL)


def _config(cls: type[Any], node: Node) -> Any:
    try:
        return cls.Config(**config_values(node))
    except TypeError as error:
        raise UserError(f"{node.get('_target_')}: {error}") from error


def _group(node: Node) -> str | None:
    """The key of the node in its config, which is its config group."""
    from omegaconf import DictConfig

    return node._key() if isinstance(node, DictConfig) else None
