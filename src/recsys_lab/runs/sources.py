"""A digest of the source code that determines a run's numbers."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.schema import targets_of
from recsys_lab.config.targets import allowed_prefixes, find_source

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("model", "inputs", "loss", "recipe", "evaluation")
"""Config groups whose code determines numbers; prepared data has its own fingerprint."""
_APART = (
    "cli",
    "comparison",
    "config",
    "files",
    "moved",
    "pages",
    "runs",
    "sweeps",
    "tracking",
    "experiment.prepare",
)
"""Modules of the lab without influence on the numbers, and data preparation."""


def source_digest(entry: str, config: Mapping[str, Any]) -> str:
    """A hash of the source of a run's parts and of their imports from the lab or the user's code.

    It does not depend on other models, reports or documentation, but on uncommitted and untracked
    changes. Nothing is imported.

    Args:
        entry: name of the module that runs an experiment.
        config: of the run.

    Returns:
        16 hex digits.
    """
    targets = [target for part in PARTS for target in _targets(config.get(part) or {}, part)]
    waiting = [entry, *(target.rpartition(".")[0] for target in targets)]
    files: dict[str, Path | None] = {}
    while waiting:
        module = waiting.pop()
        if module in files or not _counts(module):
            continue
        files[module] = path = find_source(module)
        if path is not None:
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            waiting += [package, *_imports(ast.parse(path.read_bytes()).body, package)]
    digest = hashlib.sha256()
    for module, path in sorted(files.items()):
        if path is not None:
            digest.update(f"{module}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _targets(node: Mapping[str, Any], part: str) -> Iterator[str]:
    """The classes that a part's config names, including nested ones such as optimizers.

    Metrics are left out: they do not change lists, and a user's own have their own digests.
    """
    if "_target_" in node:
        try:
            yield from targets_of(node, part) if part != "evaluation" else [str(node["_target_"])]
        except UserError:
            yield str(node["_target_"])  # a record of another version


def _counts(module: str) -> bool:
    first, _, rest = module.partition(".")
    if first != "recsys_lab":
        return any(f"{module}.".startswith(f"{prefix}.") for prefix in allowed_prefixes())
    return not any(f"{rest}.".startswith(f"{name}.") for name in _APART)


def _imports(body: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Modules imported by statements at any depth, except under ``TYPE_CHECKING``."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else ()), *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(node.orelse, package)
        else:
            yield from _imports(ast.iter_child_nodes(node), package)
