"""The JSON of requests and answers, checked before a model sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic_core import to_json

from recsys_lab.config import UserError
from recsys_lab.deploy.serve.batching import Reply
from recsys_lab.deploy.serve.queries import Kind, Query

_ID = "expected an item's or user's id: a text of at most 1,000 characters or a 64-bit integer"
_VALUE = "expected a text of at most 1,000 characters, a finite number, true, false or null"
_SECONDS = (-62_135_596_800, 253_402_300_799)  # the years 1 to 9999

_FIRST: Any = Field(fail_fast=True)
"""Stop at the first wrong element: a body of 1 MiB can have a million of them."""

ID = Annotated[StrictStr, MaxLen(1000)] | Annotated[StrictInt, Ge(-(2**63)), Le(2**64 - 1)]
Value = (
    Annotated[StrictStr, MaxLen(1000)]
    | Annotated[StrictInt, Ge(-(2**63)), Le(2**64 - 1)]
    | Annotated[StrictFloat, Field(allow_inf_nan=False)]
    | StrictBool
    | None
)


class Event(BaseModel):
    """One event of a history; other columns that the model reads are further keys."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]

    item_id: ID
    timestamp: Annotated[StrictInt, Ge(_SECONDS[0]), Le(_SECONDS[1])] | None = Field(
        default=None, description="seconds since the epoch"
    )


class Request(BaseModel):
    """Give one of ``histories``, ``events`` and ``users``."""

    model_config = ConfigDict(extra="forbid")

    histories: Annotated[list[Annotated[list[ID], _FIRST]], _FIRST] | None = Field(
        default=None,
        description="raw item ids of each history, oldest first",
        examples=[[["i7", "i3"], ["i5"]]],
    )
    events: Annotated[list[Annotated[list[Event], _FIRST]], _FIRST] | None = Field(
        default=None,
        description="events of each history, for models that read times or event columns; sorted "
        "by timestamp if every event of the history has one",
    )
    users: Annotated[list[ID], _FIRST] | None = Field(
        default=None, description="users of the model's dataset, with their whole histories"
    )
    k: Annotated[StrictInt, Ge(1)] | None = Field(default=None, description="list length")
    exclude_seen: StrictBool | None = Field(
        default=None,
        description="leave out the items of the history; null: as in the run's evaluation",
    )


_KEYS = [f'"{name}"'.encode() for name in Request.model_fields]


class Item(BaseModel):
    """A recommended item; an infinite score is null."""

    item_id: str | int
    score: float | None
    title: str | None


class Ranked(BaseModel):
    """The list for one history, best item first.

    ``num_unknown`` events were skipped, as their item is not in the catalogue; the oldest
    ``num_dropped`` ones, as the history was too long. ``reason`` says why a list is empty.
    """

    items: list[Item]
    num_unknown: int
    num_dropped: int
    reason: str | None


class Response(BaseModel):
    """One list for each history or user, in their order."""

    model_version: str
    lists: list[Ranked]


class Problem(BaseModel):
    """An error."""

    error: str


@dataclass(frozen=True)
class Limits:
    """Limits of a request.

    Attributes:
        k: list length of requests that give none.
        max_k: list length.
        max_lists: histories, or users, in a request.
        max_history: events of a history.
        long_history: what happens to a longer one: it is refused, or loses its oldest events.
        max_body: bytes.
    """

    k: int
    max_k: int
    max_lists: int
    max_history: int
    long_history: Literal["refuse", "truncate"]
    max_body: int


class Invalid(UserError):
    """A request that is not valid, whose message is sent to the client.

    Args:
        message: what is wrong.
        status: of the answer.
    """

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


