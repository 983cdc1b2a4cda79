"""Parts of a job, claimed and written by any number of processes."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from recsys_lab.contracts import NO_ITEM
from recsys_lab.deploy.recommend.progress import JobProgress
from recsys_lab.deploy.recommend.shards import ROW_GROUP, ShardWriter
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.files.digests import digest
from recsys_lab.files.locks import Held

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from recsys_lab.deploy.recommend.folder import OutputFolder
    from recsys_lab.deploy.recommend.plan import Plan
    from recsys_lab.experiment.recommend.batch_lists import RankedBatch

_WAIT = 0.5
"""Seconds between looks at parts that other processes work on."""


def run_job(plan: Plan, folder: OutputFolder, console: Console | None) -> bool:
    """Write all parts that no other process writes, then wait for the others.

    A part is claimed by a lock, which ends with its process: if that is killed, its part is taken
    over by a process that waits. Under ``torchrun`` the processes start at different parts, but do
    not talk to each other.

    Args:
        plan: the job.
        folder: opened with its settings.
        console: for progress; None: show nothing.

    Returns:
        Whether this process wrote the manifest.
    """
    if folder.manifest.exists() and not folder.left():
        folder.tidy()
        return False
    begun = time.monotonic()
    total, done = len(plan.source), folder.users_done()
    with JobProgress(folder.progress, total, done, console) as progress:
        while left := folder.left():
            progress.set_done(folder.users_done())
            if not any(_try(plan, folder, part, progress) for part in _in_turn(left)):
                time.sleep(_WAIT)
        progress.set_done(total)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {
        "schema": 1,
        **plan.about,
        "settings": plan.settings,
        "columns": {name: str(kind) for name, kind in _types(plan)},
        "notes": plan.notes,
        "finished": now,
        "seconds": round(time.monotonic() - begun, 1),
        "counts": plan.counts,
    }
    return folder.finish(manifest)


def _types(plan: Plan) -> list[tuple[str, Any]]:
    schema = plan.columns.schema()
    return list(zip(schema.names, schema.types, strict=True))


def _in_turn(parts: list[int]) -> list[int]:
    """The parts from this process's share on, so that processes rarely want the same one."""
    rank, world = (int(os.environ.get(name) or d) for name, d in (("RANK", 0), ("WORLD_SIZE", 1)))
    first = len(parts) * (rank % world) // world
    return [*parts[first:], *parts[:first]]


def _try(plan: Plan, folder: OutputFolder, part: int, progress: JobProgress) -> bool:
    """Write a part unless it is taken; whether it was written."""
    if folder.is_done(part):
        return False
    try:
        with folder.claimed(part):
            if folder.is_done(part):
                return False
            done = folder.users_done()
            path = folder.path / folder.name(part)

            def write(file: Path) -> None:
                counts = write_part(plan, part, file, lambda users: progress.set_done(done + users))
                folder.note(part, {"file": path.name, **counts, **digest(file)})

            replace_atomically(path, write)
    except Held:
        return False
    progress.set_done(folder.users_done())
    return True


def write_part(plan: Plan, part: int, file: Path, tell: Callable[[int], None]) -> dict[str, int]:
    """Write the lists of one part to a file.

    Args:
        plan: the job.
        part: from 0.
        file: written at this path.
        tell: called with the number of users so far.

    Returns:
        Counts: users, users with a list, rows, and lists of fewer than k items.
    """
    first, users = part * plan.part_size, plan.sizes[part]
    given = plan.source.histories(first, first + users)
    counts = {"users": users, "users_with_list": 0, "short_lists": 0, "rows": 0}
    waiting: list[RankedBatch] = []
    rows = 0
    with ShardWriter(file, plan.settings["format"], plan.columns.schema()) as writer:
        for batch in plan.ranker.ranked(
            given, plan.k, exclude_seen=plan.settings["exclude_seen"], rules=plan.rules
        ):
            lengths_B = (batch.items_BK != NO_ITEM).sum(1)
            counts["users_with_list"] += int((lengths_B > 0).sum())
            counts["short_lists"] += int((lengths_B < plan.settings["k"]).sum())
            counts["rows"] += int(lengths_B.sum())
            waiting.append(batch)
            rows += int(lengths_B.sum())
            tell(int(batch.rows_B[-1]) + 1)
            if rows >= ROW_GROUP:
                writer.write(plan.columns.frame(first, waiting))
                waiting, rows = [], 0
        if waiting:
            writer.write(plan.columns.frame(first, waiting))
    return counts
