"""Which column of a log is what: proposals by the columns' names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.columns.quantities import QUANTITIES

_ID = r"(_?(id|ids|no|nr|num|number|key|code|nummer))?"
_NAMES: Mapping[str, Sequence[str]] = {
    "user": (
        rf"(customer|user|client|member|visitor|buyer|shopper|kunden?|kund){_ID}",
        rf"(account|card|karte|loyalty_card|household|person|reviewer|uid|cid){_ID}",
    ),
    "item": (
        rf"(item|product|sku|article|artikel|stock|asin|movie|book|track|song|produkt){_ID}",
        rf"(ean|gtin|upc|isbn|material|iid|pid){_ID}",
        r"(product|item|article|artikel)_?(name|title|description|bezeichnung)",
        r"description|title|name|beschreibung|bezeichnung",
    ),
    "timestamp": (
        r"timestamp|ts|unix_time|event_time|epoch",
        r"(\w+_)?(timestamp|datetime|date_time|zeitstempel)",
        r"(invoice|order|purchase|transaction|event|receipt|sale|sales|rating|review)_?(date|time)",
        r"date|time|datum|zeit|moment|day|when",
        r"\w+_(at|on|date|time|datum)",
    ),
    "basket": (
        r"(invoice|receipt|basket|transaction|order|bon|beleg|rechnung|ticket)_?"
        r"(id|no|nr|num|number|key|code|nummer)",
        r"invoice|receipt|basket|transaction|bon|beleg|rechnung",
    ),
    "session": (rf"(session|visit|sitzung){_ID}",),
    "quantity": (rf"({'|'.join(QUANTITIES)})(_sold|_ordered)?",),
    "price": (r"unit_?price|price|preis|einzelpreis|stueckpreis|item_price",),
    "rating": (r"rating|stars|score|bewertung",),
    "event_type": (
        r"event_?(type|name)|behaviou?r(_type)?|action(_type)?|interaction(_type)?|event",
    ),
    "title": (
        r"(product|item|article|artikel)_?(name|title|description|bezeichnung)",
        r"title|description|name|beschreibung|bezeichnung",
    ),
}
"""Role -> patterns of names, likeliest first. `title` is the readable name of the item."""

NEEDED = ("user", "item")


@dataclass(frozen=True)
class Role:
    """A proposed column.

    Attributes:
        column: its name.
        others: further columns whose names fit as well.
        is_given: whether the user named it.
    """

    column: str
    others: Sequence[str] = ()
    is_given: bool = False


def propose_roles(columns: Sequence[str], given: Mapping[str, str | None]) -> dict[str, Role]:
    """The columns of a log by role; without roles that no name fits.

    Args:
        columns: of the file.
        given: role -> column that the user named, or None.

    Raises:
        UserError: a named column does not exist, or the user or the item is not found.
    """
    roles: dict[str, Role] = {}
    options = {"user": "user", "item": "item", "timestamp": "time"}
    for role, column in given.items():
        if column is not None and column not in columns:
            raise UserError(
                f"{options[role]}={column}: the file has no such column"
                f"{did_you_mean(column, columns)} It has: {', '.join(columns)}"
            )
        if column is not None:
            roles[role] = Role(column, (), is_given=True)
    taken = {role.column for role in roles.values()}
    for role in _NAMES:
        if role not in roles:
            fitting = [name for name in _fitting(role, columns) if name not in taken]
            if fitting:
                roles[role] = Role(fitting[0], tuple(fitting[1:]))
                taken.add(fitting[0])
    if "user" in roles and "item" in roles and roles["user"].column == roles["item"].column:
        raise UserError(
            f"user={roles['user'].column} item={roles['item'].column}: one column cannot be both; "
            f"name two of {', '.join(columns)}"
        )
    lacking = [role for role in NEEDED if role not in roles]
    if lacking:
        raise UserError(
            f"no column is named like {' and '.join(f'the {role}' for role in lacking)}, and init "
            f"does not guess. Name {'it' if len(lacking) == 1 else 'them'}: "
            f"{' '.join(f'{role}=COLUMN' for role in lacking)}. Columns: {', '.join(columns)}"
        )
    return roles


def _fitting(role: str, columns: Sequence[str]) -> list[str]:
    """Columns whose name fits a role, by the order of patterns, then of the file."""
    names = {column: _plain(column) for column in columns}
    found = [
        column
        for pattern in _NAMES[role]
        for column, name in names.items()
        if re.fullmatch(pattern, name)
    ]
    return list(dict.fromkeys(found))


def _plain(name: str) -> str:
    """A name in lower case with underscores: CustomerID and customer-id are customer_id."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"\W+", "_", apart).lower().strip("_")
