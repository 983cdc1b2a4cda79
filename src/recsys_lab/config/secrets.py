"""Mask secrets in configs and messages before these are stored or shown.

A secret is recognised by its position (the password of a URL, a parameter or key named like one),
by its shape (a token of a well-known service, a private key), or as the value of an environment
variable that is named like one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus

T = TypeVar("T")

MASK = "***"
"""Replaces a secret."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_ANYWHERE = re.compile(r"(password|passwd|passphrase|secret|apikey|accesskey)s?")
_AT_THE_END = re.compile(r"pwd|pw|(\w*[^s])?token|sig|signature|credentials?|authorization")
_PAIRS = frozenset(
    f"{first} {second}"
    for second, firsts in {
        "key": ("api", "access", "account", "private", "auth", "shared", "encryption", "signing"),
        "pass": ("db", "user", "admin"),
    }.items()
    for first in firsts
)
# Last words of names of other things than secrets, e.g. password_file or token_length.
_NO_SECRET = frozenset([
    "env", "file", "path", "dir", "folder", "column", "class", "provider", "providers", "enabled",
    "type", "dim", "size", "count", "length", "limit", "name",
])  # fmt: skip
# mask_token and the like.
_OF_VOCABULARIES = frozenset(["mask", "pad", "unk", "eos", "bos", "cls", "sep"])
# Values that are not secrets: types of columns, which may have any name, and Hydra's words.
_PLAIN = frozenset([
    "categorical", "numeric", "text", "list", "true", "false", "null", "none", "auto",
])  # fmt: skip
_VARIABLES = "_env"  # suffix of options whose values are names of environment variables
_LIST_OF_VARIABLES = re.compile(r"_env['\"]?\s*[=:]\s*\{[^{}]*\Z")
_IN_A_QUERY = frozenset(["key"])  # names of secrets only in the query of a URL

_FROM_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*([A-Za-z_]\w*)")
_READ: set[str] = set()
_SHORTEST = 4  # characters: shorter values occur in any text

_VALUE = r"""(?P<value>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,;&'"(){}\[\]]+)"""
_USER_INFO = re.compile(
    r'(?P<head>(?P<scheme>[A-Za-z][\w+.-]*)://[^\s:/?#@"]*:)(?P<value>[^\s"<>]*)@'
)
_TOKEN_AS_USER = re.compile(r"(?P<head>https?://)(?=[^\s/@]*\d)(?P<value>[\w.~+=-]{12,})@")
_QUERY = re.compile(
    r"""(?P<head>[?&;](?P<name>[^=&;#?\s"']+)=)(?P<value>[^&;#\s"']*[^&;#\s"':.,)])"""
)
_ASSIGNED = re.compile(rf"(?P<head>(?<![\w.?&;-])(?P<name>[A-Za-z_][\w.-]*)=){_VALUE}")
_SPACED = re.compile(
    rf"(?P<head>(?<![\w.-])(?P<name>password|passwd|passphrase|pwd)\s*[=:]\s*){_VALUE}", re.I
)
_OF_A_MAPPING = re.compile(
    rf"""(?P<head>(?:[{{,]\s*|["'])(?P<name>[A-Za-z_][\w.-]*)["']?\s*:\s*){_VALUE}"""
)
_COLON = re.compile(
    r"(?P<head>(?<![\w./-])(?P<name>[A-Za-z_][\w-]*)\s?:\s*)(?P<value>(?=\S*\d)[\w.~+=-]{8,})"
)
_HEADER = re.compile(
    r"""(?P<head>\bauthorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token)\s+)?)"""
    r"""(?P<value>[^\s"',]+)""",
    re.I,
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS
    r"|hf_[A-Za-z0-9]{20,}|wandb_v\d_[\w-]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|sk-(?:proj-|ant-)?(?=\w*\d)\w{20,}|AIza[\w-]{35}|dapi[0-9a-f]{32}"
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]+"  # a JSON web token
    r"|(?<=[Bb]earer )(?=\S*\d)[\w.~+/=-]{16,}"
    r")(?![A-Za-z0-9_])",
    re.S,
)


def scrubbed(value: T) -> T:
    """The value with its secrets masked, to be stored or shown.

    Args:
        value: a text, or nested mappings and lists of texts and numbers; other values are returned
            unchanged, like values that are masked already.
    """
    masked: T = _scrub(value, _environment())
    return masked


def scrubbed_code(text: str) -> str:
    """The same for code, only by shapes: ``token = next(tokens)`` is not a secret."""
    return _scrub_code(text, _environment())


def scrubbed_text(text: str) -> str:
    """The same for a text."""
    return _scrub_text(text, _environment())


def note_variables(unresolved: Any) -> None:
    """Register variables such as ``${oc.env:DB_PASSWORD}`` in a config that is not resolved yet.

    Their values are masked everywhere from now on, even if they look like words.
    """
    if isinstance(unresolved, str):
        _READ.update(name for name in _FROM_VARIABLE.findall(unresolved) if is_secret_name(name))
    elif isinstance(unresolved, Mapping):
        for inner in unresolved.values():
            note_variables(inner)
    elif isinstance(unresolved, list | tuple):
        for inner in unresolved:
            note_variables(inner)


