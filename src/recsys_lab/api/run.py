"""A run as an object: its record, its per-user results and its trained model."""

from __future__ import annotations

import warnings
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, get_args

import polars as pl

from recsys_lab.api.arguments import folder_of, require_one_of
from recsys_lab.api.dataset import Dataset
from recsys_lab.config import UserError
from recsys_lab.config.commands import Verify
from recsys_lab.experiment.recommend.ranker import HistoryRanker
from recsys_lab.experiment.restore import prepared_of, require_model, restore
from recsys_lab.runs.failure import refuse_trial
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import PER_USER

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from recsys_lab.data.history_lists import Histories
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord


class Run:
    """A run, whose data and model are loaded once, on first use.

    It is thread-safe, and several runs can be open at a time.

    Args:
        record: of the run.
        verify: how its prepared dataset is checked, see `load`.
    """

    def __init__(self, record: RunRecord, verify: Verify = "full") -> None:
        self._record, self._verify = record, verify
        self._lock = Lock()
        self._parts: Components | None = None
        self._ranker: HistoryRanker | None = None

    def __repr__(self) -> str:
        """Name, status and path."""
        values = self._record.values
        return f"<Run {values['name']}, {self._record.status}, {self.path}>"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._record.folder

    @property
    def config(self) -> dict[str, Any]:
        """Every option of the run, e.g. ``run.config["model"]["hidden_dim"]``."""
        config: dict[str, Any] = self._record.values["config"]
        return config

    @property
    def record(self) -> dict[str, Any]:
        """Everything in ``run.json``: data, protocol, code, packages, machine, compute, results."""
        return self._record.values

    @property
    def metrics(self) -> dict[str, float]:
        """Means over users, e.g. ``test/ndcg@10`` and ``validation/ndcg@10``."""
        values = self._record.values
        return {
            f"{phase}/{name}": value
            for phase in ("test", "validation")
            for name, value in (values.get(phase) or {}).items()
        }

    @property
    def main_metric(self) -> str:
        """The model selection metric, e.g. ``ndcg@10``."""
        return self._record.main_metric

    @property
    def epochs(self) -> pl.DataFrame:
        """The learning curve, one row per epoch; empty for a model that is fitted in one pass.

        Columns: ``epoch``, ``step``, ``train/loss``, ``val/METRIC`` and other logged values.
        """
        return pl.DataFrame(self._record.values["epochs"], infer_schema_length=None)

    @property
    def dataset(self) -> Dataset:
        """The prepared dataset that it was trained on."""
        return Dataset(prepared_of(self._record, "sizes"))

    @property
    def items(self) -> pl.DataFrame:
        """The catalogue: ``item_id``, ``title`` where known, and other columns."""
        return self.dataset.items

    def per_user(self) -> pl.DataFrame:
        """The test results, one row per user and target.

        Columns: ``user_id``, ``target_id`` (raw ids as text), ``rank`` (of the target, from 1; null
        if it is not in the list), ``item_ids`` (the list), a column for each per-user metric, and
        the keys of slices (``history_length``, ``target_popularity``, ...). The columns ``user``,
        ``target`` and ``items`` are the same as indices.

        Raises:
            UserError: the run has no test results.
        """
        self._require_test()
        return self._record.table(PER_USER)

    def slices(self) -> pl.DataFrame:
        """The test results by slice: ``slice``, ``value``, ``users``, ``metric``, ``mean``, ...

        Raises:
            UserError: the run has no test results.
        """
        self._require_test()
        slices = self._record.slices()
        if slices is None:
            raise UserError(f"{self.path}: an older run without results by slice; train it again")
        return slices

    @property
    def model(self) -> Any:
        """The trained model: a `torch.nn.Module` in evaluation mode, or a fitted classical one."""
        return self._restored().model

    def recommend(
        self,
        histories: Histories,
        k: int = 10,
        *,
        exclude_seen: bool | None = None,
        candidates: Iterable[Any] | None = None,
        blocklist: Iterable[Any] | None = None,
    ) -> pl.DataFrame:
        """The k best items for each history, ranked as in the test of the run.

        The whole catalogue is ranked (with ``evaluation.candidates=known``: the items of training
        events). Histories without a known item get no rows, unless the model can rank for them.

        Args:
            histories: a list of histories, each a list of raw item ids, oldest first; or a polars
                frame of events with ``user_id``, ``item_id`` and, unless in order, ``timestamp``
                (seconds since the epoch or datetimes). Models that read times or event features
                need the frame with these columns.
            k: list length.
            exclude_seen: leave out the items of the history; None: as in the run's evaluation.
            candidates: raw ids of the only items that may be in a list; None: all items.
            blocklist: raw ids of items that may not, e.g. those out of stock.

        Returns:
            One row per recommended item, best first: ``history`` (index in the list) or
            ``user_id``, ``rank`` (from 1), ``item_id`` (raw id), ``score``.

        Raises:
            UserError: the run has no trained model, or the histories lack a required column.

        Warns:
            UserWarning: some items are not in the catalogue and were skipped, or some histories
                have no known item.
        """
        rules, unknown = self.ranker.rules(candidates, blocklist)
        ranked = self.ranker.recommend(histories, k, exclude_seen=exclude_seen, rules=rules)
        if unknown:
            warnings.warn(
                f"{unknown:,} ids of candidates or blocklist are not in the catalogue of the run",
                stacklevel=2,
            )
        if ranked.num_unknown:
            warnings.warn(
                f"{ranked.num_unknown:,} events were skipped: their items are not in the catalogue "
                "of the run",
                stacklevel=2,
            )
        if ranked.num_unranked:
            warnings.warn(
                f"{ranked.num_unranked:,} histories have no known item and got no "
                "recommendations; use a popularity model for them",
                stacklevel=2,
            )
        return ranked.lists

    def item_vectors(self) -> NDArray[np.float32]:
        """Vectors of all items, (V, D), in the order of `items`.

        Raises:
            UserError: the model's scores are not products of vectors.
        """
        return self.ranker.item_vectors()

    def user_vectors(self, histories: Histories) -> NDArray[np.float32]:
        """A vector for each history, (n, D), whose products with `item_vectors` are the scores.

        Raises:
            UserError: the model's scores are not products of vectors, or a history has no known
                item.
        """
        return self.ranker.user_vectors(histories)

    @property
    def ranker(self) -> HistoryRanker:
        """The ranker behind `recommend`, which counts unknown items instead of warning."""
        parts = self._restored()
        with self._lock:
            if self._ranker is None:
                self._ranker = HistoryRanker(parts)
            return self._ranker

    def _restored(self) -> Components:
        with self._lock:
            if self._parts is None:
                require_model(self._record)
                self._parts = restore(self._record, self._verify)
            return self._parts

    def _require_test(self) -> None:
        require_model(self._record)
        refuse_trial(self._record, "no test results")


def load(folder: Path | str, *, verify: Verify = "full") -> Run:
    """Open a run.

    Args:
        folder: the run directory.
        verify: how its prepared dataset is checked before use: ``full`` compares every file with
            its SHA-256, ``sizes`` only the file sizes. The run's own files are always compared.

    Raises:
        UserError: there is no readable run, or ``verify`` is invalid.
    """
    require_one_of("verify", verify, get_args(Verify))
    return Run(whole_record(folder_of("load", folder)), verify)
