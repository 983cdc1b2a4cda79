"""Passwords in addresses: configs are written into records, where nobody expects any."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

_USER_AND_PASSWORD = re.compile(r"[^:/]*:[^@]*@")  # as SQLAlchemy reads them
_NAMES = re.compile(r"pass(word|wd|phrase)|pwd|secret|token", re.IGNORECASE)


def refused_password(url: object) -> str | None:
    """What to do about a password in a database's URL, or None where it holds none.

    Args:
        url: ``scheme://user@host:port/database?option=value``; None where there is none.
    """
    address = str(url).partition("://")[2]
    names = [name for name, _ in parse_qsl(address.partition("?")[2], keep_blank_values=True)]
    secret = next((name for name in names if _NAMES.search(name)), None)
    if secret is None and not _USER_AND_PASSWORD.match(address):
        return None
    where = f" ({secret}=...)" if secret is not None else ""
    return (
        f"holds a password{where}, which would be written into records. Take it out, put it into "
        "an environment variable and name that: data.password_env=DB_PASSWORD"
    )
