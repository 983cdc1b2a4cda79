"""The registry: a folder that names the champion, the run whose lists users get.

``registry.json`` has the champion and all earlier ones; ``decisions/`` has one file for each
decision, also for refused candidates. A decision has taken effect if ``registry.json`` names it.
Both are written under a lock, each atomically, the decision first: after a crash between the two,
the champion is unchanged. Readers need no lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.deploy.registry_file import SCHEMA, Content, Entry, read_content
from recsys_lab.files.atomic import remove_temporaries, write_text
from recsys_lab.files.faults import out_of_space, reason
from recsys_lab.files.locks import hold

REGISTRY, DECISIONS = "registry.json", "decisions"
_LOCK = ".lock"


@dataclass(frozen=True)
class Champion:
    """The champion, with absolute paths.

    Attributes:
        run: the run directory.
        export: its exported folder, or None.
        version: its version.
        promoted: when it was promoted, ISO 8601 in UTC.
        decision: the decision's file.
        weights_sha256: SHA-256 of the weights, if noted.
    """

    run: Path
    export: Path | None
    version: int
    promoted: str
    decision: Path
    weights_sha256: str | None = None


class Changed(UserError):
    """The champion has changed since it was compared."""


class Registry:
    """A registry in a folder.

    Args:
        folder: need not exist; a registry without a file has no champion.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def file(self) -> Path:
        """``registry.json``."""
        return self.folder / REGISTRY

    def champion(self) -> Champion | None:
        """The champion; None if there was never one.

        Raises:
            UserError: the file is damaged.
        """
        content = self._read()
        return self._open(content.champion) if content and content.champion else None

    def history(self) -> list[Champion]:
        """Earlier champions, oldest first.

        Raises:
            UserError: the file is damaged.
        """
        content = self._read()
        return [self._open(entry) for entry in content.history] if content else []

    def step_back(self) -> tuple[Champion, Champion]:
        """The present champion, and the one that a rollback restores.

        Each rollback goes one champion further back: rollbacks do not count as champions.

        Raises:
            UserError: there is no earlier champion, or the file is damaged.
        """
        content = self._read()
        if content is None or content.champion is None:
            raise UserError(f"{self.folder}: no champion yet, so there is nothing to roll back")
        entries = {entry.version: entry for entry in (*content.history, content.champion)}
        current = content.champion.restores or content.champion.version
        earlier = [version for version in entries if version < current]
        if not earlier:
            raise UserError(
                f"{self.folder}: version {current} ({content.champion.run}) was the first champion,"
                " so there is none to roll back to; promote another run"
            )
        entry = entries[max(earlier)]
        entry = entries.get(entry.restores or entry.version, entry)
        return self._open(content.champion), self._open(entry)

    def note(self, decision: Mapping[str, Any]) -> Path:
        """Store a decision that leaves the champion.

        Returns:
            Its file.
        """
        with self._alone():
            self._read()  # nothing is added to a damaged registry
            return self._write_decision(decision)

    def promote(
        self,
        run: Path,
        decision: Mapping[str, Any],
        *,
        against: int | None,
        export: Path | None = None,
        weights_sha256: str | None = None,
        restores: int | None = None,
    ) -> Champion:
        """Make a run the champion.

        Args:
            run: the run directory.
            decision: its content, see `recsys_lab.deploy.promote`; the number is added.
            against: version of the champion that the decision was made against; None: no champion.
            export: its exported folder, or None.
            weights_sha256: of the run's weights.
            restores: the version that a rollback restores, or None.

        Raises:
            Changed: another champion was promoted meanwhile.
            UserError: the file is damaged, or cannot be written.
        """
        with self._alone():
            content = self._unchanged(against)
            old = content.champion if content else None
            history = [*content.history, *([old] if old else [])] if content else []
            version = 1 + max((entry.version for entry in history), default=0)
            file = self._write_decision({**decision, "version": version})
            entry = Entry(
                run=self._stored(run),
                export=None if export is None else self._stored(export),
                version=version,
                promoted=datetime.now(UTC).isoformat(timespec="seconds"),
                decision=str(file.relative_to(self.folder)),
                weights_sha256=weights_sha256,
                restores=restores,
            )
            self._write(entry, history)
            return self._open(entry)

    def rollback(self, decision: Mapping[str, Any], *, against: int) -> Champion:
        """Make the champion before the present one champion again, as a new version.

        Args:
            decision: its content; see `promote`.
            against: version of the present champion.

        Raises:
            Changed: another champion was promoted meanwhile.
            UserError: there is no earlier champion, or the file is damaged.
        """
        _, earlier = self.step_back()
        return self.promote(
            earlier.run,
            decision,
            against=against,
            export=earlier.export,
            weights_sha256=earlier.weights_sha256,
            restores=earlier.version,
        )

    def move(self, folder: Path, decision: Mapping[str, Any], *, against: int) -> Champion:
        """Name the new folder of the champion, in all versions that have its old one.

        The version stays, as it is the same model.

        Args:
            folder: where its run directory is now.
            decision: its content; see `promote`.
            against: version of the present champion.

        Raises:
            Changed: another champion was promoted meanwhile.
            UserError: the file is damaged, or cannot be written.
        """
        with self._alone():
            content = self._unchanged(against)
            assert content is not None, "against is a version"
            assert content.champion is not None, "against is its version"
            old, now = content.champion, {"run": self._stored(folder)}
            file = self._write_decision({**decision, "version": old.version})
            champion = old.model_copy(
                update={**now, "decision": str(file.relative_to(self.folder))}
            )
            history = [e.model_copy(update=now) if e.run == old.run else e for e in content.history]
            self._write(champion, history)
            return self._open(champion)

    def _unchanged(self, against: int | None) -> Content | None:
        """The content, if its champion is of a version.

        Raises:
            Changed: it is another one.
        """
        content = self._read()
        old = content.champion if content else None
        if (old.version if old else None) != against:
            now = f"version {old.version} ({old.run})" if old else "none"
            raise Changed(
                f"{self.folder}: the champion has changed since it was compared (it was "
                f"{f'version {against}' if against else 'none'}, now {now}); nothing was "
                "changed, run the command again"
            )
        return content

    def _read(self) -> Content | None:
        return read_content(self.file)

    def _write(self, champion: Entry, history: Sequence[Entry]) -> None:
        values = {
            "schema": SCHEMA,
            "champion": champion.model_dump(),
            "history": [old.model_dump() for old in history],
        }
        write_text(self.file, json.dumps(values, indent=2) + "\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock; errors of the file system name the registry.

        Raises:
            UserError: the folder cannot be written to.
        """
        try:
            with hold(self.folder / _LOCK, wait=True):
                remove_temporaries(self.folder)
                yield
        except OSError as error:
            if out_of_space(error):
                raise
            raise UserError(
                f"registry={self.folder}: cannot be written ({reason(error)}); change its mode, or "
                "choose another folder"
            ) from None

    def _write_decision(self, decision: Mapping[str, Any]) -> Path:
        folder = self.folder / DECISIONS
        taken = [int(file.stem) for file in folder.glob("*.json") if file.stem.isdecimal()]
        number = 1 + max(taken, default=0)
        file = folder / f"{number:04d}.json"
        write_text(file, json.dumps({**decision, "number": number}, indent=2) + "\n")
        return file

    def _open(self, entry: Entry) -> Champion:
        return Champion(
            run=self._absolute(entry.run),
            export=None if entry.export is None else self._absolute(entry.export),
            version=entry.version,
            promoted=entry.promoted,
            decision=self._absolute(entry.decision),
            weights_sha256=entry.weights_sha256,
        )

    def _absolute(self, path: str) -> Path:
        return Path(os.path.normpath(self.folder.resolve() / path))

    def _stored(self, path: Path) -> str:
        """Relative to the registry if both are in one project folder, which may be moved."""
        project, path = self.folder.resolve().parent, path.resolve()
        if path.is_relative_to(project):
            return os.path.relpath(path, self.folder.resolve())
        return str(path)
