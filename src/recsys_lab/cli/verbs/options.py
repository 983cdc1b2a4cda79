"""``recsys-lab options``: the config groups, their choices, and every key with its meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.config.help.docstrings import class_docstring
from recsys_lab.config.help.keys import (
    GROUPS,
    Key,
    choices,
    component_keys,
    component_values,
    components,
    config_file,
    default_choices,
    overridden,
    verb_groups,
    verb_keys,
)
from recsys_lab.config.help.value_habits import value_hint
from recsys_lab.config.verbs import VERBS
from recsys_lab.pages.table import Table
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Section:
    """A choice of a group, a class or a verb, with its keys.

    Attributes:
        title: as it is typed, e.g. ``model=sasrec``.
        about: what it is; Markdown.
        target: its class, or None.
        prefix: of its keys, e.g. ``model.``.
        keys: its keys.
        text: the file of a choice that consists of overrides, else empty.
        sets: choices of other groups that it makes: group -> choice.
        choices: of a group, each with one sentence.
    """

    title: str
    about: str = ""
    target: str | None = None
    prefix: str = ""
    keys: Sequence[Key] = ()
    text: str = ""
    sets: Mapping[str, str | None] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the list of groups, or the keys of what is named."""
    del output_dir
    folders: list[Path] = []
    if cfg.config_dir is not None:
        if not Path(cfg.config_dir).is_dir():
            raise UserError(f"--config-dir: no such folder: {Path(cfg.config_dir).absolute()}")
        folders.append(Path(cfg.config_dir))
    sections = [section for word in cfg.of for section in _Finder(folders).find(word)]
    if cfg.format == "json":
        found = [asdict(section) for section in sections] if cfg.of else _groups(folders)
        print(json.dumps(found, indent=1, default=str))
    elif cfg.of:
        for section in sections:
            _show(section)
    else:
        _list(_groups(folders))


def _groups(folders: Sequence[Path]) -> list[dict[str, object]]:
    """Every group with its default and its choices."""
    chosen = default_choices()
    return [
        {"group": group, "about": about, "default": chosen.get(group), "choices": [*files]}
        for group, about in GROUPS.items()
        for files in [choices(group, folders)]
    ]


