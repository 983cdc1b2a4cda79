"""Reference pages for the documentation, made from the config files and docstrings.

What the lab knows of its keys is in `recsys_lab.config.help`; here it becomes Markdown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from recsys_lab.config import config_dir
from recsys_lab.config.help.docstrings import as_markdown, class_docstring, classes_by_name
from recsys_lab.config.help.habits import HABITS
from recsys_lab.config.help.keys import (
    GROUPS,
    SWEEP,
    Key,
    choices,
    component_keys,
    component_values,
    components,
    config_file,
    verb_groups,
    verb_keys,
)
from recsys_lab.config.help.value_habits import VALUES
from recsys_lab.config.verbs import VERBS


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
        typed = [f"`{group}={choice}`" for choice in values if choice != SWEEP]
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


def habits_page() -> str:
    """What names of other frameworks are called here."""
    lines = [
        "# Names of other frameworks",
        "",
        "Of RecBole, RecTools, RePlay, lightning-hydra-template and the Trainer of Hugging Face, "
        "in lower case and without their groups: `trainer.max_epochs` is `max_epochs`. A message "
        "about an unknown key says what it is called here. See also "
        "[Coming from another framework](../coming-from.md).",
        "",
        "| there | here | |",
        "|---|---|---|",
    ]
    for name, habit in HABITS.items():
        here = " ".join(f"`{word}`" for word in (habit.use or habit.key).split())
        lines.append(f"| `{name}` | {here} | {as_markdown(habit.note)} |")
    lines += ["", "Values:", "", "| there | here |", "|---|---|"]
    for key, values in VALUES.items():
        lines += [f"| `{value}` | `{key}={here}` |" for value, here in values.items()]
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """Every generated page by its path below ``reference/``."""
    return {
        "index.md": index_page(),
        "metrics.md": metrics_page(),
        "habits.md": habits_page(),
        **{f"verbs/{verb}.md": verb_page(verb) for verb in VERBS},
        **{f"{group}.md": group_page(group) for group in GROUPS},
    }
