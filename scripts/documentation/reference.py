"""Reference pages for the documentation, made from the config files and docstrings.

What a key means is the ``Attributes:`` entry in the ``Config`` docstring of its class; a docstring
may point to another class of the lab for the keys that it leaves out, by its full name. Keys of the
verbs are explained by the comments in their YAML files. Nothing is imported but the config package.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml  # type: ignore[import-untyped]

from recsys_lab.config import config_dir, is_component
from recsys_lab.config.schema import schema_of_target
from recsys_lab.config.values import describe
from recsys_lab.config.verbs import VERBS

from .docstrings import as_markdown, class_docstring, classes_by_name, meanings

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
}


@dataclass(frozen=True)
class Key:
    """A row of a reference table.

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
    text = path.read_text(encoding="utf-8")
    values = yaml.safe_load(text) or {}
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


def choices(group: str) -> dict[str, Path]:
    """The choices of a group by name, ``GROUP/NAME`` below a folder."""
    folder = config_dir() / group
    files = sorted(folder.rglob("*.yaml"))
    return {str(file.relative_to(folder).with_suffix("")): file for file in files}


def component_values(path: Path) -> dict[str, Any]:
    """The values of a choice, with those of the choices that it is based on."""
    values, _, _ = config_file(path)
    base: dict[str, Any] = {}
    for entry in values.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            base |= component_values(path.with_name(f"{entry}.yaml"))
    return {**base, **{key: value for key, value in values.items() if key != "defaults"}}


