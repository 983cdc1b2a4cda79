"""How a reader of a published dataset describes itself.

Its class has an attribute ``named``: a `Named`, or one for each value of its option ``variant``.
`recsys-lab datasets` lists every config of the group ``data`` by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys_lab.data.raw import About

__all__ = ["About", "DatasetInfo", "describe"]


@dataclass(frozen=True)
class DatasetInfo:
    """A published dataset, for people who choose one.

    Attributes:
        about: title, homepage, licence, citation, protocol notes.
        size: rows, users and items of the raw log, and of the download.
        needs: what must be there or be done first, e.g. an account.
        has_md5: whether its publisher states a hash, which downloads are compared with.
    """

    about: About
    size: str
    needs: str
    has_md5: bool = False


def describe(reader: type[Any], options: Mapping[str, Any]) -> DatasetInfo | None:
    """What a reader class says of the dataset that these options choose.

    Returns:
        None for generic sources, and for a variant that the class does not describe.
    """
    named = getattr(reader, "named", None)
    if isinstance(named, Mapping):
        named = named.get(options.get("variant"))
    return named if isinstance(named, DatasetInfo) else None
