"""Installed packages: the lab's own, and the extras that are complete."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from recsys_lab.config import install_hint
from recsys_lab.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "recsys-lab"
_FOR_DEVELOPERS = frozenset({"dev", "docs"})
"""Extras that no run needs."""


def versions() -> dict[str, str]:
    """Installed versions of the packages that the lab requires, by name."""
    required = sorted(need.name for need in _required(""))
    return {name: found for name in required if (found := _version(name)) is not None}


def extras() -> list[Finding]:
    """Each extra, with the packages that are missing or of the wrong version."""
    names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    return [_extra(name) for name in sorted(set(names) - _FOR_DEVELOPERS)]


def _extra(name: str) -> Finding:
    needs = list(_required(name))
    wrong = [problem for need in needs if (problem := _problem(need)) is not None]
    found = ", ".join(f"{need.name} {_version(need.name)}" for need in needs)
    return Finding(name, not wrong, "; ".join([*wrong, install_hint(name)]) if wrong else found)


def _problem(need: Requirement) -> str | None:
    version = _version(need.name)
    if version is None:
        return f"{need.name} is not installed"
    if not need.specifier.contains(version, prereleases=True):
        return f"{need.name} is {version}, needed {need.specifier}"
    return None


def _required(extra: str) -> Iterator[Requirement]:
    """Requirements of an extra alone; of the lab itself for an empty name."""
    for line in metadata.requires(PACKAGE) or []:
        need = Requirement(line)
        if canonicalize_name(need.name) == PACKAGE:  # an extra made of others
            continue
        without = need.marker is None or need.marker.evaluate({"extra": ""})
        if without == (extra == "") and (
            need.marker is None or need.marker.evaluate({"extra": extra})
        ):
            yield need


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
