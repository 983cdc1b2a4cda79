"""Which code made a run's numbers: the files that its parts import, and no others."""

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
"""Groups of the config whose code makes numbers; what is prepared has fingerprints of its own."""
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
"""Of the lab: what checks, keeps, shows, launches or prepares."""


def source_digest(entry: str, config: Mapping[str, Any]) -> str:
    """A hash of the source of a run's parts and all that they import of the lab or the user.

    So a change of another model, of a report or of a README makes no other code, and a change that
    is not committed, or in a file that git does not know, does. Nothing is imported.

    Args:
        entry: name of the module that runs everything.
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
    """What a part's config names, chosen optimizers and the like included.

    Metrics change no lists, and a user's own are recorded apart, with digests of their own.
    """
    if "_target_" in node:
        try:
            yield from targets_of(node, part) if part != "evaluation" else [str(node["_target_"])]
        except UserError:
            yield str(node["_target_"])  # a record of another version: what can be known


def _counts(module: str) -> bool:
    first, _, rest = module.partition(".")
    if first != "recsys_lab":
        return any(f"{module}.".startswith(f"{prefix}.") for prefix in allowed_prefixes())
    return not any(f"{rest}.".startswith(f"{name}.") for name in _APART)


def _imports(body: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Modules that statements import at any depth; what only type checkers read is left out."""
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
