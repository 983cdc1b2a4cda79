"""Environment variables that a config reads: those with secrets only where the command says so.

A config may come from anybody, and what it reads it may also send: to a database, a tracker, a
storage. So a variable that is named like a secret is read for a config only when the command names
it, e.g. ``data.password_env=DB_PASSWORD``, or `ALLOWED` lists it.
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
"""Variable with the names, or patterns of names, that any config may read: ``DB_*,HUB_TOKEN``."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_named: list[set[str]] = []
"""What each command that runs in this process names; the last one counts."""


@contextmanager
def guarded(arguments: Iterable[str]) -> Iterator[None]:
    """In the body, configs read only the secrets that the command names, or `ALLOWED`.

    Outside of it, who builds a component names its variables in code.

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
    """What lets processes that this command starts read the same variables."""
    names = [*filter(None, [os.environ.get(ALLOWED)]), *sorted(_named[-1] if _named else ())]
    return {ALLOWED: ",".join(names)} if names else {}


def environment_value(variable: str, option: str) -> str:
    """What an environment variable holds that an option names.

    Raises:
        UserError: when it is not set, or a secret that a config may not read by itself.
    """
    if variable not in os.environ:
        raise UserError(f"{option}: there is no such environment variable; set it first")
    refuse_secret(variable, option)
    return os.environ[variable]


def refuse_secret(variable: str, option: str) -> None:
    """Refuse a variable that is named like a secret, unless the command or `ALLOWED` names it.

    Raises:
        UserError: it does not.
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
    """``${oc.env:NAME}`` under the same rule."""
    refuse_secret(key, f"${{oc.env:{key}}}")
    found: str | None = oc.env(key, *default)
    return found
