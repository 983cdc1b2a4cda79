"""Completion of the shell: verbs, groups and choices, keys and their values, run directories.

``recsys-lab -sc install=bash`` prints the function of the shell (zsh takes that of bash after
``bashcompinit``), which asks with ``-sc query=bash`` for each TAB. Neither Hydra nor torch is
imported, and nothing is written to stderr: it would appear in the line that is being typed.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from recsys_lab.config import UserError, is_component
from recsys_lab.config.choice import choice_of
from recsys_lab.config.help.keys import GROUPS, choices, component_values, default_choices
from recsys_lab.config.own_modules import find_allowed_modules_in
from recsys_lab.config.schema import schema_of_target, types_of
from recsys_lab.config.verbs import VERBS, Verb

_FLAGS = ("--help", "--version", "--cfg", "--multirun", "--config-dir")
_OF_RUNS = ("run", "runs", "candidate", "source", "resume", "from", "init_from")
"""Keys whose value is a run directory."""
_NEWEST = 20
_BASH = """
_recsys_lab() {
    local line="${COMP_LINE:0:$COMP_POINT}" word cut= IFS=$'\\n'
    word="${line##*[[:space:]]}"
    # Readline replaces only what follows the last of these characters.
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && cut="${word%"${word##*=}"}"
    COMPREPLY=($(COMP_LINE="$line" PROGRAM -sc query=bash 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
complete -o nospace -F _recsys_lab PROGRAM
"""
_FISH = """
function _recsys_lab
    COMP_LINE=(commandline -cp) PROGRAM -sc query=fish 2>/dev/null
end
complete -c PROGRAM -f -a '(_recsys_lab)'
"""


def script(shell: str, program: str, *, remove: bool) -> str:
    """What a shell has to evaluate.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        program: the command to complete.
        remove: take the completion back.

    Raises:
        UserError: the shell is not known.
    """
    if shell not in ("bash", "zsh", "fish"):
        raise UserError(f"-sc: got shell {shell!r}, expected bash, zsh or fish")
    if remove:
        return f"complete -e -c {program}" if shell == "fish" else f"complete -r {program}"
    text = (_FISH if shell == "fish" else _BASH).strip().replace("PROGRAM", program)
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def completed(line: str) -> list[str]:
    """The words that the last word of a line may become; complete ones end in a space."""
    words = line.split()
    last = "" if not words or line.endswith(" ") else words.pop()
    if len(words) < 2:
        found = [f"{word} " for word in (*VERBS, "--help", "--version")]
    elif words[1] not in VERBS:
        found = []
    else:
        find_allowed_modules_in(os.getcwd())
        found = list(_Words(words[1], words[2:]).starting(last))
    return [word for word in dict.fromkeys(found) if word.startswith(last)]


class _Words:
    """The words that may follow those of a command.

    Args:
        name: the verb.
        before: the complete words after it.
    """

    def __init__(self, name: str, before: Sequence[str]) -> None:
        self._name, self._verb, self._before = name, VERBS[name], before
        flags = [i for i, word in enumerate(before) if word == "--config-dir"]
        given = before[flags[-1] + 1 :][:1] if flags else ()
        self._folders = [Path(folder) for folder in given]

    def starting(self, last: str) -> Iterator[str]:
        """Words that may begin with `last`; the caller leaves out those that do not."""
        key, equals, value = last.partition("=")
        if self._before[-1:] == ["--config-dir"]:
            yield from (f"{path}" for path in _paths(last, only_folders=True))
        elif last.startswith("-"):
            yield from (f"{flag} " for flag in _FLAGS)
        elif equals:
            yield from (f"{key}={text}" for text in self._values(key, value))
        else:
            yield from self._keys(key)
            yield from self._bare(self._verb, last)

    def _keys(self, prefix: str) -> Iterator[str]:
        group, dot, _ = prefix.partition(".")
        if dot:
            yield from (f"{group}.{option}=" for option in self._options(group))
            return
        for key, kind in types_of(self._verb.schema).items():
            if key in self._verb.refuses:
                continue
            yield f"{key}="
            if is_component(kind):
                yield f"{key}."
        if self._verb.composes:
            yield from (f"{group}=" for group in default_choices(self._name))

    def _bare(self, verb: Verb, last: str) -> Iterator[str]:
        """Bare arguments."""
        if verb.takes_overrides:
            yield from (f"{word} " for word in VERBS)
            yield from (word for group in GROUPS for word in (f"{group} ", f"{group}="))
        elif verb.positional == "name":
            yield from (f"{name} " for name in choices("data", self._folders))
        elif verb.positional in (*_OF_RUNS, "datasets"):
            yield from _runs(last)
        elif verb.positional is not None:
            yield from _paths(last)

    def _values(self, key: str, value: str) -> Iterator[str]:
        group, _, option = key.lstrip("+").partition(".")
        if not option and (names := choices(group, self._folders)):
            yield from (f"{name} " for name in names)
        elif key in _OF_RUNS:
            yield from ["auto "] if key == "resume" else []
            yield from _runs(value)
        elif option.endswith("path") or group in ("run_dir", "output", "config_dir", "dir"):
            yield from _paths(value)
        else:
            kinds = self._options(group) if option else types_of(self._verb.schema)
            yield from (f"{text} " for text in _of_type(kinds.get(option or group)))

    def _options(self, group: str) -> dict[str, Any]:
        """The options of the choice of a group in this command, with their types."""
        typed = [word.partition("=")[2] for word in self._before if word.startswith(f"{group}=")]
        files = choices(group, self._folders)
        default = default_choices(self._name).get(group)
        file = files.get(typed[-1] if typed else str(default))
        if file is None:
            return {}
        with suppress(UserError, KeyError):  # a class that is not there yet
            target = component_values(file, files)["_target_"]
            return dict(schema_of_target(target, group).types)
        return {}


def _of_type(annotation: Any) -> Iterator[str]:
    """The values of a type with few of them."""
    choice, arguments = choice_of(annotation), get_args(annotation)
    if choice is not None:
        yield from choice.names
    elif annotation is bool:
        yield from ("true", "false")
    elif annotation is type(None):
        yield "null"
    elif get_origin(annotation) is Literal:
        yield from map(str, arguments)
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in arguments:
            yield from _of_type(part)
    elif get_origin(annotation) is Annotated:
        yield from _of_type(arguments[0])


def _runs(prefix: str) -> Iterator[str]:
    """The newest run directories below ``runs``, and folders by their path."""
    found = sorted(Path("runs").glob("*/*/run.json"), key=lambda path: -path.stat().st_mtime)
    of_prefix = [str(path.parent) for path in found if str(path.parent).startswith(prefix)]
    yield from (f"{folder} " for folder in of_prefix[:_NEWEST])
    if prefix:
        yield from _paths(prefix, only_folders=True)


def _paths(prefix: str, *, only_folders: bool = False) -> Iterator[str]:
    """Files and folders that a path may become."""
    typed, _, _ = prefix.rpartition("/")
    folder = Path(typed or ("/" if prefix.startswith("/") else "."))
    with suppress(OSError):
        for path in sorted(folder.expanduser().iterdir()):
            text = f"{typed}/{path.name}" if "/" in prefix else path.name
            if path.is_dir():
                yield f"{text} " if (path / "run.json").exists() else f"{text}/"
            elif not only_folders:
                yield f"{text} "
