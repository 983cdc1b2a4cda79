"""From a checked config node to the object it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recsys_lab.config.errors import UserError
from recsys_lab.config.targets import import_class

if TYPE_CHECKING:
    from omegaconf import DictConfig

    Node = DictConfig | Mapping[str, Any]


def config_values(node: Node) -> dict[str, Any]:
    """The options of a component node as plain values, interpolations resolved.

    Args:
        node: a config node with ``_target_``.

    Returns:
        Every key but ``_target_``; lists are lists and mappings dicts.
    """
    from omegaconf import DictConfig, OmegaConf

    plain: Any = (
        OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    )
    return {str(key): value for key, value in plain.items() if key != "_target_"}


def build(node: Node, **extras: Any) -> Any:
    """Import the class that ``_target_`` names and make it from the node.

    Args:
        node: a config node with ``_target_`` and every option of the class's ``Config``.
        extras: what only the program knows, e.g. ``num_items``; keyword arguments of the
            class beside its config.

    Returns:
        ``cls(cls.Config(**options), **extras)``.

    Raises:
        UserError: the target is not allowed or not found, or the options are not its options.
    """
    target = node.get("_target_")
    cls = import_class(target, _group(node))
    try:
        config = cls.Config(**config_values(node))
    except TypeError as error:
        raise UserError(f"{target}: {error}") from error
    return cls(config, **extras)


def _group(node: Node) -> str | None:
    """The key that the node stands under in its config: what it may be is known from that."""
    from omegaconf import DictConfig

    return node._key() if isinstance(node, DictConfig) else None
