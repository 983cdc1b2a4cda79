"""Properties of lists: novelty, popularity, diversity, serendipity, repeats, miscalibration.

Shapes: B users of a batch, K list length, V items, D width of an embedding, C categories.

Each metric is a mean over users of a value of the first k ranks of the user's list. Padding is
ignored, and users for whom the value is undefined are left out (see each metric).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from recsys_lab.contracts import NO_ITEM, EvaluationBatch, ListFeature, RankedLists
from recsys_lab.evaluation.catalogue import Catalogue, category_mix
from recsys_lab.evaluation.metrics.accuracy import hits_of
from recsys_lab.evaluation.metrics.user_mean import BeyondMetric, UserMean
from recsys_lab.evaluation.sums import log2_of_each, sum_by_size, sum_over_ranks

_SHORTEST = 1e-12  # minimum length of a vector in a division: zero vectors stay zero
SMOOTHING = 0.01
"""Alpha of Steck's calibration: keeps it finite if the list lacks a category of the history."""


class ListMetric(BeyondMetric, UserMean):
    """Base class: a mean over users of a property of their lists."""

    def update(self, batch: EvaluationBatch, ranked: RankedLists) -> None:
        """Add the lists of B users; the batch must have the seen pairs if `reads_history`."""
        values_B = self.per_list(ranked.items_BK[:, : self.k], batch)
        self.add(batch.lists_B, values_B)

    @abstractmethod
    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """The value of each user, float64 (B,); NaN where it is undefined.

        Args:
            items_BK: the first k items of each list, int64 (B, K).
            batch: the same users.
        """


def _mean_over_ranks(values_V: Tensor, items_BK: Tensor) -> Tensor:
    """Mean value of the items of each list; NaN for an empty list."""
    shown_BK = items_BK != NO_ITEM
    values_BK = values_V[items_BK.clamp_min(0)].double() * shown_BK
    return sum_over_ranks(values_BK) / shown_BK.sum(1)


def _mean_of_history(counts_V: Tensor, batch: EvaluationBatch) -> Tensor:
    """Mean count of the seen items of each user; NaN for an empty history."""
    sums_B = torch.zeros(batch.history.size, dtype=torch.int64, device=counts_V.device)
    sums_B.index_add_(0, batch.seen_rows, counts_V[batch.seen_items])
    return sums_B.double() / torch.bincount(batch.seen_rows, minlength=batch.history.size)


class Novelty(ListMetric):
    """Mean self-information of the shown items in bits: ``log2(events / events of the item)``.

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010
    (https://doi.org/10.1073/pnas.1000488107), with training events instead of users. An item
    without training events counts as if it had one. In [0, log2 of all events].
    """

    name = "novelty"
    higher_is_better = True

    def __init__(self, config: Any = None, *, k: int, catalogue: Catalogue) -> None:
        super().__init__(config, k=k, catalogue=catalogue)
        counts_V = catalogue.counts_V
        self._bits_V = log2_of_each(counts_V.sum() / counts_V.clamp_min(1).double())

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        del batch
        return _mean_over_ranks(self._bits_V, items_BK)


class Popularity(ListMetric):
    """Average recommendation popularity: mean training events of the shown items, at least 0.

    Yin et al., "Challenging the long tail recommendation", VLDB 2012
    (https://arxiv.org/abs/1205.6700); called ARP in Abdollahpouri et al., "Managing popularity bias
    in recommender systems with personalized re-ranking", 2019 (https://arxiv.org/abs/1901.07555).
    """

    name = "popularity"
    higher_is_better = False

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        del batch
        return _mean_over_ranks(self.catalogue.counts_V, items_BK)


class PopularityLift(ListMetric):
    """Relative popularity of lists compared with histories: 0 if equal, at least -1.

    ``lists / histories - 1``, each a mean over users of the mean training events of the items:
    Abdollahpouri et al., "The connection between popularity bias, calibration, and fairness in
    recommendation", RecSys 2020, section 3.1 (https://arxiv.org/abs/2008.09273). A ratio of means,
    so it has no per-user values.
    """

    name = "popularity_lift"
    higher_is_better = False
    reads_history = True
    is_of_users = False

    def __init__(self, config: Any = None, *, k: int, catalogue: Catalogue) -> None:
        super().__init__(config, k=k, catalogue=catalogue, width=2)

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """Mean popularity of the list and of the history, (B, 2)."""
        counts_V = self.catalogue.counts_V
        both = [_mean_over_ranks(counts_V, items_BK), _mean_of_history(counts_V, batch)]
        return torch.stack(both, 1)

    def compute(self) -> Tensor:
        """See the class."""
        means = super().compute()
        return means[0] / means[1] - 1


class CategoryDiversity(ListMetric):
    """Intra-list diversity: mean over pairs of items of ``1 - Jaccard`` of categories, in [0, 1].

    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005
    (https://doi.org/10.1145/1060745.1060754). With one category per item it is the share of pairs
    with different categories. Items without a category are ignored; lists without a pair are left
    out.
    """

    name = "category_diversity"
    higher_is_better = True
    least_k = 2
    option = "category_feature"

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        del batch
        assert self.catalogue.categories is not None
        flat = items_BK.clamp_min(0).flatten()
        categories = self.catalogue.categories.rows(flat)
        lengths = categories.offsets.diff()
        # Only the codes that occur: a column may have very many values.
        values, codes = categories.codes.unique(return_inverse=True)
        has = torch.zeros(len(flat), len(values), device=flat.device)
        has[
            torch.repeat_interleave(torch.arange(len(flat), device=flat.device), lengths), codes
        ] = 1
        has_BKC = has.view(*items_BK.shape, len(values))
        size_BK = has_BKC.sum(2)
        both_BKK = has_BKC @ has_BKC.mT
        any_BKK = (size_BK.unsqueeze(2) + size_BK.unsqueeze(1) - both_BKK).clamp_min(1)
        usable_BK = (items_BK != NO_ITEM) & (size_BK > 0)
        pair_BKK = (usable_BK.unsqueeze(1) & usable_BK.unsqueeze(2)).triu(1)
        unlike_BKK = (1 - both_BKK.double() / any_BKK) * pair_BKK
        return sum_over_ranks(unlike_BKK.flatten(1)) / pair_BKK.sum((1, 2))


