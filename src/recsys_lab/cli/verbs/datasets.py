"""``recsys-lab datasets``: the choices of ``data=``, with size, licence and caveats."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]
from rich.table import Table as RichTable
from rich.text import Text

from recsys_lab.config import UserError, config_dir, did_you_mean, first_line
from recsys_lab.config.schema import first_sentence, has_method, schema_of_target
from recsys_lab.config.targets import import_class
from recsys_lab.data.sources.published.base import PublishedDataset, describe, variants
from recsys_lab.pages.number_format import format_value
from recsys_lab.pages.table import Table
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig

GENERIC = "depends on your data"
"""Size, licence and needs of a source that is not a published dataset."""


@dataclass(frozen=True)
class Entry:
    """One choice of the config group ``data``.

    Attributes:
        name: as in ``data=name``.
        kind: dataset (published), source (for the user's own data), or unreadable.
        title: full name, or what the source reads.
        size: rows, users and items.
        licence: the terms.
        needs: prerequisites.
        checked: what a download is verified against.
        homepage: official address.
        citation: the paper to cite.
        notes: caveats of the protocol.
        variants: size of each value of ``data.variant``.
        command: to prepare it.
        options: values of the config, without ``_target_``.
    """

    name: str
    kind: str
    title: str
    size: str
    licence: str
    needs: str
    checked: str
    homepage: str
    citation: str
    notes: Sequence[str]
    variants: Mapping[str, str]
    command: str
    options: Mapping[str, Any]


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the list, or one entry."""
    del output_dir
    folders = [config_dir() / "data"]
    if cfg.config_dir is not None:
        if not Path(cfg.config_dir).is_dir():
            raise UserError(f"--config-dir: no such folder: {Path(cfg.config_dir).absolute()}")
        folders.append(Path(cfg.config_dir) / "data")
    entries = find_entries(folders)
    if cfg.name is not None:
        entries = [entry for entry in entries if entry.name == cfg.name]
        if not entries:
            names = [entry.name for entry in find_entries(folders)]
            raise UserError(
                f"name: there is no dataset {cfg.name!r}{did_you_mean(cfg.name, names)} Datasets: "
                f"{', '.join(names)}."
            )
    if cfg.format == "json":
        rows = [asdict(entry) for entry in entries]
        print(json.dumps(rows[0] if cfg.name is not None else rows, indent=1, default=str))
    elif cfg.name is not None:
        _show(entries[0])
    else:
        _list(entries)


def find_entries(folders: Sequence[Path]) -> list[Entry]:
    """Every config in the folders: published datasets by name, then the other sources.

    Args:
        folders: of the group ``data``; earlier ones take precedence.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.yaml")):
            files.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
    order = {"dataset": 0, "source": 1, "unreadable": 2}
    entries = [_entry(name, file, folders) for name, file in files.items()]
    return sorted(entries, key=lambda entry: (order[entry.kind], entry.name))


def _entry(name: str, file: Path, folders: Sequence[Path]) -> Entry:
    try:
        options = _options(file, folders, set())
        target = options.pop("_target_", None)
        schema_of_target(target, "data")
        # Other readers are not imported: their libraries take longer than everything else here.
        may_be_published = has_method(target, PublishedDataset.unpacked.__name__)
        reader = import_class(target, "data") if may_be_published else None
        title = first_sentence(target)
    except (UserError, ImportError, OSError, ValueError, yaml.YAMLError) as error:
        return _plain(name, "unreadable", f"{file}: {first_line(error)}", "", {})
    named = describe(reader, options) if reader is not None else None
    if reader is None or named is None:
        return _plain(name, "source", title, _command(name, options, file), options)
    about = named.about
    return Entry(
        name=name,
        kind="dataset",
        title=about.title,
        size=named.size,
        licence=about.licence,
        needs=named.needs,
        checked=_checked(has_md5=named.has_md5, options=options),
        homepage=about.homepage,
        citation=about.citation,
        notes=list(about.notes),
        variants={name: info.size for name, info in variants(reader).items()},
        command=_command(name, options, file),
        options=options,
    )


def _plain(name: str, kind: str, title: str, command: str, options: Mapping[str, Any]) -> Entry:
    own = GENERIC if kind == "source" else ""
    return Entry(name, kind, title, own, own, own, "", "", "", [], {}, command, options)


def _checked(*, has_md5: bool, options: Mapping[str, Any]) -> str:
    if "download_dir" not in options:
        return "nothing: you provide the file"
    if has_md5:
        return "the published MD5"
    return "the SHA-256 recorded at the first download, or data.sha256"


def _options(file: Path, folders: Sequence[Path], seen: set[Path]) -> dict[str, Any]:
    """The values of a config, merged over those of its ``defaults``."""
    seen.add(file)
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict):
        raise ValueError("is not a mapping of options")
    merged: dict[str, Any] = {}
    for base in loaded.pop("defaults", None) or []:
        files = [folder / f"{base}.yaml" for folder in folders] if isinstance(base, str) else []
        other = next((path for path in files if path.is_file() and path not in seen), None)
        if other is not None:
            merged |= _options(other, folders, seen)
    return merged | loaded


def _command(name: str, options: Mapping[str, Any], file: Path) -> str:
    """The shortest command that prepares the dataset.

    Args:
        name: of the choice.
        options: of its config.
        file: the config.
    """
    words = ["recsys-lab prepare", f"data={name}"]
    if not file.is_relative_to(config_dir()):
        own = next(folder.parent for folder in file.parents if folder.name == "data")
        words.append(f"--config-dir {shlex.quote(str(own))}")
    if "path" in options and options["path"] is None and "download_dir" not in options:
        words.append("data.path=PATH")
    return " ".join(words)


def _list(entries: Sequence[Entry]) -> None:
    """One line a dataset, cut at the end of the terminal's line."""
    console = Terminal()
    published = [
        (entry.name, _got(entry), _licence(entry), entry.size)
        for entry in entries
        if entry.kind == "dataset"
    ]
    others = [
        (entry.name, entry.title.replace("`", "")) for entry in entries if entry.kind != "dataset"
    ]
    heads = ("data=", "file", "licence", "size")
    console.print(_cut("published datasets", heads, published, console.width))
    console.print(_cut("\nother sources", ("data=", "reads"), others, console.width))
    console.print("\nrecsys-lab datasets NAME: homepage, licence, citation, caveats, command.")


def _licence(entry: Entry) -> str:
    """The first words of the licence."""
    text = re.split(r"[;:,.] |[.]$", entry.licence)[0]
    return text if len(text) <= 20 else f"{text[:19]}…"


def _cut(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> RichTable:
    """A table of one line a row: the last column is cut."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads) - 1)]
    left = max(8, width - sum(widths) - 2 * len(widths))
    short = [
        (*row[:-1], row[-1] if len(row[-1]) <= left else f"{row[-1][: left - 1]}…") for row in rows
    ]
    return Table(caption, heads, short, whole=range(len(heads))).rich(box=None, pad_edge=False)


def _got(entry: Entry) -> str:
    """Who gets the file of a published dataset."""
    return "downloaded" if "download_dir" in entry.options else "by hand"


def _show(entry: Entry) -> None:
    console = Terminal()
    console.print(Text.assemble((entry.title, "bold"), f"  (data={entry.name})"))
    for heading in ("size", "licence", "needs", "checked", "homepage", "citation"):
        text = getattr(entry, heading)
        if text and text != GENERIC:
            heading = "checked against" if heading == "checked" else heading
            console.print(f"{heading}: {text}", soft_wrap=True)
    for variant, size in entry.variants.items():
        console.print(f"data.variant={variant}: {size}", soft_wrap=True)
    for note in entry.notes:
        console.print(f"- {note}", soft_wrap=True)
    if entry.options:
        values = ", ".join(
            f"data.{key}={format_value(value)}" for key, value in entry.options.items()
        )
        console.print(f"options: {values}", soft_wrap=True)
    if entry.command:
        console.print(f"command: {entry.command}", soft_wrap=True)