def components(group: str) -> dict[str, dict[str, dict[str, Any]]]:
    """By ``_target_``: the values of every choice of a group."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    sweep, _, _ = config_file(config_dir() / "sweep.yaml")
    if group in sweep and "_target_" in sweep[group]:  # written out in the verb's own file
        found[sweep[group]["_target_"]]["sweep.yaml"] = sweep[group]
    for name, file in choices(group).items():
        values = component_values(file)
        if "_target_" in values:
            found[values["_target_"]][name] = values
    return dict(found)


def component_keys(target: str, values: Mapping[str, Mapping[str, Any]]) -> list[Key]:
    """Every option of a component."""
    explained = meanings(target)
    return [
        Key(
            name,
            explained.get(name, ""),
            type_in_words(annotation),
            {choice: written(given[name]) for choice, given in values.items() if name in given},
        )
        for name, annotation in schema_of_target(target).types.items()
    ]


def verb_keys(verb: str) -> list[Key]:
    """Every top-level key of a verb that is not a config group, nor of a stored config."""
    file = config_dir() / f"{verb}.yaml"
    values, comments, _ = config_file(file)
    if "train" in values.get("defaults", []):
        base, inherited, _ = config_file(config_dir() / "train.yaml")
        values, comments = {**base, **values}, {**inherited, **comments}
    hints = get_type_hints(VERBS[verb].schema, include_extras=True)
    return [
        Key(
            name,
            as_markdown(comments.get(name, "")),
            type_in_words(annotation),
            {verb: "required" if values[name] == "???" else written(values[name])},
        )
        for name, annotation in hints.items()
        if not is_component(annotation) and name in values
    ]


def verb_groups(verb: str) -> list[str]:
    """The config groups that a verb reads; those of a stored config are not chosen."""
    if VERBS[verb].positional == "run":
        return []
    hints = get_type_hints(VERBS[verb].schema, include_extras=True)
    return [name for name, annotation in hints.items() if is_component(annotation)]


def table(keys: Sequence[Key]) -> Iterator[str]:
    """A Markdown table of keys."""
    yield "| key | meaning | type | default |"
    yield "|---|---|---|---|"
    for key in keys:
        cells = [f"`{key.name}`", key.meaning, key.type, _defaults(key.defaults)]
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return re.sub(r"\n+", "<br>", text).replace("|", "\\|")


def _defaults(defaults: Mapping[str, str]) -> str:
    by_value: dict[str, list[str]] = defaultdict(list)
    for choice, value in defaults.items():
        by_value["must be given" if value in ("'???'", "required") else f"`{value}`"].append(choice)
    if len(by_value) == 1:
        return next(iter(by_value))
    return "<br>".join(f"{value}: {', '.join(names)}" for value, names in by_value.items())


def verb_page(verb: str) -> str:
    """The page of a verb: what it does, its help, its keys."""
    values, _, head = config_file(config_dir() / f"{verb}.yaml")
    template = values.get("hydra", {}).get("help", {}).get("template", head)
    shown = re.split(r"\n(?:Choices \(|Config as composed)", template)[0].strip()
    lines = [f"# recsys-lab {verb}", "", f"{as_markdown(VERBS[verb].summary)}.", ""]
    lines += ["```text", shown, "```", ""]
    if groups := verb_groups(verb):
        links = ", ".join(f"[`{group}`](../{group}.md)" for group in groups)
        lines += [f"It reads the config groups {links}.", ""]
    lines += ["## Keys", "", *table(verb_keys(verb)), ""]
    return "\n".join(lines)


def group_page(group: str) -> str:
    """The page of a config group: its classes, their keys, and the values of every choice."""
    lines = [f"# {group}", "", GROUPS[group], ""]
    for target, values in components(group).items():
        name = target.rpartition(".")[2]
        typed = [f"`{group}={choice}`" for choice in values if choice != "sweep.yaml"]
        lines += [f"## {name}", ""]
        lines += [f"{', '.join(typed)}. Code: `{target}`.", ""] if typed else []
        lines += [class_docstring(target), ""]
        for choice in values:
            head = config_file(choices(group)[choice])[2] if choice in choices(group) else ""
            lines += [f"`{choice}`: {' '.join(head.split())}", ""] if head else []
        keys = component_keys(target, values)
        lines += [*table(keys), ""] if keys else ["It has no options.", ""]
    for choice, file in choices(group).items():
        if "_target_" not in component_values(file):
            text = file.read_text(encoding="utf-8").strip()
            lines += [f"## {choice}", "", f"`{group}={choice}`", "", "```yaml", text, "```", ""]
    return "\n".join(lines)


def index_page() -> str:
    """The list of all verbs and groups."""
    lines = ["# Reference", "", "Generated from the config files and docstrings.", ""]
    lines += ["## Verbs", "", "| verb | |", "|---|---|"]
    lines += [f"| [`{name}`](verbs/{name}.md) | {verb.summary} |" for name, verb in VERBS.items()]
    lines += ["", "`recsys-lab VERB --help` shows the same in the terminal.", ""]
    lines += [
        "## Config groups",
        "",
        "A choice is typed as `group=choice`, a key as `group.key=value`.",
        "",
    ]
    lines += ["| group | what it decides | choices |", "|---|---|---|"]
    for group, summary in GROUPS.items():
        names = ", ".join(f"`{name}`" for name in choices(group))
        lines.append(f"| [`{group}`]({group}.md) | {summary} | {names} |")
    return "\n".join([*lines, ""])


def metrics_page() -> str:
    """Every metric with its definition."""
    lines = [
        "# Metrics",
        "",
        "Metrics that read a list are computed at a k, and named `ndcg@10`.",
        "",
    ]
    lines += ["How they are averaged, and their intervals: [Protocol](../protocol.md#metrics).", ""]
    for name, target in classes_by_name("recsys_lab.evaluation.metrics").items():
        lines += [f"## {name}", "", class_docstring(target), ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every generated page by its path below ``reference/``."""
    return {
        "index.md": index_page(),
        "metrics.md": metrics_page(),
        **{f"verbs/{verb}.md": verb_page(verb) for verb in VERBS},
        **{f"{group}.md": group_page(group) for group in GROUPS},
    }


def keys_without_meaning() -> list[str]:
    """Keys that nobody has explained, for the test that there are none."""
    keys = [(verb, key) for verb in VERBS for key in verb_keys(verb)]
    for group in GROUPS:
        for target, values in components(group).items():
            keys += [(f"{group} ({target})", key) for key in component_keys(target, values)]
    return [f"{where}: {key.name}" for where, key in keys if not key.meaning]