class EmbeddingDiversity(ListMetric):
    """Intra-list diversity: mean over pairs of items of ``1 - cosine`` of embeddings, in [0, 2].

    As `CategoryDiversity`. The embeddings are given (of titles, images), so that a model is not
    evaluated in its own embedding space. A zero vector has cosine 0 with all others.
    """

    name = "embedding_diversity"
    higher_is_better = True
    least_k = 2
    option = "embeddings_path"

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        del batch
        assert self.catalogue.embeddings_VD is not None
        shown_BK = items_BK != NO_ITEM
        vectors_BKD = self.catalogue.embeddings_VD[items_BK.clamp_min(0)].double()
        lengths_BK = sum_over_ranks(vectors_BKD.square()).sqrt()
        vectors_BKD = vectors_BKD / lengths_BK.clamp_min(_SHORTEST).unsqueeze(2)
        vectors_BKD = vectors_BKD * shown_BK.unsqueeze(2)
        # All pairs at once: |sum of v|^2 = sum of |v|^2 + 2 (sum of products of pairs).
        together_B = sum_over_ranks(sum_over_ranks(vectors_BKD.mT).square())
        alone_B = sum_over_ranks(sum_over_ranks(vectors_BKD.square()))
        number_B = shown_BK.sum(1)
        return 1 - (together_B - alone_B) / (number_B * (number_B - 1))


class Serendipity(ListMetric):
    """Share of the k ranks with a target that is not among the k most popular items.

    ``|unexpected and useful| / k`` of Ge, Delgado-Battenfeld and Jannach, RecSys 2010
    (https://doi.org/10.1145/1864708.1864761). The expected items (primitive recommender) are the k
    items with the most training events; ties take the lower index. In [0, min(targets, k) / k].
    """

    name = "serendipity"
    higher_is_better = True
    of_hits = by_rank = True
    reads_targets = True

    def __init__(self, config: Any = None, *, k: int, catalogue: Catalogue) -> None:
        super().__init__(config, k=k, catalogue=catalogue)
        self._expected_k = catalogue.counts_V.argsort(descending=True, stable=True)[:k]

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        hits_BK, _ = hits_of(items_BK, batch.target_rows, batch.target_items)
        return (hits_BK & ~torch.isin(items_BK, self._expected_k)).sum(1).double() / self.k


class RepeatShare(ListMetric):
    """Share of the shown items that are in the user's history, in [0, 1].

    The repeat mode of Ren et al., "RepeatNet", AAAI 2019 (https://arxiv.org/abs/1812.02646). Always
    0 if seen items are excluded.
    """

    name = "repeat_share"
    higher_is_better = False
    reads_history = True

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        num_items = len(self.catalogue.counts_V)
        rows_B1 = torch.arange(len(items_BK), device=items_BK.device).unsqueeze(1)
        shown_BK = items_BK != NO_ITEM
        seen = batch.seen_rows * num_items + batch.seen_items
        repeated_BK = torch.isin(rows_B1 * num_items + items_BK, seen) & shown_BK
        return repeated_BK.sum(1).double() / shown_BK.sum(1)


class Miscalibration(ListMetric):
    """Divergence of the list's category distribution from the history's: 0 if they are equal.

    Kullback-Leibler divergence ``sum p log(p / q)`` in nats, with p the distribution of the history
    and q the smoothed distribution of the list, ``q = (1 - a) list + a p`` with a = 0.01: Steck,
    "Calibrated recommendations", RecSys 2018, equations 2, 3 and 6
    (https://doi.org/10.1145/3240323.3240372), with equal weights of all events and ranks. In
    [0, log(1 / a) = 4.61]. Users whose history has no category are left out.
    """

    name = "miscalibration"
    higher_is_better = False
    reads_history = True
    option = "category_feature"

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        assert self.catalogue.categories is not None
        rows, columns = (items_BK != NO_ITEM).nonzero(as_tuple=True)
        shown = items_BK[rows, columns]
        categories, num_codes = _compact(
            self.catalogue.categories, torch.cat([shown, batch.seen_items])
        )
        size = len(items_BK)
        p_BC = category_mix(batch.seen_rows, batch.seen_items, categories, size, num_codes)
        list_BC = category_mix(rows, shown, categories, size, num_codes)
        q_BC = (1 - SMOOTHING) * list_BC + SMOOTHING * p_BC
        # Where p is 0 the term is 0 for any q.
        terms_BC = torch.special.xlogy(p_BC, p_BC / q_BC.where(p_BC > 0, torch.ones_like(q_BC)))
        # Sorted by size: the number and order of columns depend on the other users of the batch.
        return sum_by_size(terms_BC).where((p_BC > 0).any(1), torch.nan)


def _compact(categories: ListFeature, items: Tensor) -> tuple[ListFeature, int]:
    """Renumber the categories to the codes of these items only; returns their number, too."""
    used = categories.rows(items).codes.unique()
    size = int(categories.codes.max()) + 1 if len(categories.codes) else 0
    number = torch.zeros(size, dtype=torch.int64, device=used.device)
    number[used] = torch.arange(len(used), device=used.device)
    return type(categories)(number[categories.codes], categories.offsets), len(used)
