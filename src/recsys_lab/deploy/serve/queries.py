"""What a served model is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from recsys_lab.config import UserError

Kind = Literal["histories", "events", "users"]

NO_KNOWN_ITEM = "the history has no item that the model knows"
UNKNOWN_USER = "the model's dataset has no such user"
NOTHING_LEFT = "no item is left to recommend"


class BadQuery(UserError):
    """A request that this model cannot answer, whose message is sent to the client."""


@dataclass(frozen=True)
class Query:
    """The histories of one request.

    Attributes:
        kind: what the rows are.
        rows: one entry for each list to make: raw item ids as text, oldest first (``histories``);
            events, mappings with ``item_id`` and other columns, oldest first (``events``); or the
            raw id of a user as text (``users``).
        k: list length.
        exclude_seen: leave out the items of the history; None: as in the run's evaluation.
    """

    kind: Kind
    rows: Sequence[Any]
    k: int
    exclude_seen: bool | None


@dataclass(frozen=True)
class Answer:
    """The list for one history.

    Attributes:
        items: raw ids, best first.
        scores: of the items.
        titles: of the items, None where unknown.
        num_unknown: events that were skipped because their item is not in the catalogue.
        reason: why the list is empty, else None.
    """

    items: list[int | str]
    scores: list[float]
    titles: list[str | None]
    num_unknown: int
    reason: str | None


class ServedModel(Protocol):
    """A model that answers queries, from several threads at a time."""

    def check(self, query: Query) -> None:
        """Check what depends on the model.

        Raises:
            BadQuery: the model cannot rank for such rows, or they lack a column that it reads.
        """
        ...

    def answer(self, query: Query) -> list[Answer]:
        """One answer for each row, in their order."""
        ...

    def warm_up(self, rows: int) -> None:
        """Rank for a batch of this size, so that the first request is not slow."""
        ...


@dataclass(frozen=True)
class Bundle:
    """All that is replaced at once when the champion changes.

    Attributes:
        model: answers queries.
        version: names the model in every answer: the registry's version, or name and digest.
        number: the registry's version; 0 without a registry.
        about: for ``/version``.
    """

    model: ServedModel
    version: str
    number: int
    about: dict[str, Any]
