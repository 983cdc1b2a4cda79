"""Hydra's own settings can name classes to build; a config may not run code that way either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from recsys_lab.config.targets import allowed_prefixes

HYDRAS_OWN = (
    "hydra._internal.core_plugins.",
    "hydra_plugins.",
    "logging.",
    "colorlog.",
    "ext://sys.stdout",
    "ext://sys.stderr",
)


def foreign_code(cfg: DictConfig) -> list[str]:
    """Hydra builds its launcher, callbacks and log handlers from the config: check them too.

    Args:
        cfg: composed config with its ``hydra`` node.

    Returns:
        A problem for every class or function there that is not Hydra's, logging's or allowed.
    """
    allowed = (*HYDRAS_OWN, *(f"{prefix}." for prefix in allowed_prefixes()))
    return [
        f"{path}: {name!r} is not allowed: a config may not run any code."
        for part in ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")
        for path, name in _named_code(f"hydra.{part}", _resolved(cfg.hydra, part))
        if not name.startswith(allowed)
    ]


def _named_code(path: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, DictConfig) and not node._is_none():
        for key in node.keys():  # noqa: SIM118 - iterating would resolve the values
            if key in ("_target_", "class", "()"):
                yield f"{path}.{key!s}", str(_resolved(node, key))
            else:
                yield from _named_code(f"{path}.{key!s}", _resolved(node, key))
    elif isinstance(node, ListConfig) and not node._is_none():
        for index in range(len(node)):
            yield from _named_code(f"{path}.{index}", _resolved(node, index))
    elif isinstance(node, str) and node.startswith("ext://"):
        yield path, node


def _resolved(node: DictConfig | ListConfig, key: Any) -> Any:
    """A value, or None where it is missing or can be known only when a job runs."""
    try:
        return node[key]
    except OmegaConfBaseException:
        return None
