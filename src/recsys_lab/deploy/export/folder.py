"""The exported folder: its files, its manifest, and how it appears at once or not at all."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.files.atomic import sync_tree
from recsys_lab.files.digests import damage, digests
from recsys_lab.files.faults import reason
from recsys_lab.files.reading import reading
from recsys_lab.files.scratch import make_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recsys_lab.config.commands import Verify

SCHEMA = 1
MANIFEST = "manifest.json"
ONNX, INT8, PROGRAM = "model.onnx", "model.int8.onnx", "model.pt2"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
ITEMS, ITEM_IDS, USERS = "items.parquet", "item_ids.json", "users.parquet"
_CURE = "; copy the export again, or make it again with recsys-lab export"


def refuse_used(output: Path) -> None:
    """Check that nothing is at the path of a new export.

    Raises:
        UserError: there is a file, or a folder with content.
    """
    if output.is_dir() and not output.is_symlink() and not any(output.iterdir()):
        return
    if output.exists() or output.is_symlink():
        raise UserError(
            f"output: {output} exists already; an export is never written over another one: give "
            "a new folder, or remove this one first"
        )


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A hidden folder beside ``output``, which is renamed to it if the body succeeds.

    Raises:
        UserError: the folder cannot be created, or ``output`` appeared in the meantime.
    """
    with ExitStack() as until:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            scratch = make_scratch(output.parent, f".{output.name}.export-", until) / "made"
            scratch.mkdir()
        except OSError as error:
            raise UserError(
                f"output: cannot create a folder beside {output} ({reason(error)}); choose another"
            ) from None
        yield scratch
        mode = (scratch / MANIFEST).stat().st_mode & 0o777
        for path in scratch.iterdir():  # some libraries write files for their owner alone
            path.chmod(mode)
        sync_tree(scratch)
        refuse_used(output)
        scratch.replace(output)


def write_manifest(folder: Path, values: dict[str, Any]) -> None:
    """Write the manifest, with the digests of all other files."""
    files = digests(folder, sorted(path.name for path in folder.iterdir()))
    text = json.dumps({"schema": SCHEMA, **values, "files": files}, indent=1)
    (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")


def read_manifest(folder: Path, verify: Verify = "full") -> dict[str, Any]:
    """The manifest of an export whose files are as they were written.

    Args:
        folder: the export.
        verify: ``full`` compares the SHA-256 of every file, ``sizes`` only the lengths.

    Raises:
        UserError: it is not an export, of a later version, or damaged.
    """
    path = folder / MANIFEST
    if not (folder / ONNX).exists() or not path.exists():
        raise UserError(
            f"{folder}: not an export ({MANIFEST} or {ONNX} is missing); give a folder written by "
            "recsys-lab export"
        )
    with reading(path, _CURE):
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema, files = values["schema"], values["files"]
    if schema != SCHEMA:
        raise UserError(
            f"{path}: schema {schema}; this version of recsys_lab reads {SCHEMA}; export the run "
            "again, or use the version that wrote it"
        )
    problem = damage(folder, files, verify)
    if problem:
        raise UserError(f"{problem}{_CURE}")
    return values
