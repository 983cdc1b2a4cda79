"""The content of ``registry.json``, checked when it is read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from recsys_lab.config import UserError
from recsys_lab.files.reading import reading

SCHEMA = 1
_CURE = (
    "; nothing was changed. Restore the file from a copy; the files in decisions/ say which run "
    "became champion when"
)


class Entry(BaseModel, extra="allow", strict=True, frozen=True):
    """A champion as stored.

    Attributes:
        run: the run directory, absolute or relative to the registry.
        export: its exported folder, likewise, or None.
        version: grows with each promotion and rollback.
        promoted: when, ISO 8601 in UTC.
        decision: the decision's file, relative to the registry.
        weights_sha256: SHA-256 of the weights.
        restores: the version that a rollback has restored, or None.
    """

    run: str = Field(min_length=1)
    export: str | None = None
    version: int = Field(ge=1)
    promoted: str
    decision: str
    weights_sha256: str | None = None
    restores: int | None = None


class Content(BaseModel, extra="allow", strict=True, frozen=True):
    """The whole file.

    Attributes:
        schema_: its version.
        champion: the present one.
        history: earlier ones, oldest first.
    """

    schema_: int = Field(alias="schema", ge=SCHEMA, le=SCHEMA)
    champion: Entry | None
    history: list[Entry] = []


def read_content(file: Path) -> Content | None:
    """The content of a registry's file; None if there is none.

    Raises:
        UserError: it is damaged.
    """
    if not file.exists() and not file.is_symlink():
        return None
    with reading(file, _CURE):
        text = file.read_bytes()
    try:
        content = Content.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise UserError(
            f"{file}: not a registry ({where}: {first['msg']}): damaged or changed by hand{_CURE}"
        ) from None
    versions = [e.version for e in (*content.history, content.champion) if e is not None]
    if any(b <= a for a, b in pairwise(versions)):
        raise UserError(
            f"{file}: not a registry (its versions are {versions}, expected ascending ones): "
            f"damaged or changed by hand{_CURE}"
        )
    return content
