"""Secrets in configs and messages: what is written down or shown is `scrubbed` first.

A secret is known by its place (the password of a URL, a parameter or a key named like one), by its
shape (a token of a well-known service, a private key), or because an environment variable that is
named like one holds it.
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
"""Stands where a secret was."""

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
# Names that end so say where a secret is, or how long; they are none.
_NO_SECRET = frozenset([
    "env", "file", "path", "dir", "folder", "column", "class", "provider", "providers", "enabled",
    "type", "dim", "size", "count", "length", "limit", "name",
])  # fmt: skip
# mask_token and the like.
_OF_VOCABULARIES = frozenset(["mask", "pad", "unk", "eos", "bos", "cls", "sep"])
# Types of columns, which may be named as they like, and Hydra's words.
_PLAIN = frozenset([
    "categorical", "numeric", "text", "list", "true", "false", "null", "none", "auto",
])  # fmt: skip
_VARIABLES = "_env"  # ends an option that names environment variables
_LIST_OF_VARIABLES = re.compile(r"_env['\"]?\s*[=:]\s*\{[^{}]*\Z")
_IN_A_QUERY = frozenset(["key"])  # of a URL only: elsewhere it is any key

_FROM_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*([A-Za-z_]\w*)")
_READ: set[str] = set()
_SHORTEST = 4  # characters: shorter values stand in every text

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
    """The same value without its secrets, to be written down or shown.

    Args:
        value: a text, or nested mappings and lists of texts and numbers; others come back as
            they are. What is scrubbed already stays as it is.
    """
    found: T = _scrub(value)
    return found


def scrubbed_code(text: str) -> str:
    """The same of code, in which ``token = next(tokens)`` is no secret: by shapes alone."""
    text = _TOKEN_AS_USER.sub(rf"\g<head>{MASK}@", _USER_INFO.sub(_unless_port, text))
    return _environment().sub(MASK, _SHAPES.sub(MASK, text))


def scrubbed_text(text: str) -> str:
    """The same of one text."""
    for pattern in (_HEADER, _QUERY, _ASSIGNED, _SPACED, _OF_A_MAPPING, _COLON):
        text = pattern.sub(_if_named, text)
    return scrubbed_code(text)


def note_variables(unresolved: Any) -> None:
    """Take note of ``${oc.env:DB_PASSWORD}`` and the like in a config that was not resolved yet.

    What such a variable holds is a secret wherever it comes up, though it be like a word.
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
    """Dotted paths below ``path`` of the values that would not come through `scrubbed` whole."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{path}.{key}" if path else str(key)
            if not path.endswith(_VARIABLES) and _is_secret(key, inner):
                yield below
            else:
                yield from secret_paths(inner, below)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secret_paths(inner, path)
    elif scrubbed(value) != value:
        yield path


def refused_password(url: object) -> str | None:
    """What to do about a password in a database's URL, or None where it holds none.

    Args:
        url: ``scheme://user@host:port/database?option=value``; None where there is none.
    """
    if url is None or scrubbed(str(url)) == str(url):
        return None
    query = str(url).partition("?")[2]
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    secret = next((name for name in names if is_secret_name(name)), None)
    where = f" ({secret}=...)" if secret is not None else ""
    return (
        f"holds a password{where}, which would be written into records. Take it out, put it into "
        "an environment variable and name that: data.password_env=DB_PASSWORD"
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


def _scrub(value: Any, name: object = "") -> Any:
    names_variables = str(name).endswith(_VARIABLES)
    if isinstance(value, str):
        return scrubbed_text(value)
    if isinstance(value, Mapping):
        return {
            (scrubbed_text(key) if isinstance(key, str) else key): (
                MASK if not names_variables and _is_secret(key, inner) else _scrub(inner, key)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_scrub(inner) for inner in value]
    if isinstance(value, tuple):
        return tuple(_scrub(inner) for inner in value)
    return value


def _is_secret(key: object, value: object) -> bool:
    if not isinstance(key, str) or not is_secret_name(key) or isinstance(value, bool):
        return False
    return isinstance(value, str | int | float) and _says_something(str(value))


def _says_something(value: str) -> bool:
    """Whether a text can be a secret: no ellipsis, no plain word, nor where to find one."""
    bare = value.strip("'\"")
    named = bare.startswith("${") or bare in os.environ
    return not (named or set(bare) <= set(".*?<>") or bare.lower() in _PLAIN)


def _if_named(match: re.Match[str]) -> str:
    if _LIST_OF_VARIABLES.search(match.string, 0, match.start("value")):
        return match[0]
    name = unquote_plus(match.groupdict().get("name") or "authorization")
    in_query = match["head"][0] in "?&;" and name.lower() in _IN_A_QUERY
    if not (in_query or is_secret_name(name)) or not _says_something(match["value"]):
        return match[0]
    quote_sign = match["value"][0] if match["value"][0] in "'\"" else ""
    return f"{match['head']}{quote_sign}{MASK}{quote_sign}"


def _unless_port(match: re.Match[str]) -> str:
    """A path of the web may hold an @ behind the port; databases read a password there."""
    web = match["scheme"].lower() in ("http", "https")
    if web and re.match(r"\d{1,5}[/?#]", match["value"]):
        return match[0]
    return f"{match['head']}{MASK}@"


def _environment() -> re.Pattern[str]:
    """The secrets of this process's environment."""
    held = (
        value
        for name, value in os.environ.items()
        if name != "PWD" and is_secret_name(name) and (name in _READ or _is_random(value))
        if len(value) >= _SHORTEST
    )
    return _any_of(tuple(sorted(held, key=len, reverse=True)))


def _is_random(value: str) -> bool:
    """Whether a value is like no word that stands in paths and texts by itself."""
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
