"""Off-policy estimates of a run: test events as logged feedback, its lists as a policy.

The policy with k shows one of the first k items of the user's list, each with the same probability.
The list is made once a user, from the history before the first target; under
``split.target=successive`` once an event, from what is before it. The reward model is the mean
reward of an item's training events, drawn towards that of all events by ten events' weight.
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
"""Weight of the mean of all events in an item's modelled reward."""
_OPTIONS = (
    "off_policy_reward", "off_policy_propensity", "off_policy_items", "off_policy_where",
    "off_policy_clip",
)  # fmt: skip
_log = logging.getLogger(__name__)


def check_off_policy(parts: Components) -> None:
    """Refuse what will give no estimates, before anything is trained.

    Raises:
        UserError: options do not go together, a column is not there or of another kind, or a
            propensity or reward of a test event is missing or impossible.
    """
    config, data = parts.protocol.config, parts.data
    _refuse_idle(config)
    if config.off_policy_reward is None:
        return
    check_propensities(_Events(config, data).propensities_N)


def off_policy(parts: Components, rows: pl.DataFrame) -> list[dict[str, Any]] | None:
    """The estimates for each k of ``evaluation.ks``; None where they are not asked for.

    Args:
        parts: of the run.
        rows: per user and test target, as `recsys_lab.evaluation.results.Results.per_user` has
            them.
    """
    config, data = parts.protocol.config, parts.data
    if config.off_policy_reward is None:
        return None
    events = _Events(config, data)
    rows = rows.filter(events.chosen_G)
    lists_NK = np.stack(rows["items"].to_list()).astype(np.int64)
    rank_N = rows["rank"].fill_null(0).to_numpy()
    rewards_V = _modelled(config.off_policy_reward, data)
    given = {name: getattr(config, name) for name in _OPTIONS}
    found = []
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
            found.append({**asdict(estimate), **facts, **given, **events.told})
    return [_plain(row) for row in found]


class _Events:
    """The test events that count, with reward and propensity.

    Attributes:
        chosen_G: which of the test targets they are.
        places_N: in the flat arrays.
        rewards_N: of them.
        propensities_N: of them.
        told: what was counted on the way, for the record.
    """

    def __init__(self, config: Options, data: PreparedDataset) -> None:
        places_G = data.target_ranges("test")
        self.chosen_G = _where(config.off_policy_where, data, places_G)
        self.places_N = places_G[self.chosen_G]
        if not len(self.places_N):
            raise UserError(
                f"evaluation.off_policy_where={config.off_policy_where}: is 1 for none of the "
                f"{len(places_G):,} test events, so there is nothing to estimate from"
            )
        assert config.off_policy_reward is not None
        rewards = _numbers("off_policy_reward", config.off_policy_reward, data)
        self.rewards_N = rewards[self.places_N].astype(np.float64)
        if np.isnan(self.rewards_N).any():
            raise UserError(
                f"evaluation.off_policy_reward={config.off_policy_reward}: "
                f"{int(np.isnan(self.rewards_N).sum()):,} of {len(self.rewards_N):,} test events "
                "have no reward; fill the column (0 for nothing)"
            )
        shown = len(np.unique(data.items[self.places_N]))
        if config.off_policy_propensity is not None:
            column = _numbers("off_policy_propensity", config.off_policy_propensity, data)
            self.propensities_N = column[self.places_N].astype(np.float64)
        else:
            items = config.off_policy_items
            assert items is not None  # checked before
            if shown > items:
                raise UserError(
                    f"evaluation.off_policy_items={items:,}: the test events show {shown:,} items, "
                    "so they were not drawn from so few; give the number that they were drawn from"
                )
            self.propensities_N = np.full(len(self.places_N), 1 / items)
        self.told = {"left_out": int((~self.chosen_G).sum()), "items_shown": shown}


def _where(
    name: str | None, data: PreparedDataset, places_G: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether a column is 1 at each place; everywhere where there is none."""
    if name is None:
        return np.ones(len(places_G), dtype=bool)
    kind = data.features.entry(name)["type"]
    if not name.startswith("event.") or kind not in ("numeric", "categorical"):
        raise UserError(
            f"evaluation.off_policy_where: '{name}' is a {kind} column; a numeric or categorical "
            "column of the events is needed, with 1 where an event counts"
        )
    column = data.features.column(name)
    assert isinstance(column, np.ndarray)
    one = 1
    if kind == "categorical":
        values = list(map(str, data.features.values(name)))
        one = values.index("1") + FIRST_KNOWN if "1" in values else -1
    found: NDArray[np.bool_] = np.asarray(column[places_G]) == one
    return found


def _numbers(option: str, name: str, data: PreparedDataset) -> NDArray[np.float32]:
    kind = data.features.entry(name)["type"]
    if not name.startswith("event.") or kind != "numeric":
        raise UserError(
            f"evaluation.{option}: '{name}' is a {kind} column; a numeric column of the events is "
            "needed"
        )
    found = data.features.column(name)
    assert isinstance(found, np.ndarray)
    return found


def _modelled(name: str, data: PreparedDataset) -> Floats:
    """Q of every item: see the module, (V,)."""
    column = _numbers("off_policy_reward", name, data)
    sums_V, counts_V = np.zeros(data.num_items), np.zeros(data.num_items)
    _, starts, ends = np.asarray(data.segments("train")).T
    for places in range_chunks(starts, ends):
        values = column[places].astype(np.float64)
        known = ~np.isnan(values)
        items = data.items[places][known]
        sums_V += np.bincount(items, values[known], minlength=data.num_items)
        counts_V += np.bincount(items, minlength=data.num_items)
    mean = sums_V.sum() / max(1.0, counts_V.sum())
    modelled_V: Floats = (sums_V + PRIOR_EVENTS * mean) / (counts_V + PRIOR_EVENTS)
    return modelled_V


def _refuse_idle(config: Options) -> None:
    given = [name for name in _OPTIONS if getattr(config, name) is not None]
    if not given:
        return
    sources = {"off_policy_propensity", "off_policy_items"} & {*given}
    if "off_policy_reward" not in given or len(sources) != 1:
        raise UserError(
            f"evaluation: off-policy estimates need off_policy_reward, and one of "
            "off_policy_propensity (a column with the probability of what was shown) and "
            "off_policy_items (drawn uniformly from so many items); given are "
            f"{', '.join(given)}"
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """For JSON: no NaN."""
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
