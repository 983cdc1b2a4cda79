"""Off-policy estimates of a run: test events are the logged feedback, its lists the target policy.

The policy with k shows one of the first k items of the user's list, each with equal probability.
There is one list per user, from the history before the first target, or, with
``split.target=successive``, one per event, from the events before it. The reward model is the mean
reward of an item's training events, shrunk towards the mean of all events with a weight of ten.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN
from recsys_lab.data.splits.ranges import range_chunks
from recsys_lab.evaluation.off_policy import Logged, check_propensities, diagnostics, estimates

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.evaluation.protocols.options import Options
    from recsys_lab.experiment.components import Components

    Floats = NDArray[np.float64]

PRIOR_EVENTS = 10
"""Weight, in events, of the overall mean in an item's modelled reward."""

_log = logging.getLogger(__name__)


def check_off_policy(parts: Components) -> None:
    """Check options, columns and values, before anything is trained.

    Raises:
        UserError: options contradict each other, a column is missing or of another type, or a
            propensity or reward of a test event is missing or not valid.
    """
    config, data = parts.protocol.config, parts.data
    _refuse_idle(config)
    if config.off_policy_reward is None:
        return
    check_propensities(_Events(config, data).propensities_N)


def off_policy(parts: Components, rows: pl.DataFrame) -> list[dict[str, Any]] | None:
    """The estimates for each k of ``evaluation.ks``; None without ``off_policy_reward``.

    Args:
        parts: components of the run.
        rows: per user and test target, from `recsys_lab.evaluation.results.Results.per_user`.
    """
    config, data = parts.protocol.config, parts.data
    if config.off_policy_reward is None:
        return None
    events = _Events(config, data)
    rows = rows.filter(events.chosen_G)
    lists_NK = np.stack(rows["items"].to_list()).astype(np.int64)
    rank_N = rows["rank"].fill_null(0).to_numpy()
    rewards_V = _modelled(config.off_policy_reward, data)
    given = _options(config)
    table = []
    for k in config.ks:
        shown_NK = lists_NK[:, :k] >= 0
        sizes_N = np.maximum(shown_NK.sum(1), 1)
        logged = Logged(
            rows["user"].to_numpy().astype(np.int64),
            events.rewards_N,
            events.propensities_N,
            ((rank_N >= 1) & (rank_N <= k)) / sizes_N,
            rewards_V[rows["target"].to_numpy()],
            (rewards_V[lists_NK[:, :k].clip(0)] * shown_NK).sum(1) / sizes_N,
        )
        facts = {"k": k, **diagnostics(logged, config.off_policy_clip)}
        for estimate in estimates(logged, config.off_policy_clip):
            table.append({**asdict(estimate), **facts, **given, **events.counts})
    return [_plain(row) for row in table]


class _Events:
    """The test events of the estimates, with reward and propensity.

    Attributes:
        chosen_G: whether each test target is used.
        indices_N: indices of the used events in the flat arrays.
        rewards_N: their rewards.
        propensities_N: their propensities.
        counts: numbers for the record.
    """

    def __init__(self, config: Options, data: PreparedDataset) -> None:
        indices_G = data.target_ranges("test")
        self.chosen_G = _where(config.off_policy_where, data, indices_G)
        self.indices_N = indices_G[self.chosen_G]
        if not len(self.indices_N):
            raise UserError(
                f"evaluation.off_policy_where={config.off_policy_where}: is 1 for none of the "
                f"{len(indices_G):,} test events, so no event is left; choose another column"
            )
        assert config.off_policy_reward is not None
        rewards = _numbers("off_policy_reward", config.off_policy_reward, data)
        self.rewards_N = rewards[self.indices_N].astype(np.float64)
        if np.isnan(self.rewards_N).any():
            raise UserError(
                f"evaluation.off_policy_reward={config.off_policy_reward}: "
                f"{int(np.isnan(self.rewards_N).sum()):,} of {len(self.rewards_N):,} test events "
                "have no reward; fill the column (0 for nothing)"
            )
        shown = len(np.unique(data.items[self.indices_N]))
        if config.off_policy_propensity is not None:
            column = _numbers("off_policy_propensity", config.off_policy_propensity, data)
            self.propensities_N = column[self.indices_N].astype(np.float64)
        else:
            items = config.off_policy_items
            assert items is not None  # checked before
            if shown > items:
                raise UserError(
                    f"evaluation.off_policy_items: got {items:,}, expected at least {shown:,}, the "
                    "items of the test events; give the number of items that they were drawn from"
                )
            self.propensities_N = np.full(len(self.indices_N), 1 / items)
        self.counts = {"left_out": int((~self.chosen_G).sum()), "items_shown": shown}


def _where(
    name: str | None, data: PreparedDataset, indices_G: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether a column is 1 at each event; all true without a column."""
    if name is None:
        return np.ones(len(indices_G), dtype=bool)
    kind = data.features.entry(name)["type"]
    if not name.startswith("event.") or kind not in ("numeric", "categorical"):
        raise UserError(
            f"evaluation.off_policy_where: '{name}' is a {kind} column, expected a numeric or "
            "categorical column of the events, with 1 for the events to use"
        )
    column = data.features.column(name)
    assert isinstance(column, np.ndarray)
    one = 1
    if kind == "categorical":
        values = list(map(str, data.features.values(name)))
        one = values.index("1") + FIRST_KNOWN if "1" in values else -1
    chosen_G: NDArray[np.bool_] = np.asarray(column[indices_G]) == one
    return chosen_G


def _numbers(option: str, name: str, data: PreparedDataset) -> NDArray[np.float32]:
    kind = data.features.entry(name)["type"]
    if not name.startswith("event.") or kind != "numeric":
        raise UserError(
            f"evaluation.{option}: '{name}' is a {kind} column, expected a numeric column of the "
            "events"
        )
    column = data.features.column(name)
    assert isinstance(column, np.ndarray)
    return column


def _modelled(name: str, data: PreparedDataset) -> Floats:
    """Modelled reward of every item, (V,), see the module."""
    column = _numbers("off_policy_reward", name, data)
    sums_V, counts_V = np.zeros(data.num_items), np.zeros(data.num_items)
    _, starts, ends = np.asarray(data.segments("train")).T
    for indices in range_chunks(starts, ends):
        values = column[indices].astype(np.float64)
        known = ~np.isnan(values)
        items = data.items[indices][known]
        sums_V += np.bincount(items, values[known], minlength=data.num_items)
        counts_V += np.bincount(items, minlength=data.num_items)
    mean = sums_V.sum() / max(1.0, counts_V.sum())
    modelled_V: Floats = (sums_V + PRIOR_EVENTS * mean) / (counts_V + PRIOR_EVENTS)
    return modelled_V


def _options(config: Options) -> dict[str, Any]:
    return {
        "off_policy_reward": config.off_policy_reward,
        "off_policy_propensity": config.off_policy_propensity,
        "off_policy_items": config.off_policy_items,
        "off_policy_where": config.off_policy_where,
        "off_policy_clip": config.off_policy_clip,
    }


def _refuse_idle(config: Options) -> None:
    given = [name for name, value in _options(config).items() if value is not None]
    if not given:
        return
    sources = {"off_policy_propensity", "off_policy_items"} & {*given}
    if "off_policy_reward" not in given or len(sources) != 1:
        raise UserError(
            f"evaluation: got {', '.join(given)}; off-policy estimates need off_policy_reward, and "
            "either off_policy_propensity (a column with the probability of the shown item) or "
            "off_policy_items (drawn uniformly from this many items)"
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN by None, for JSON."""
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