class _Finder:
    """Finds the sections that a word of the command line names.

    Args:
        folders: the user's own folders of configs.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def find(self, word: str) -> Iterator[Section]:
        """The sections of a group, ``group=choice``, a key, a verb or a class.

        Raises:
            UserError: there is no such thing.
        """
        group, equals, choice = word.partition("=")
        first, dot, option = group.partition(".")
        if equals and group in GROUPS:
            yield self._choice(group, choice)
        elif word in GROUPS or word in VERBS:
            if word in VERBS:
                yield _of_verb(word)
            if word in GROUPS:
                yield from self._group(word)
        elif first in GROUPS and dot and not equals:
            yield from self._key(first, option)
        elif dot and not equals:
            yield _of_class(word)
        else:
            yield _top_level(word)

    def _group(self, group: str) -> Iterator[Section]:
        """The choices of a group, and the keys of its default or only one."""
        files = choices(group, self._folders)
        if len(files) > 1:
            yield Section(group, GROUPS[group], choices=_sentences(files))
        for values in components(group).values() if group == "sweep" else ():
            yield self._component(group, values, {})
        name = default_choices().get(group) or next(iter(files), None)
        if name is not None:
            yield self._choice(group, name)

    def _choice(self, group: str, choice: str) -> Section:
        files = choices(group, self._folders)
        if choice not in files:
            raise UserError(
                f"{group}: no choice {choice!r}{value_hint(group, choice, [*files])} Choices: "
                f"{', '.join(files) or 'none'}."
            )
        file = files[choice]
        values = component_values(file, files)
        if "_target_" not in values:
            text = file.read_text(encoding="utf-8").strip()
            return Section(f"{group}={choice}", text=text)
        return self._component(group, {choice: values}, files)

    def _component(
        self, group: str, values: Mapping[str, Mapping[str, object]], files: Mapping[str, Path]
    ) -> Section:
        [(choice, given)] = values.items()
        target, file = str(given["_target_"]), files.get(choice)
        about = "\n\n".join(filter(None, [_head(file) if file else "", class_docstring(target)]))
        comments = config_file(file)[1] if file else {}
        keys = component_keys(target, values, comments)
        title = f"{group}={choice}" if file else group
        sets = overridden(file) if file else {}
        return Section(title, about, target, f"{group}.", keys, sets=sets)

    def _key(self, group: str, option: str) -> Iterator[Section]:
        """A key of a group, in each class that has it."""
        known: set[str] = set()
        found = False
        for target, values in components(group, self._folders).items():
            keys = component_keys(target, values)
            known |= {key.name for key in keys}
            matching = [key for key in keys if key.name == option.partition(".")[0]]
            if matching:
                found = True
                title = target.rpartition(".")[2]
                yield Section(title, "", target, f"{group}.", matching)
        if not found:
            raise UserError(
                f"{group}.{option}: no choice of {group} has such a key"
                f"{did_you_mean(option, sorted(known))} Its keys: recsys-lab options {group}"
            )


def _of_verb(verb: str) -> Section:
    groups = verb_groups(verb)
    about = VERBS[verb].summary + "."
    if groups:
        about += f"\n\nIt reads the groups {', '.join(groups)}: recsys-lab options GROUP."
    return Section(f"recsys-lab {verb}", about, keys=verb_keys(verb))


def _of_class(target: str) -> Section:
    return Section(target, class_docstring(target), target, keys=component_keys(target, {}))


def _top_level(word: str) -> Section:
    """A top-level key of a verb that has it."""
    name = word.partition("=")[0]
    for verb in ("train", *VERBS):
        keys = [key for key in verb_keys(verb) if key.name == name]
        if keys:
            return Section(f"recsys-lab {verb}", keys=keys)
    known = [*GROUPS, *VERBS, *(key.name for key in verb_keys("train"))]
    raise UserError(
        f"options: there is no group, verb or key {name!r}{did_you_mean(name, known)} Give a group "
        f"({', '.join(GROUPS)}), group=choice, group.key, a verb, or the full name of a class."
    )


def _head(file: Path) -> str:
    lines = config_file(file)[2].splitlines()
    return " ".join(line for line in lines if not line.startswith("@package"))


def _sentences(files: Mapping[str, Path]) -> dict[str, str]:
    """The first sentence about each choice."""
    found = {}
    for name, file in files.items():
        target = component_values(file, files).get("_target_")
        about = _head(file) or (class_docstring(str(target)) if target else "")
        found[name] = _plain(re.split(r"(?<=\.)\s", about, maxsplit=1)[0])
    return found


def _plain(markdown: str) -> str:
    """Markdown as plain text."""
    text = re.sub(r"\\([*_<>\[\]])", r"\1", markdown)
    return re.sub(r"<(https?://[^>]+)>", r"\1", text).replace("`", "")


def _list(groups: Sequence[Mapping[str, object]]) -> None:
    console = Terminal()
    rows = []
    for group in groups:
        names = group["choices"]
        assert isinstance(names, list)
        shown = (
            f"{', '.join(names[:8])}, ... ({len(names)})" if len(names) > 8 else ", ".join(names)
        )
        about = f"{_plain(str(group['about']))} {f'Choices: {shown}.' if names else ''}".strip()
        rows.append((str(group["group"]), str(group["default"] or ""), about))
    console.print(Table("", ("group", "default", ""), rows, whole=(0,)).rich(box=None))
    console.print()
    console.print("recsys-lab options model           the choices of a group, one line each")
    console.print("recsys-lab options model=sasrec    every key: meaning, range, default")
    console.print("recsys-lab options recipe.crop     one key")
    console.print("recsys-lab options train           the top-level keys of a verb")


def _show(section: Section) -> None:
    console = Terminal(highlight=False)
    console.print(Text(section.title, style="bold"))
    for paragraph in _plain(section.about).split("\n\n") if section.about else ():
        console.print(Padding(Text(paragraph), (0, 0, 0, 2)))
    if section.choices:
        rows = [*section.choices.items()]
        console.print(Padding(Table("", (), rows, whole=(0,)).rich(box=None), (0, 0, 0, 1)))
    if section.sets:
        also = " ".join(f"{group}={choice or 'null'}" for group, choice in section.sets.items())
        console.print(Padding(Text(f"It also sets {also}"), (0, 0, 0, 2)))
    if section.target and section.title != section.target:
        console.print(Padding(Text(f"Class: {section.target}"), (0, 0, 0, 2)), soft_wrap=True)
    if section.text:
        console.print(Padding(Text(f"\n{section.text}"), (0, 0, 0, 2)))
    for key in section.keys:
        console.print()
        console.print(_line(section.prefix, key))
        console.print(Padding(Text(_plain(key.meaning)), (0, 0, 0, 6)))
    console.print()


def _line(prefix: str, key: Key) -> Text:
    """The key with its default and its range."""
    values = list(dict.fromkeys(key.defaults.values()))
    given = [value for value in values if value not in ("required", "'???'")]
    text = Text(f"  {prefix}{key.name}", style="bold cyan")
    text.append(f"={given[0]}" if len(given) == 1 else "", style="bold")
    text.append(f"   {key.type}", style="dim")
    if len(given) > 1:
        names = {v: [c for c, value in key.defaults.items() if value == v] for v in given}
        by_value = ", ".join(f"{value} ({', '.join(of)})" for value, of in names.items())
        text.append(f"   default: {by_value}", style="dim")
    elif values and not given:
        text.append("   must be given", style="dim")
    return text
