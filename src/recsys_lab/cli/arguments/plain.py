"""Verbs without config groups: a plain command line with the same checks.

The options and their types are the fields of the verb's dataclass; ``configs/VERB.yaml`` has their
defaults and, in its comments, the text of ``--help``. An option is given as ``key=value``, with the
value in Hydra's grammar, or as ``--key value``.
"""

from __future__ import annotations

import argparse
import glob
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from recsys_lab.cli.arguments.flags import flags_in_words
from recsys_lab.cli.output import failed
from recsys_lab.cli.whole_runs import whole_runs
from recsys_lab.config import UserError, config_dir, first_line
from recsys_lab.config.check import find_problems
from recsys_lab.config.errors import report
from recsys_lab.config.values import describe
from recsys_lab.config.verbs import VERBS, Verb
from recsys_lab.pages.number_format import format_value


def run_plain(name: str, arguments: Sequence[str]) -> int:
    """Run a verb with its arguments of the command line.

    Args:
        name: a key of `VERBS` whose verb is plain.
        arguments: bare arguments, ``key=value`` and flags, in any order.

    Returns:
        The exit code: 0, or what the verb's ``run`` returns.

    Raises:
        UserError: the arguments are invalid.
        RunFailed: the work of the verb failed.
    """
    verb, file = VERBS[name], config_dir() / f"{name}.yaml"
    words = _joined(arguments, verb)
    parsed, unknown = _parser(name, verb, file).parse_known_intermixed_args(words)
    if unknown:
        raise UserError(flags_in_words(name, unknown, words))
    args = vars(parsed)
    shows = args.pop("cfg")
    typed = args.pop("arguments")
    typed += [f"{key}={value}" for key, values in args.items() for value in values or ()]
    cfg = _checked(file, typed, name, verb)
    if shows:
        print(OmegaConf.to_yaml(cfg), end="")
        return 0
    for key in verb.runs:
        cfg[key] = whole_runs(key, cfg[key])
    with failed(None):
        code = importlib.import_module(f"recsys_lab.cli.verbs.{name}").run(cfg, Path.cwd())
        sys.stdout.flush()
    return code or 0


class _Typed:
    """The origins of values for messages, see `recsys_lab.config.check.Sources`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def origin(self, path: str) -> str:
        text = self._texts.get(path)
        return f"(from the override {text})" if text is not None else ""

    def elsewhere(self, group: str, option: str) -> str:  # noqa: ARG002
        return ""

    def groups(self) -> list[str]:
        return []

    def choices(self, group: str) -> list[str]:  # noqa: ARG002
        return []


def _joined(arguments: Sequence[str], verb: Verb) -> list[str]:
    """Turn ``--sort -created`` into ``--sort=-created``, as argparse needs before a minus."""
    hints = get_type_hints(verb.schema, include_extras=True)
    takes_value = {_flag(key) for key, kind in hints.items() if kind is not bool}
    words: list[str] = []
    for text in arguments:
        if words and words[-1] in takes_value and re.match(r"-[^-]", text) and text != "-h":
            words[-1] += f"={text}"
        else:
            words.append(text)
    return words


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _checked(file: Path, typed: Sequence[str], name: str, verb: Verb) -> DictConfig:
    """The config of a file with the arguments of the command line.

    Raises:
        UserError: the arguments are invalid; lists all problems.
    """
    cfg: Any = OmegaConf.load(file)
    bare = [text for text in typed if _is_bare(text) or _is_of_others(text, verb)]
    if bare and not verb.takes_many and len(bare) > 1:
        what = (verb.positional or "").upper()
        raise UserError(f"{name}: expected one {what}, got {len(bare)}: {', '.join(bare)}")
    if bare:
        cfg[verb.positional] = bare if verb.takes_many else bare[0]
    given = {str(verb.positional): " ".join(bare)} if bare else {}
    pairs = [text for text in typed if text not in bare]
    texts, problems = _updated(cfg, pairs, given, name, verb, file) if pairs else ({}, [])
    if not problems and verb.positional and OmegaConf.is_missing(cfg, verb.positional):
        what = verb.positional if verb.takes_many else f"a {verb.positional}"
        raise UserError(f"give {what}: {verb.example}")
    problems += find_problems(cfg, verb.schema, _Typed(texts))
    if problems:
        raise UserError(report(problems))
    return cfg  # type: ignore[no-any-return]


def _updated(
    cfg: DictConfig,
    pairs: Sequence[str],
    given: Mapping[str, str],
    name: str,
    verb: Verb,
    file: Path,
) -> tuple[dict[str, str], list[str]]:
    """Set the values of ``key=value`` in the config.

    Returns:
        The text of each key, and the problems with the others.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.utils import setup_globals
    from hydra.errors import HydraException

    from recsys_lab.config.quoting import literal

    setup_globals()  # ${now:...}
    texts: dict[str, str] = {}
    problems = []
    for text in pairs:
        try:
            override = OverridesParser.create().parse_override(literal(text, verb, several=False))
            if override.is_sweep_override() or override.is_delete():
                raise UserError(f"{name} takes one value per key")
            key = override.key_or_group
            before = {**given, **texts}
            if key in before:
                meaning = _comments(file)[1].get(key, "")
                raise UserError(f"{key} is given twice, also as {before[key]}; {key}: {meaning}")
            OmegaConf.update(cfg, key, override.value(), force_add=True)
            texts[key] = text
        except (HydraException, UserError) as error:
            problems.append(f"{text}: {first_line(error)}")
    return texts, problems


