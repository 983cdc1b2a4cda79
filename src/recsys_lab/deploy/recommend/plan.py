"""A job with everything checked and loaded, before the work begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.conditions import parts_of
from recsys_lab.deploy.recommend.conditions import fulfilled, read_caps
from recsys_lab.deploy.recommend.inputs import end_of, read_events, read_ids
from recsys_lab.deploy.recommend.shards import Columns
from recsys_lab.deploy.recommend.sources import DatasetUsers, FileUsers, Source
from recsys_lab.experiment.recommend.item_rules import ItemRules
from recsys_lab.experiment.recommend.ranker import HistoryRanker
from recsys_lab.experiment.restore import require_model, restore
from recsys_lab.files.digests import sha256_of
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.weights import weights_of
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from recsys_lab.config.deploy_commands import RecommendConfig
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.experiment.components import Components

_FAR = 30 * 365.25 * 86_400
"""Seconds between histories and dataset from which their clocks hardly are the same."""

WHOLE = "all events of the log: training, validation and test"


@dataclass
class Plan:
    """A job.

    Attributes:
        ranker: of the run.
        source: the users.
        columns: of the output.
        k: list length.
        rules: which items may be in a list.
        settings: whatever can change the output; equal for two commands that share a folder.
        about: further fields of the manifest.
        counts: of users and items that were given and are not known.
        notes: what the user should know, one line each.
    """

    ranker: HistoryRanker
    source: Source
    columns: Columns
    k: int
    rules: ItemRules
    settings: dict[str, Any]
    about: dict[str, Any]
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def part_size(self) -> int:
        """Users of a part: whole batches, so that scores do not depend on it."""
        return int(self.settings["shard_users"])

    @property
    def sizes(self) -> list[int]:
        """Users of each part."""
        total, size = len(self.source), self.part_size
        return [min(size, total - first) for first in range(0, total, size)]


def make_plan(cfg: DictConfig | RecommendConfig) -> Plan:
    """Check the options, load the run and read the files.

    Raises:
        UserError: an option, a file or the run is not usable.
    """
    _refuse_contradictions(cfg)
    before = None if cfg.as_of is None else end_of(cfg.as_of)
    record = whole_record(Path(cfg.run))
    require_model(record)
    parts = restore(record, cfg.verify, prepare=cfg.prepare)
    ranker = HistoryRanker(parts)
    counts: dict[str, int] = {}
    notes: list[str] = []
    k = ranker.list_length(cfg.k)
    if k < cfg.k:
        notes.append(f"k={cfg.k:,}: the catalogue has {k:,} items, so lists are at most that long")
    source = _source(cfg, parts, ranker, before, counts, notes)
    rules = _rules(cfg, parts, ranker, counts, notes)
    exclude_seen = cfg.exclude_seen
    if exclude_seen is None:
        exclude_seen = parts.protocol.config.exclude_seen
        if not exclude_seen:
            notes.append("lists may have items of the history, as in the run's evaluation")
    at_once = ranker.users_at_once
    data = parts.data
    weights, digest = weights_of(record)
    settings = {
        "weights_sha256": digest or sha256_of(record.folder / weights),
        "data": data.fingerprint,
        "features": data.features_fingerprint,
        "users": _content(cfg.users),
        "histories": _content(cfg.histories) or WHOLE,
        "as_of": cfg.as_of,
        "k": cfg.k,
        "exclude_seen": exclude_seen,
        "candidates": _content(cfg.candidates),
        "blocklist": _content(cfg.blocklist),
        "where": parts_of(cfg.where),
        "cap": parts_of(cfg.cap),
        "format": cfg.format,
        "shard_users": -(-cfg.shard_users // at_once) * at_once,
        "users_at_once": at_once,
        "device": str(parts.device),
        "lab": __version__,
    }
    about = {
        "run": {
            "path": str(record.folder.resolve()),
            "name": record.values["name"],
            "model": parts.model_name,
            "weights": weights,
            "config": record.values.get("files", {}).get("config.yaml", {}).get("sha256"),
        },
        "data": {
            "name": data.manifest["name"], "path": str(data.path.resolve()),
            "fingerprint": data.fingerprint, "features_fingerprint": data.features_fingerprint,
        },
        "files": {
            name: getattr(cfg, name)
            for name in ("users", "histories", "candidates", "blocklist")
            if getattr(cfg, name) is not None
        },
    }  # fmt: skip
    columns = Columns(source, data.raw_ids("item"), data.titles())
    return Plan(ranker, source, columns, k, rules, settings, about, counts, notes)


def _refuse_contradictions(cfg: Any) -> None:
    if cfg.users is not None and cfg.histories is not None:
        raise UserError(
            "users and histories: give one of them: users=FILE for users of the run's dataset, "
            "histories=FILE for histories from elsewhere"
        )


def _source(
    cfg: Any,
    parts: Components,
    ranker: HistoryRanker,
    before: int | None,
    counts: dict[str, int],
    notes: list[str],
) -> Source:
    """The users, with notes about those that are left out."""
    data = parts.data
    if cfg.histories is not None:
        needed = ["timestamp"] if before is not None else []
        columns = ("timestamp", *ranker.read.event_columns)
        events = read_events(cfg.histories, columns, needed, notes)
        if "timestamp" in events.columns:
            times = events["timestamp"].to_numpy()
            if not ranker.ranks_empty:
                _refuse_before_all(cfg.as_of, before, times, f"histories={cfg.histories}")
            _note_far(times, data, f"histories={cfg.histories}", notes)
        given = ranker.read(events, before)
        counts["unknown_item_events"] = given.num_unknown
        if given.num_unknown:
            notes.append(
                f"histories={cfg.histories}: {given.num_unknown:,} of {len(events):,} events were "
                "skipped: their items are not in the catalogue of the run"
            )
        return FileUsers(given)
    if before is not None and data.timestamps is None:
        raise UserError(
            f"as_of={cfg.as_of}: the run's dataset {data.path} has no timestamps; leave as_of out"
        )
    if before is not None and not ranker.ranks_empty:
        _refuse_before_all(cfg.as_of, before, data.timestamps, f"the run's dataset {data.path}")
    user_ids, chosen = data.raw_ids("user"), None
    if cfg.users is not None:
        chosen = _chosen(cfg.users, ranker, counts, notes)
    period = "" if cfg.as_of is None else f", up to {cfg.as_of}"
    notes.append(f"histories: {WHOLE}{period}")
    return DatasetUsers(ranker.read, user_ids, chosen, before)


def _refuse_before_all(as_of: str | None, before: int | None, times: Any, where: str) -> None:
    """Refuse a period without an event, whose lists would all be empty."""
    if before is not None and times is not None and len(times) and times.min() >= before:
        first = np.datetime64(int(times.min()), "s")
        raise UserError(
            f"as_of={as_of}: is before all events of {where}, the first of which is of {first}Z; "
            "give a later date, or leave as_of out"
        )


def _note_far(
    times: NDArray[np.int64], data: PreparedDataset, where: str, notes: list[str]
) -> None:
    """Note times that are hardly of the clock of the run's dataset."""
    if data.timestamps is None or not len(data.timestamps):
        return
    apart = max(times.min() - data.timestamps.max(), data.timestamps.min() - times.max())
    if apart > _FAR:
        here, there = (
            np.datetime64(int(last), "s") for last in (times.max(), data.timestamps.max())
        )
        notes.append(
            f"{where}: its times end at {here}Z, those of the run's dataset at {there}Z, decades "
            "apart: are both of one clock?"
        )


