"""The choices of the config groups, and every key with its meaning, type and value.

What a key means is the ``Attributes:`` entry in the ``Config`` docstring of its class; a docstring
may point to another class of the lab for the keys that it leaves out, by its full name. Keys of the
verbs, and keys that a user's own docstring leaves out, are explained by the comments in their YAML
files. Nothing is imported but the config package.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from recsys_lab.config import config_dir, is_component
from recsys_lab.config.help.docstrings import as_markdown, meanings
from recsys_lab.config.schema import schema_of_target, types_of
from recsys_lab.config.values import describe
from recsys_lab.config.verbs import VERBS

GROUPS: Mapping[str, str] = {
    "data": "Where the raw log comes from.",
    "engine": "Where the log is filtered and ordered. All engines give the same bytes.",
    "filter": "Which rows of the log are kept.",
    "split": "Which events are held out for validation and test.",
    "model": "The recommender.",
    "inputs": "What a trained model knows of an item besides its index.",
    "loss": "What a trained model minimises, unless it makes its own loss.",
    "semantic_ids": "The codes of the items, for generative models.",
    "decoding": "How a generative model's lists are computed.",
    "recipe": "How a model is trained: optimizer, schedule, batch size, epochs, precision.",
    "evaluation": "Which items are ranked, and which metrics are computed.",
    "tracking": "Where copies of a run go.",
    "sweep": "How `recsys-lab sweep` searches. The group has no choices, only keys.",
    "search": "What `recsys-lab sweep` searches: overrides that can be stored and named.",
    "launcher": "What starts a sweep's workers.",
    "experiment": "Stored experiments: overrides with a name, `experiment=GROUP/NAME`.",
    "debug": "Smoke tests: overrides with a name, whose runs are marked and not compared.",
}

SWEEP = "sweep.yaml"
"""Stands for the choice of the group ``sweep``, which is written out in the verb's own file."""


@dataclass(frozen=True)
class Key:
    """An option of a component or a verb.

    Attributes:
        name: as it is typed, below its group.
        meaning: Markdown; empty where nobody has written it down.
        type: in words, with the range.
        defaults: value by choice, as YAML writes it.
    """

    name: str
    meaning: str
    type: str
    defaults: Mapping[str, str] = field(default_factory=dict)


@cache
def config_file(path: Path) -> tuple[dict[str, Any], dict[str, str], str]:
    """A config file as values, comments by key, and the comment at its head."""
    text = path.read_text(encoding="utf-8-sig")
    values = yaml.load(text, _LOADER) or {}
    comments: dict[str, str] = {}
    head: list[str] = []
    last = ""
    for line in text.splitlines():
        key = re.match(r" *\"?([\w]+)\"?:(?: .*?)??(?:  ?# (.*))?$", line)
        if key:
            last = key[1]
            if key[2] and last not in comments:
                comments[last] = key[2]
        elif line.startswith("#") and not last:
            head.append(line[2:])
        elif line.startswith("# (") and last in comments:  # a comment of two lines
            comments[last] += " " + line[2:]
    return values, comments, "\n".join(head)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where it is built


def type_in_words(annotation: Any) -> str:
    """A type and its range as a reader writes them in YAML."""
    return (
        describe(annotation)
        .replace("a list, each item ", "list of ")
        .replace("true or false", "bool")
    )