def bare_as_key(arguments: Sequence[str], name: str, verb: Verb) -> list[str]:
    """Arguments with the bare one, if any, as ``key=value`` of the verb's positional key.

    Raises:
        UserError: several are bare.
    """
    bare = [text for text in arguments if verb.positional and _is_bare(text)]
    if len(bare) > 1:
        what = (verb.positional or "").upper()
        raise UserError(f"{name}: expected one {what}, got {len(bare)}: {', '.join(bare)}")
    return [f"{verb.positional}={text}" if text in bare else text for text in arguments]


def _is_bare(text: str) -> bool:
    if "=" not in text and not text.startswith("~"):
        return True
    return os.path.exists(text) or (glob.has_magic(text) and bool(glob.glob(text)))


def _is_of_others(text: str, verb: Verb) -> bool:
    """Whether a text is an override of another verb's key, as ``options`` takes them."""
    key = text.partition("=")[0].lstrip("+")
    return verb.takes_overrides and key not in get_type_hints(verb.schema)


def _parser(name: str, verb: Verb, file: Path) -> argparse.ArgumentParser:
    about, words = _comments(file)
    what = f"{verb.positional or ''}{' ...' if verb.takes_many else ''}".upper()
    parser = argparse.ArgumentParser(
        prog=f"recsys-lab {name}",
        usage=f"recsys-lab {name} [{what}] [key=value ...] [--key value ...]",
        description=about,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=32),
        allow_abbrev=False,
    )
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict)
    bare = f"{verb.positional}: {words.get(verb.positional or '', '')}; others are key=value"
    parser.add_argument("arguments", nargs="*", metavar=what, help=bare.replace("%", "%%"))
    for key, kind in get_type_hints(verb.schema, include_extras=True).items():
        default = "required" if values[key] == "???" else f"default {format_value(values[key])}"
        text = f"{words.get(key, '')} ({describe(kind)}; {default})".replace("%", "%%")
        how: dict[str, Any] = {"action": "append", "metavar": "VALUE"}
        if kind is bool:
            how = {"action": "store_const", "const": ["true"]}
        parser.add_argument(_flag(key), dest=key, help=text, **how)
    parser.add_argument("--cfg", choices=["job"], help="print the options and exit")
    return parser


def _comments(file: Path) -> tuple[str, dict[str, str]]:
    """The first comment of a config, and the comments of its keys, on their line and below."""
    lines = [line.partition("#") for line in file.read_text(encoding="utf-8").splitlines()]
    about: list[str] = []
    words: dict[str, str] = {}
    key = ""
    for text, _, comment in lines:
        key = text.partition(":")[0].strip().strip('"') or key
        if key:
            words[key] = f"{words.get(key, '')} {comment.strip()}".strip()
        else:
            about.append(comment.removeprefix(" "))
    return "\n".join(about).strip(), words