def _chosen(
    path: str, ranker: HistoryRanker, counts: dict[str, int], notes: list[str]
) -> NDArray[np.int64]:
    """Indices of the users in a file, in its order, each once."""
    raw = read_ids(path, "users", "user_id", notes)
    distinct = raw.unique(maintain_order=True)
    indices = ranker.read.users.indices(distinct)
    is_known = indices >= 0
    unknown = distinct.filter(~is_known)
    counts["unknown_users"] = len(unknown)
    counts["repeated_users"] = len(raw) - len(distinct)
    if len(unknown):
        some = ", ".join(map(str, unknown.head(5).to_list()))
        notes.append(
            f"users={path}: {len(unknown):,} of {len(distinct):,} users are not in the run's "
            f"dataset and get no lists: {some}{', ...' if len(unknown) > 5 else ''}; give their "
            "events with histories=FILE"
        )
    if counts["repeated_users"]:
        notes.append(f"users={path}: {counts['repeated_users']:,} rows repeat a user")
    if not is_known.any():
        raise UserError(
            f"users={path}: none of the {len(distinct):,} users is in the run's dataset"
            f"{'' if distinct.is_empty() else f', e.g. {distinct[0]!r}'}; give raw user ids, or "
            "events with histories=FILE"
        )
    return pl.Series(indices[is_known]).unique(maintain_order=True).to_numpy()


def _rules(
    cfg: Any,
    parts: Components,
    ranker: HistoryRanker,
    counts: dict[str, int],
    notes: list[str],
) -> ItemRules:
    given = {
        name: None if path is None else read_ids(path, name, "item_id", notes)
        for name, path in (("candidates", cfg.candidates), ("blocklist", cfg.blocklist))
    }
    allowed_V = np.ones(parts.data.num_items, dtype=bool)
    for name, ids in given.items():
        if ids is None:
            continue
        rules, unknown = ranker.rules(**{name: ids})
        if rules.allowed_V is not None:
            allowed_V &= rules.allowed_V
        counts[f"unknown_{name}"] = unknown
        if unknown:
            notes.append(f"{name}: {unknown:,} of {len(ids):,} ids are not in the catalogue")
    for condition in parts_of(cfg.where):
        is_met_V = fulfilled(parts.data, condition)
        notes.append(f"where {condition}: {int(is_met_V.sum()):,} of {len(is_met_V):,} items")
        allowed_V &= is_met_V
    counts["items"] = int(allowed_V.sum())
    if not allowed_V.any():
        used = [key for key in ("candidates", "blocklist", "where") if getattr(cfg, key)]
        raise UserError(
            f"{', '.join(used)}: no item of the catalogue is left to recommend; notes: "
            f"{'; '.join(notes)}"
        )
    return ItemRules(None if allowed_V.all() else allowed_V, read_caps(parts.data, cfg.cap))


def _content(path: str | None) -> str | None:
    """SHA-256 of a file."""
    return None if path is None else sha256_of(Path(path))