def parse(body: bytes, limits: Limits) -> tuple[Query, list[int]]:
    """A request's query, and the number of events that each history lost.

    Raises:
        Invalid: it is not JSON (400), not a request, or over a limit (422).
    """
    try:
        request = Request.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None
    _refuse_repeated_keys(body, events=request.events is not None)
    given: dict[Kind, Any] = {
        "histories": request.histories,
        "events": request.events,
        "users": request.users,
    }
    kinds = [kind for kind, rows in given.items() if rows is not None]
    if len(kinds) != 1:
        what = f"got {' and '.join(kinds)}" if kinds else "got none of them"
        raise Invalid(f"give one of histories, events and users; {what}")
    kind = kinds[0]
    rows: Sequence[Any] = given[kind]
    if len(rows) > limits.max_lists:
        raise Invalid(
            f"{kind}: {len(rows):,} in one request, at most {limits.max_lists:,} are allowed; "
            "send several requests"
        )
    k = limits.k if request.k is None else request.k
    if k > limits.max_k:
        raise Invalid(f"k: got {k}, at most {limits.max_k} is allowed")
    if kind == "users":
        return Query(kind, [str(user) for user in rows], k, request.exclude_seen), [0] * len(rows)
    dropped = [max(0, len(row) - limits.max_history) for row in rows]
    if any(dropped) and limits.long_history == "refuse":
        row = next(row for row, number in enumerate(dropped) if number)
        raise Invalid(
            f"{kind}[{row}]: {len(rows[row]):,} events, at most {limits.max_history:,} are "
            "allowed; send the most recent ones"
        )
    if kind == "events":
        rows = [_in_order(row) for row in rows]
        kept: list[Any] = [row[lost:] for row, lost in zip(rows, dropped, strict=True)]
    else:
        kept = [list(map(str, row[lost:])) for row, lost in zip(rows, dropped, strict=True)]
    return Query(kind, kept, k, request.exclude_seen), dropped


def response(reply: Reply, dropped: Sequence[int]) -> bytes:
    """The JSON of a `Response`."""
    content = {
        "model_version": reply.version,
        "lists": [
            {
                "items": [
                    {"item_id": item, "score": score, "title": title}
                    for item, score, title in zip(
                        answer.items, answer.scores, answer.titles, strict=True
                    )
                ],
                "num_unknown": answer.num_unknown,
                "num_dropped": lost,
                "reason": answer.reason,
            }
            for answer, lost in zip(reply.answers, dropped, strict=True)
        ],
    }
    return to_json(content, inf_nan_mode="null")


def _refuse_repeated_keys(body: bytes, *, events: bool) -> None:
    """Refuse JSON objects with a key twice, of which parsers silently keep one.

    Args:
        body: valid JSON.
        events: whether it has objects inside.

    Raises:
        Invalid: a key is repeated.
    """
    is_plain = b"\\" not in body and all(body.count(key) <= 1 for key in _KEYS)
    if is_plain and not events:  # the usual case: no key can be spelled in another way
        return

    def unlike(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise Invalid(f"the key {twice[:100]!r} is given more than once; give it once")

    json.loads(body, object_pairs_hook=unlike)


def _in_order(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as mappings, sorted by time where every one has a time; ties keep their order."""
    times = [event.timestamp for event in events]
    if None not in times:
        events = sorted(events, key=lambda event: event.timestamp or 0)
    return [
        {
            **(event.__pydantic_extra__ or {}),
            "item_id": str(event.item_id),
            "timestamp": event.timestamp,
        }
        for event in events
    ]


def _invalid(error: ValidationError) -> Invalid:
    """The first problem of a body, without the values that were sent."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return Invalid(f"the body is not JSON: {first['msg']}", 400)
    path = ""
    for part in first["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in ("str", "int", "constrained-str", "constrained-int"):  # which type was tried
            is_id = first["loc"][0] != "events" or path.endswith(".item_id")
            return Invalid(f"{path[:200]}: {_ID if is_id else _VALUE}")
        else:
            path += f".{part}" if path else str(part)
    if first["type"] == "extra_forbidden":
        known = ", ".join(Request.model_fields)
        return Invalid(f"there is no such key as {path[:100]!r}; known are {known}")
    return Invalid(f"{path[:200] or 'the body'}: {first['msg']}")
