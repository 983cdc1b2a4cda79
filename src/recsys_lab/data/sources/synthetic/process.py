"""The process behind `synthetic_shop`: probabilities and draws of the next purchase.

The next item depends only on the user's own events (their items, and the time of the last one), so
the true probabilities of a log can be computed from the log; no recommender can do better. The
next item is

* with ``repeat_probability``: the item of one of the user's last R events;
* with ``complement_probability``: a complement of the last item or, with ``previous_share``, of the
  one before; if the complement is not on sale yet,
* by taste: a category by (base share + ``taste_gain`` x recent share) x season, then an item by
  popularity among the items of the category that are on sale.

A user's first event is drawn by taste at its own time.

Shapes: B users, T events of all users end to end, V items, C categories, M complements of an
item, R lags of a repeat purchase, N users who make a step together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY = 86_400
YEAR_DAYS = 365
SHOP_OPENS = 1_577_836_800
"""2020-01-01 00:00 UTC, in seconds since the epoch."""
_TIME_RANGE = 1 << 36  # seconds; more than any log lasts, so that (category, time) is one key


@dataclass(frozen=True)
class ShopProcess:
    """The parameters of the process; items are numbered by (category, arrival).

    Attributes:
        item_ids: raw id of each item, int64 (V,).
        categories: category of each item, ascending, int64 (V,).
        arrivals: when each item comes on sale, seconds since the epoch, ascending within a
            category, whose first item is there from `SHOP_OPENS`, int64 (V,).
        popularity: weight of each item, positive, (V,).
        complements: int64 (V, M); an item that occurs twice has the sum of both weights.
        complement_weights: sum to 1, (M,).
        base_shares: of the categories, sum to 1, (C,).
        seasons: factor on each category by day of the year, (365, C).
        lag_weights: of the last R events in a repeat purchase, latest first, (R,).
        repeat_probability: see the module.
        complement_probability: see the module.
        previous_share: share of the complements of the item before the last.
        taste_gain: weight of the recent shares relative to the base shares.
        taste_decay: factor by which an event's share shrinks with each later event.
    """

    item_ids: Ints
    categories: Ints
    arrivals: Ints
    popularity: Floats
    complements: Ints
    complement_weights: Floats
    base_shares: Floats
    seasons: Floats
    lag_weights: Floats
    repeat_probability: float
    complement_probability: float
    previous_share: float
    taste_gain: float
    taste_decay: float

    def save(self, path: Path, **more: int) -> None:
        """Write all parameters, and ``more`` numbers, to an ``.npz`` without pickle."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with path.open("wb") as file:
            np.savez(file, **arrays, **{k: np.asarray(v) for k, v in more.items()})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> ShopProcess:
        """The reverse of `save`."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {f.name: stored[f.name] for f in fields(cls)}
        values: dict[str, Any] = {k: v if v.ndim else float(v) for k, v in arrays.items()}
        return cls(**values)

    @cached_property
    def _cumulative(self) -> Floats:
        """Popularity of all items before each one, (V + 1,)."""
        return np.concatenate([[0.0], np.cumsum(self.popularity)])

    @cached_property
    def _first(self) -> Ints:
        """First item of each category, (C,)."""
        return np.searchsorted(self.categories, np.arange(len(self.base_shares)))

    @cached_property
    def _keys(self) -> Ints:
        """(category, arrival) of each item as one ascending number, (V,)."""
        return self.categories * _TIME_RANGE + (self.arrivals - SHOP_OPENS)

    def _end_of_sale(self, categories: Ints, times: Ints) -> Ints:
        """One past the last item of each category that is on sale at each time."""
        return np.searchsorted(self._keys, categories * _TIME_RANGE + times - SHOP_OPENS, "right")

    def _category_scores(self, recent_NC: Floats, times_N: Ints) -> Floats:
        """Share of each category in a taste draw, not normalised, (N, C)."""
        days_N = (times_N - SHOP_OPENS) // DAY % YEAR_DAYS
        scores_NC = recent_NC * self.taste_gain
        scores_NC += self.base_shares
        scores_NC *= self.seasons[days_N]
        return scores_NC

    # --- probabilities -----------------------------------------------------------------

    def next_item_probabilities(self, items_T: Ints, offsets: Ints, times_B: Ints) -> Floats:
        """True P(next item | history).

        Args:
            items_T: items of full histories, concatenated, oldest first, (T,).
            offsets: start of each history and the end of the last; none is empty, (B + 1,).
            times_B: time of each user's last event, seconds since the epoch.

        Returns:
            Probabilities, (B, V); each row sums to 1.
        """
        lengths_B = np.diff(offsets)
        assert lengths_B.min(initial=1) > 0, "a history is empty"
        rows_B = np.arange(len(lengths_B))
        # In floating point, 1 - 0.9 - 0.1 < 0.
        by_taste = max(0.0, 1 - (self.repeat_probability + self.complement_probability))
        spill_B = np.full(len(rows_B), by_taste)
        last_B = items_T[offsets[1:] - 1]
        previous_B = items_T[np.maximum(offsets[1:] - 2, offsets[:-1])]
        sparse: list[tuple[Ints, Ints, Floats]] = []
        for anchors_B, share in (
            (last_B, 1 - self.previous_share),
            (previous_B, self.previous_share),
        ):
            items_BM = self.complements[anchors_B]
            mass_BM = np.broadcast_to(
                self.complement_probability * share * self.complement_weights, items_BM.shape
            )
            on_sale_BM = self.arrivals[items_BM] <= times_B[:, None]
            spill_B += np.where(on_sale_BM, 0, mass_BM).sum(1)
            rows = np.broadcast_to(rows_B[:, None], items_BM.shape)
            sparse.append((rows[on_sale_BM], items_BM[on_sale_BM], mass_BM[on_sale_BM]))
        reachable_B = np.cumsum(self.lag_weights)[np.minimum(lengths_B, len(self.lag_weights)) - 1]
        for lag, weight in enumerate(self.lag_weights):
            rows = np.flatnonzero(lengths_B > lag)
            mass = self.repeat_probability * weight / reachable_B[rows]
            sparse.append((rows, items_T[offsets[rows + 1] - 1 - lag], mass))
        probabilities_BV = self._taste_probabilities(items_T, offsets, times_B, spill_B)
        for rows, items, mass in sparse:
            np.add.at(probabilities_BV, (rows, items), mass)
        return probabilities_BV

    def _taste_probabilities(
        self, items_T: Ints, offsets: Ints, times_B: Ints, mass_B: Floats
    ) -> Floats:
        """Probability of each item by taste, which sums to ``mass_B``, (B, V)."""
        num_users, num_categories = len(times_B), len(self.base_shares)
        lengths_B = np.diff(offsets)
        rows_T = np.repeat(np.arange(num_users), lengths_B)
        age_T = offsets[rows_T + 1] - 1 - np.arange(len(items_T))
        recent_BC = np.zeros((num_users, num_categories))
        share_T = (1 - self.taste_decay) * self.taste_decay**age_T
        np.add.at(recent_BC, (rows_T, self.categories[items_T]), share_T)
        shares_BC = self._category_scores(recent_BC, times_B)
        shares_BC *= (mass_B / shares_BC.sum(1))[:, None]
        end_BC = self._end_of_sale(np.arange(num_categories)[None], times_B[:, None])
        shares_BC /= self._cumulative[end_BC] - self._cumulative[self._first]
        probabilities_BV = shares_BC[:, self.categories]
        probabilities_BV *= self.popularity
        probabilities_BV *= self.arrivals <= times_B[:, None]
        return probabilities_BV

    # --- draws -------------------------------------------------------------------------

    def simulate(self, lengths_B: Ints, times_T: Ints, rng: np.random.Generator) -> Ints:
        """Draw the purchases of B users.

        Args:
            lengths_B: number of events of each user.
            times_T: their times, ascending for each user, (T,).
            rng: the source of randomness.

        Returns:
            The items, (T,).
        """
        starts_B = np.cumsum(lengths_B) - lengths_B
        # Longest first, so that the users with an event at step j are a prefix.
        order_B = np.argsort(-lengths_B, kind="stable")
        starts_B = starts_B[order_B]
        active_J = np.searchsorted(-lengths_B[order_B], -np.arange(lengths_B.max(initial=0)))
        items_T = np.empty(len(times_T), dtype=np.int64)
        recent_BC = np.zeros((len(lengths_B), len(self.base_shares)))
        rows_B = np.arange(len(lengths_B))
        for step, active in enumerate(active_J):
            now_N = starts_B[:active] + step
            clock_N = times_T[now_N - (step > 0)]
            next_N = self._draw(step, now_N, clock_N, items_T, recent_BC[:active], rng)
            items_T[now_N] = next_N
            recent_BC[:active] *= self.taste_decay
            recent_BC[rows_B[:active], self.categories[next_N]] += 1 - self.taste_decay
        return items_T

    def _draw(
        self,
        step: int,
        now_N: Ints,
        clock_N: Ints,
        items_T: Ints,
        recent_NC: Floats,
        rng: np.random.Generator,
    ) -> Ints:
        """The next item of N users who have ``step`` events each."""
        next_N = np.full(len(now_N), -1, dtype=np.int64)
        if step:
            kind_N = rng.random(len(now_N))
            repeat = kind_N < self.repeat_probability
            rows = np.flatnonzero(repeat)
            lags = _draw_index(self.lag_weights[:step], len(rows), rng)
            next_N[rows] = items_T[now_N[rows] - 1 - lags]
            below = kind_N < self.repeat_probability + self.complement_probability
            rows = np.flatnonzero(below & ~repeat)
            before = rng.random(len(rows)) < self.previous_share
            anchors = items_T[now_N[rows] - 1 - (before if step > 1 else 0)]
            choice = _draw_index(self.complement_weights, len(rows), rng)
            items = self.complements[anchors, choice]
            on_sale = self.arrivals[items] <= clock_N[rows]
            next_N[rows[on_sale]] = items[on_sale]
        rows = np.flatnonzero(next_N < 0)
        next_N[rows] = self._draw_by_taste(recent_NC[rows], clock_N[rows], rng)
        return next_N

    def _draw_by_taste(self, recent_NC: Floats, times_N: Ints, rng: np.random.Generator) -> Ints:
        """An item for each of N users by category shares and popularity."""
        cumulative_NC = np.cumsum(self._category_scores(recent_NC, times_N), axis=1)
        point_N = rng.random(len(times_N)) * cumulative_NC[:, -1]
        category_N = (cumulative_NC[:, :-1] <= point_N[:, None]).sum(1)
        first_N = self._first[category_N]
        end_N = self._end_of_sale(category_N, times_N)
        low_N, high_N = self._cumulative[first_N], self._cumulative[end_N]
        point_N = low_N + rng.random(len(times_N)) * (high_N - low_N)
        item_N: Ints = np.searchsorted(self._cumulative, point_N, "right") - 1
        return item_N.clip(first_N, end_N - 1)  # rounding must not leave the range


def _draw_index(weights: Floats, size: int, rng: np.random.Generator) -> Ints:
    """``size`` independent indices with probability proportional to ``weights``."""
    cumulative = np.cumsum(weights)
    index: Ints = np.searchsorted(cumulative[:-1], rng.random(size) * cumulative[-1], "right")
    return index
