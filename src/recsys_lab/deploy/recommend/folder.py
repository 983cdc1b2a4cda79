"""The output folder of a job: settings, finished shards, manifest.

    part-00000.parquet ...   the lists; a part is complete, or is not there
    manifest.json            written last
    progress.json            while the job runs
    .work/                   while the job runs: settings, and counts and lock of each part

A part is renamed to its name only after its counts are on disk, so it exists if and only if its
work is done. That makes the job repeatable after any kill, by any number of processes.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.files.atomic import remove_dead_temporaries, write_text
from recsys_lab.files.locks import hold
from recsys_lab.files.reading import reading

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

MANIFEST, PROGRESS, WORK = "manifest.json", "progress.json", ".work"
_OTHERWISE = "; choose another output, or delete this folder to start again"
_FOREIGN = "; choose another output"


class OutputFolder:
    """The folder, whose content belongs to one set of settings.

    Args:
        path: the folder.
        form: format of the parts.
        sizes: number of users of each part.
    """

    def __init__(self, path: Path, form: str, sizes: list[int]) -> None:
        self.path, self.sizes = path, sizes
        self.manifest, self.progress = path / MANIFEST, path / PROGRESS
        self._form, self._work = form, path / WORK
        self._done: dict[int, dict[str, Any]] = {}

    def name(self, part: int) -> str:
        """File name of a part."""
        return f"part-{part:05}.{self._form}"

    def open(self, settings: dict[str, Any]) -> None:
        """Start a job, or continue one with the same settings.

        Raises:
            UserError: the folder has something else.
        """
        self._refuse_others()
        self.path.mkdir(parents=True, exist_ok=True)
        settings = json.loads(json.dumps(settings))
        stored = self._work / "settings.json"
        with self.locked():
            before = _read(self.manifest, "settings") if self.manifest.exists() else None
            if before is None and stored.exists():
                before = _read(stored, "settings")
            if before is None:
                write_text(stored, json.dumps({"settings": settings}, indent=1) + "\n")
            else:
                self._refuse_different(before, settings)
            remove_dead_temporaries(self.path)
            if self.manifest.exists():
                self._reopen(settings)

    def _reopen(self, settings: dict[str, Any]) -> None:
        """Go back to an unfinished job if a part of a finished one is gone."""
        entries = _read(self.manifest, "parts")
        for part, entry in enumerate(entries):
            self._done[part] = entry
        if all(self.is_done(part) for part in range(len(self.sizes))):
            return
        write_text(self._work / "settings.json", json.dumps({"settings": settings}, indent=1))
        for part, entry in enumerate(entries):
            write_text(self._counts(part), json.dumps(entry) + "\n")
        self.manifest.unlink()

    def _refuse_others(self) -> None:
        """Refuse a folder of something else, before anything is written to it."""
        if (self._work / "settings.json").exists() or not self.path.exists():
            return
        if self.manifest.exists():
            values = _read(self.manifest)
            if isinstance(values, dict) and {"settings", "parts"} <= {*values}:
                return
        others = [path.name for path in self.path.iterdir() if path.name != WORK]
        if others:
            raise UserError(
                f"output={self.path}: the folder is not empty ({sorted(others)[0]}) and has no "
                f"lists of this command{_FOREIGN}"
            )

    def _refuse_different(self, before: Any, settings: dict[str, Any]) -> None:
        changed = [
            f"{key} was {before.get(key)!r} and is {settings.get(key)!r}"
            for key in dict.fromkeys([*before, *settings])
            if before.get(key) != settings.get(key)
        ]
        if changed:
            raise UserError(
                f"output={self.path}: has lists of other settings: {'; '.join(changed)}{_OTHERWISE}"
            )

    def locked(self) -> AbstractContextManager[None]:
        """A lock of the whole folder, for short steps."""
        return hold(self._work / ".lock", wait=True)

    def claimed(self, part: int) -> AbstractContextManager[None]:
        """A lock of one part; raises `recsys_lab.files.locks.Held` if it is taken."""
        return hold(self._work / f"part-{part:05}.lock", wait=False)

    def is_done(self, part: int) -> bool:
        """Whether a part is complete, by its file and the length that is noted for it."""
        if part not in self._done:
            if self._counts(part).exists():
                self._done[part] = _read(self._counts(part))
            elif self.manifest.exists():  # another process has just finished the job
                self._done[part] = _read(self.manifest, "parts")[part]
            else:
                return False
        file = self.path / self.name(part)
        if file.is_file() and file.stat().st_size == self._done[part]["bytes"]:
            return True
        del self._done[part]
        return False

    def note(self, part: int, counts: dict[str, Any]) -> None:
        """Store the counts of a part that is about to be renamed to its name."""
        write_text(self._counts(part), json.dumps(counts) + "\n")

    def left(self) -> list[int]:
        """The parts that are not done."""
        return [part for part in range(len(self.sizes)) if not self.is_done(part)]

    def users_done(self) -> int:
        """Number of users of finished parts."""
        return sum(self.sizes) - sum(self.sizes[part] for part in self.left())

    def finish(self, manifest: dict[str, Any]) -> bool:
        """Write the manifest if all parts are done; false if another process has written it."""
        with self.locked():
            if self.manifest.exists():
                return False
            assert not self.left()
            parts = [self._done[part] for part in range(len(self.sizes))]
            names = [key for key in parts[0] if key not in ("file", "bytes", "sha256")]
            sums = {name: sum(part[name] for part in parts) for name in names}
            counts = {**manifest["counts"], **sums}
            values = {**manifest, "counts": counts, "parts": parts}
            self.progress.unlink(missing_ok=True)
            write_text(self.manifest, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        self.tidy()
        return True

    def tidy(self) -> None:
        """Remove what a finished job does not need."""
        shutil.rmtree(self._work, ignore_errors=True)

    def _counts(self, part: int) -> Path:
        return self._work / f"part-{part:05}.json"


def _read(file: Path, key: str | None = None) -> Any:
    with reading(file, _OTHERWISE):
        values = json.loads(file.read_text(encoding="utf-8"))
        return values if key is None else values[key]
