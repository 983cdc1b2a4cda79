"""A digest of the source code that determines a run's numbers."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.config.schema import targets_of
from recsys_lab.config.targets import allowed_prefixes, find_source

PARTS = ("model", "inputs", "loss", "decoding", "recipe", "evaluation")
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
    files: dict[str, bytes | None] = {}
    while waiting:
        module = waiting.pop()
        if module in files or not _counts(module):
            continue
        path = find_source(module)
        files[module] = source = None if path is None else path.read_bytes()
        if path is not None and source is not None:
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            waiting += [package, *_imported(source, package)]
    digest = hashlib.sha256()
    for module, source in sorted(files.items()):
        if source is not None:
            digest.update(f"{module}\0".encode() + hashlib.sha256(source).digest())
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


@lru_cache(maxsize=4096)
def _imported(source: bytes, package: str) -> frozenset[str]:
    """What a file imports; kept, because every run of a process asks twice for the same files."""
    return frozenset(_imports(ast.parse(source).body, package))


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