def secret_paths(value: Any, path: str = "") -> Iterator[str]:
    """Dotted paths below ``path`` of the values that `scrubbed` would mask."""
    yield from _secret_paths(value, path, _environment())


def _secret_paths(value: Any, path: str, environment: re.Pattern[str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{path}.{key}" if path else str(key)
            if not path.endswith(_VARIABLES) and _is_secret(key, inner):
                yield below
            else:
                yield from _secret_paths(inner, below, environment)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secret_paths(inner, path, environment)
    elif _scrub(value, environment) != value:
        yield path


def refused_password(url: object) -> str | None:
    """What is wrong with a database's URL that contains a password; None without one.

    Args:
        url: ``scheme://user@host:port/database?option=value``, or None.
    """
    if url is None or scrubbed(str(url)) == str(url):
        return None
    query = str(url).partition("?")[2]
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    secret = next((name for name in names if is_secret_name(name)), None)
    where = f" ({secret}=...)" if secret is not None else ""
    return (
        f"contains a password{where}, which would be stored in records. Remove it, put it into an "
        "environment variable and name that: data.password_env=DB_PASSWORD"
    )


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a key, a parameter or an environment variable is named like a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _NO_SECRET:
        return False
    pairs = {f"{first} {second}" for first, second in pairwise(words)}
    if pairs & _PAIRS or any(_ANYWHERE.search(word) for word in words):
        return True
    of_vocabulary = len(words) > 1 and words[-2] in _OF_VOCABULARIES
    return _AT_THE_END.fullmatch(words[-1]) is not None and not of_vocabulary


def _scrub(value: Any, environment: re.Pattern[str], name: object = "") -> Any:
    names_variables = str(name).endswith(_VARIABLES)
    if isinstance(value, str):
        return _scrub_text(value, environment)
    if isinstance(value, Mapping):
        return {
            (_scrub_text(key, environment) if isinstance(key, str) else key): (
                MASK
                if not names_variables and _is_secret(key, inner)
                else _scrub(inner, environment, key)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_scrub(inner, environment) for inner in value]
    if isinstance(value, tuple):
        return tuple(_scrub(inner, environment) for inner in value)
    return value


def _scrub_text(text: str, environment: re.Pattern[str]) -> str:
    for pattern in (_HEADER, _QUERY, _ASSIGNED, _SPACED, _OF_A_MAPPING, _COLON):
        text = pattern.sub(_if_named, text)
    return _scrub_code(text, environment)


def _scrub_code(text: str, environment: re.Pattern[str]) -> str:
    text = _TOKEN_AS_USER.sub(rf"\g<head>{MASK}@", _USER_INFO.sub(_unless_port, text))
    return environment.sub(MASK, _SHAPES.sub(MASK, text))


def _is_secret(key: object, value: object) -> bool:
    if not isinstance(key, str) or not is_secret_name(key) or isinstance(value, bool):
        return False
    return isinstance(value, str | int | float) and _can_be_secret(str(value))


def _can_be_secret(value: str) -> bool:
    """Whether a text can be a secret: not an ellipsis, a known word or a name of a variable."""
    bare = value.strip("'\"")
    named = bare.startswith("${") or bare in os.environ
    return not (named or set(bare) <= set(".*?<>") or bare.lower() in _PLAIN)


def _if_named(match: re.Match[str]) -> str:
    if _LIST_OF_VARIABLES.search(match.string, 0, match.start("value")):
        return match[0]
    name = unquote_plus(match.groupdict().get("name") or "authorization")
    in_query = match["head"][0] in "?&;" and name.lower() in _IN_A_QUERY
    if not (in_query or is_secret_name(name)) or not _can_be_secret(match["value"]):
        return match[0]
    quote_sign = match["value"][0] if match["value"][0] in "'\"" else ""
    return f"{match['head']}{quote_sign}{MASK}{quote_sign}"


def _unless_port(match: re.Match[str]) -> str:
    """Mask a password; a web address may have an @ in its path after the port instead."""
    web = match["scheme"].lower() in ("http", "https")
    if web and re.match(r"\d{1,5}[/?#]", match["value"]):
        return match[0]
    return f"{match['head']}{MASK}@"


def _environment() -> re.Pattern[str]:
    """Matches the secrets in this process's environment."""
    values = (
        value
        for name, value in os.environ.items()
        if name != "PWD" and is_secret_name(name) and (name in _READ or _is_random(value))
        if len(value) >= _SHORTEST
    )
    return _any_of(tuple(sorted(values, key=len, reverse=True)))


def _is_random(value: str) -> bool:
    """Whether a value is unlikely to occur in paths and texts by chance."""
    if value in (os.getcwd(), os.environ.get("HOME")) or os.path.isabs(value):
        return False
    return len(value) >= 16 or (len(value) >= 8 and not (value.isalpha() and value.islower()))


@lru_cache(maxsize=8)
def _any_of(values: tuple[str, ...]) -> re.Pattern[str]:
    spelled = dict.fromkeys(
        form for value in values for form in (value, quote(value, safe=""), quote_plus(value))
    )
    if not spelled:
        return re.compile(r"(?!)")
    either = "|".join(map(re.escape, spelled))
    return re.compile(f"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])")
