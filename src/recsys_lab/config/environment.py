"""Environment variables that a config reads; secrets only with the user's permission.

A config may come from anybody, and may send what it reads to a database, a tracker or a storage. So
a config can only read a variable that is named like a secret if the command names the variable,
e.g. ``data.password_env=DB_PASSWORD``, or `ALLOWED` lists it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from recsys_lab.config.errors import UserError
from recsys_lab.config.secrets import is_secret_name

ALLOWED = "RECSYS_LAB_ALLOWED_ENV"
"""Variable with names, or patterns of names, that any config may read, e.g. ``DB_*,HUB_TOKEN``."""

_NAMED = "env:"
_NAME = re.compile(r"[A-Za-z_]\w*")
_named: list[set[str]] = []
"""Secret variables named by each nested command of this process; the last one applies."""


@contextmanager
def guarded(arguments: Iterable[str]) -> Iterator[None]:
    """In the body, configs can only read secrets that the command or `ALLOWED` names.

    Outside, components are built in code, which may read any variable.

    Args:
        arguments: of the command, as typed.
    """
    OmegaConf.register_new_resolver("oc.env", _resolved, replace=True)
    words = {word for text in arguments for word in _NAME.findall(text)}
    _named.append({word for word in words & os.environ.keys() if is_secret_name(word)})
    try:
        yield
    finally:
        _named.pop()


def for_workers() -> Mapping[str, str]:
    """Environment that lets worker processes of this command read the same variables."""
    names = [*filter(None, [os.environ.get(ALLOWED)]), *sorted(_named[-1] if _named else ())]
    return {ALLOWED: ",".join(names)} if names else {}


def environment_value(variable: str, option: str) -> str:
    """The value of an environment variable that an option names.

    Raises:
        UserError: it is not set, or a secret that the config may not read.
    """
    if variable not in os.environ:
        raise UserError(f"{option}: this environment variable is not set; set it first")
    refuse_secret(variable, option)
    return os.environ[variable]


def address_of(value: str, option: str) -> str:
    """A path or address, or that of the environment variable that ``env:NAME`` names.

    Raises:
        UserError: see `environment_value`.
    """
    named = value.removeprefix(_NAMED)
    return value if named == value else environment_value(named, f"{option}={value}")


def refuse_secret(variable: str, option: str) -> None:
    """Check that a config may read a variable.

    Raises:
        UserError: it is named like a secret, and neither the command nor `ALLOWED` names it.
    """
    if not _named or variable in _named[-1] or not is_secret_name(variable):
        return
    patterns = [text.strip() for text in os.environ.get(ALLOWED, "").split(",")]
    if not any(fnmatchcase(variable, pattern) for pattern in patterns):
        raise UserError(
            f"{option}: the config reads the environment variable {variable}, which is named like "
            "a secret. If you trust the config, name the variable in the command, or for all "
            f"commands: export {ALLOWED}={variable}"
        )


def _resolved(key: str, *default: str | None) -> str | None:
    """``${oc.env:NAME}`` with the same check."""
    refuse_secret(key, f"${{oc.env:{key}}}")
    value: str | None = oc.env(key, *default)
    return value