def written(value: object) -> str:
    """A value as YAML writes it, in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def choices(group: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """The choices of a group by name, ``GROUP/NAME`` below a folder.

    Args:
        group: the config group.
        folders: the user's own folders of configs; the lab's files come first, as for Hydra.
    """
    found: dict[str, Path] = {}
    for folder in (config_dir(), *folders):
        for file in sorted((folder / group).rglob("*.yaml")):
            name = file.relative_to(folder / group).with_suffix("").as_posix()
            found.setdefault(name, file)
    return found


def component_values(path: Path, others: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """The values of a choice, with those of the choices that it is based on.

    Args:
        path: its file.
        others: the choices of its group; None: the files beside it.
    """
    values, _, _ = config_file(path)
    base: dict[str, Any] = {}
    for entry in values.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            beside = path.with_name(f"{entry}.yaml")
            base |= component_values((others or {}).get(entry, beside), others)
    return {**base, **{key: value for key, value in values.items() if key != "defaults"}}


def overridden(path: Path) -> dict[str, str | None]:
    """The choices of other groups that a choice makes: group -> choice."""
    entries = [e for e in config_file(path)[0].get("defaults", []) if isinstance(e, dict)]
    found = {str(key): choice for entry in entries for key, choice in entry.items()}
    return {
        key.removeprefix("override /").partition("@")[0]: choice
        for key, choice in found.items()
        if key.startswith("override /")
    }


def components(group: str, folders: Sequence[Path] = ()) -> dict[str, dict[str, dict[str, Any]]]:
    """By ``_target_``: the values of every choice of a group."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    sweep, _, _ = config_file(config_dir() / SWEEP)
    if group in sweep and "_target_" in sweep[group]:
        found[sweep[group]["_target_"]][SWEEP] = sweep[group]
    files = choices(group, folders)
    for name, file in files.items():
        values = component_values(file, files)
        if "_target_" in values:
            found[values["_target_"]][name] = values
    return dict(found)


def component_keys(
    target: str, values: Mapping[str, Mapping[str, Any]], comments: Mapping[str, str] | None = None
) -> list[Key]:
    """Every option of a component.

    Args:
        target: its class.
        values: by choice.
        comments: of its YAML file, for the options that the docstring of a user's own class leaves
            out.

    Raises:
        UserError: the class is not allowed or does not exist.
    """
    schema, explained = schema_of_target(target), meanings(target)
    written_down = {key: as_markdown(text) for key, text in (comments or {}).items()} | explained
    return [
        Key(
            name,
            written_down.get(name, ""),
            type_in_words(annotation),
            {choice: written(given[name]) for choice, given in values.items() if name in given},
        )
        for name, annotation in schema.types.items()
    ]


def verb_keys(verb: str) -> list[Key]:
    """Every top-level key that a verb takes and that is no config group, nor of a stored config."""
    file = config_dir() / f"{verb}.yaml"
    values, comments, _ = config_file(file)
    if "train" in values.get("defaults", []):
        base, inherited, _ = config_file(config_dir() / "train.yaml")
        values, comments = {**base, **values}, {**inherited, **comments}
    hints = types_of(VERBS[verb].schema)
    return [
        Key(
            name,
            as_markdown(comments.get(name, "")),
            type_in_words(annotation),
            {verb: "required" if values[name] == "???" else written(values[name])},
        )
        for name, annotation in hints.items()
        if not is_component(annotation) and name in values and name not in VERBS[verb].refuses
    ]


def verb_groups(verb: str) -> list[str]:
    """The config groups that a verb reads; those of a stored config are not chosen."""
    if VERBS[verb].positional == "run":
        return []
    hints = types_of(VERBS[verb].schema)
    return [name for name, annotation in hints.items() if is_component(annotation)]


def default_choices(verb: str = "train") -> dict[str, str | None]:
    """The choice of each group that a verb makes: group -> choice, or None."""
    entries = config_file(config_dir() / f"{verb}.yaml")[0].get("defaults", [])
    base = [name for name in entries if isinstance(name, str) and name in VERBS]
    found = {key: choice for name in base for key, choice in default_choices(name).items()}
    made = {str(k): v for entry in entries if isinstance(entry, dict) for k, v in entry.items()}
    return found | {
        key.removeprefix("optional "): choice
        for key, choice in made.items()
        if not key.startswith("override ")
    }


def keys_without_meaning() -> list[str]:
    """Keys that nobody has explained, for the test that there are none."""
    keys = [(verb, key) for verb in VERBS for key in verb_keys(verb)]
    for group in GROUPS:
        for target, values in components(group).items():
            keys += [(f"{group} ({target})", key) for key in component_keys(target, values)]
    return [f"{where}: {key.name}" for where, key in keys if not key.meaning]
