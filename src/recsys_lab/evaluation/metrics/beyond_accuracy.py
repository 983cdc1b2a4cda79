"""What single lists are like: novelty, popularity, diversity, serendipity, repeats, calibration.

Shapes: B users of a batch, K list length, V items, D width of an embedding, C categories.

Each is a mean over users of a value in the first k places of the user's list; places without an
item are left out, and so is a user for whom the metric means nothing (see each).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recsys_lab.contracts import NO_ITEM
from recsys_lab.evaluation.catalogue import category_mix
from recsys_lab.evaluation.metrics.accuracy import hits_of
from recsys_lab.evaluation.metrics.user_mean import UserMean
from recsys_lab.evaluation.sums import log2_of_each, sum_by_size, sum_over_ranks

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, ListFeature, RankedLists
    from recsys_lab.evaluation.catalogue import Catalogue

_SHORTEST = 1e-12  # length of a vector: one of zeros stays so
SMOOTHING = 0.01
"""Alpha of Steck's calibration: keeps it finite where a list lacks a category of the history."""


class ListMetric(UserMean):
    """A mean over users of a property of their lists.

    Args:
        k: places that count.
        catalogue: the items.
        width: numbers a user, where they are several.

    Attributes:
        option: of the evaluation, which names what the metric reads of the items, if anything.
    """

    least_k = 1
    option: str | None = None
    reads_history = False
    reads_targets = False

    def __init__(self, k: int, catalogue: Catalogue, width: int | None = None) -> None:
        super().__init__(k, width)
        self.catalogue = catalogue

    def update(self, batch: EvaluationBatch, ranked: RankedLists) -> None:
        """Add the lists of B users; the batch must hold the seen pairs if `reads_history`."""
        values_B = self.per_list(ranked.items_BK[:, : self.k], batch)
        self.add(batch.lists_B, values_B)

    @abstractmethod
    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """The value of each user, float64 (B,); NaN for a user who has none.

        Args:
            items_BK: the first k places, int64 (B, K).
            batch: the same users.
        """


def _mean_over_ranks(values_V: Tensor, items_BK: Tensor) -> Tensor:
    """Mean of an item's value over the places that hold one; NaN for an empty list."""
    shown_BK = items_BK != NO_ITEM
    values_BK = values_V[items_BK.clamp_min(0)].double() * shown_BK
    return sum_over_ranks(values_BK) / shown_BK.sum(1)


def _mean_of_history(counts_V: Tensor, batch: EvaluationBatch) -> Tensor:
    """Mean of an item's count over the seen pairs of each user; NaN for an empty history."""
    sums_B = torch.zeros(batch.history.size, dtype=torch.int64, device=counts_V.device)
    sums_B.index_add_(0, batch.seen_rows, counts_V[batch.seen_items])
    return sums_B.double() / torch.bincount(batch.seen_rows, minlength=batch.history.size)


class Novelty(ListMetric):
    """Mean self-information of the shown items in bits: ``log2(events / events of the item)``.

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010
    (https://doi.org/10.1073/pnas.1000488107), with training events where they count users. An item
    without training events counts as one with a single event. In [0, log2 of all events].
    """

    name = "novelty"
    higher_is_better = True

    def __init__(self, k: int, catalogue: Catalogue) -> None:
        super().__init__(k, catalogue)
        counts_V = catalogue.counts_V
        self._bits_V = log2_of_each(counts_V.sum() / counts_V.clamp_min(1).double())

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        del batch
        return _mean_over_ranks(self._bits_V, items_BK)


class Popularity(ListMetric):
    """Mean training events of the shown items, at least 0: average recommendation popularity.

    Yin et al., "Challenging the long tail recommendation", VLDB 2012
    (https://arxiv.org/abs/1205.6700); named ARP by Abdollahpouri et al., "Managing popularity bias
    in recommender systems with personalized re-ranking", 2019 (https://arxiv.org/abs/1901.07555).
    """

    name = "popularity"
    higher_is_better = False

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        del batch
        return _mean_over_ranks(self.catalogue.counts_V, items_BK)


class PopularityLift(ListMetric):
    """How much more popular the lists are than the histories: 0 for alike, at least -1.

    ``lists / histories - 1``, each the mean over users of a user's mean training events: Abdollah-
    pouri et al., "The connection between popularity bias, calibration, and fairness in
    recommendation", RecSys 2020, section 3.1 (https://arxiv.org/abs/2008.09273). A ratio of means,
    so it has no value of a single user.
    """

    name = "popularity_lift"
    higher_is_better = False
    reads_history = True
    is_of_users = False

    def __init__(self, k: int, catalogue: Catalogue) -> None:
        super().__init__(k, catalogue, width=2)

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """Mean popularity of list and history, (B, 2)."""
        counts_V = self.catalogue.counts_V
        both = [_mean_over_ranks(counts_V, items_BK), _mean_of_history(counts_V, batch)]
        return torch.stack(both, 1)

    def compute(self) -> Tensor:
        """See the class."""
        means = super().compute()
        return means[0] / means[1] - 1


class CategoryDiversity(ListMetric):
    """Mean over the pairs of a list of ``1 - Jaccard`` of their categories, in [0, 1].

    Intra-list diversity: Ziegler et al., "Improving recommendation lists through topic
    diversification", WWW 2005 (https://doi.org/10.1145/1060745.1060754). With one category an item
    it is the share of pairs of unlike items. Items without a category form no pair; a list without
    a pair is left out.
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
        found = self.catalogue.categories.rows(flat)
        lengths = found.offsets.diff()
        # Only the codes that occur: a column may have very many values.
        values, codes = found.codes.unique(return_inverse=True)
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
    """Mean over the pairs of a list of ``1 - cosine`` of their vectors, in [0, 2].

    As `CategoryDiversity`; the vectors come from outside (of titles, images), so that one model is
    not judged by its own space. A vector of zeros has cosine 0 to all.
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
        # Of all pairs at once: |sum of v|^2 = sum of |v|^2 + 2 (sum of products of pairs).
        together_B = sum_over_ranks(sum_over_ranks(vectors_BKD.mT).square())
        alone_B = sum_over_ranks(sum_over_ranks(vectors_BKD.square()))
        number_B = shown_BK.sum(1)
        return 1 - (together_B - alone_B) / (number_B * (number_B - 1))


class Serendipity(ListMetric):
    """Share of the k places that hold a target which the k most popular items are not.

    ``|unexpected and useful| / k`` of Ge, Delgado-Battenfeld and Jannach, RecSys 2010
    (https://doi.org/10.1145/1864708.1864761); the primitive recommender, which makes an item
    expected, is the k items with the most training events (of equal ones the lower index). In
    [0, min(targets, k) / k].
    """

    name = "serendipity"
    higher_is_better = True
    of_hits = by_rank = True
    reads_targets = True

    def __init__(self, k: int, catalogue: Catalogue) -> None:
        super().__init__(k, catalogue)
        self._expected_k = catalogue.counts_V.argsort(descending=True, stable=True)[:k]

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        hits_BK, _ = hits_of(items_BK, batch.target_rows, batch.target_items)
        return (hits_BK & ~torch.isin(items_BK, self._expected_k)).sum(1).double() / self.k


class RepeatShare(ListMetric):
    """Share of the shown items that stand in the user's history, in [0, 1].

    Ren et al., "RepeatNet", AAAI 2019 (https://arxiv.org/abs/1812.02646), tell repeat from explore
    recommendations so. 0 whenever seen items are filtered out.
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


class Calibration(ListMetric):
    """How far the category mix of the list is from that of the history: 0 for equal mixes.

    Kullback-Leibler divergence ``sum p log(p / q)`` in nats, p the history's mix and q the list's,
    smoothed: ``q = (1 - a) list + a p`` with a = 0.01. Steck, "Calibrated recommendations", RecSys
    2018, equations 2, 3 and 6 (https://doi.org/10.1145/3240323.3240372), every event of the history
    and every place with the same weight. In [0, log(1 / a) = 4.61]. A user whose history has no
    category is left out.
    """

    name = "calibration"
    higher_is_better = False
    reads_history = True
    option = "category_feature"

    def per_list(self, items_BK: Tensor, batch: EvaluationBatch) -> Tensor:
        """See the class."""
        assert self.catalogue.categories is not None
        rows_BK, places_BK = (items_BK != NO_ITEM).nonzero(as_tuple=True)
        shown = items_BK[rows_BK, places_BK]
        categories, num_codes = _compact(
            self.catalogue.categories, torch.cat([shown, batch.seen_items])
        )
        size = len(items_BK)
        p_BC = category_mix(batch.seen_rows, batch.seen_items, categories, size, num_codes)
        list_BC = category_mix(rows_BK, shown, categories, size, num_codes)
        q_BC = (1 - SMOOTHING) * list_BC + SMOOTHING * p_BC
        # Where p is 0 the term is 0, whatever q.
        terms_BC = torch.special.xlogy(p_BC, p_BC / q_BC.where(p_BC > 0, torch.ones_like(q_BC)))
        # How many columns there are depends on the other users of the batch.
        return sum_by_size(terms_BC).where((p_BC > 0).any(1), torch.nan)


def _compact(categories: ListFeature, items: Tensor) -> tuple[ListFeature, int]:
    """The same with only the codes of these items numbered, and how many these are."""
    used = categories.rows(items).codes.unique()
    size = int(categories.codes.max()) + 1 if len(categories.codes) else 0
    number = torch.zeros(size, dtype=torch.int64, device=used.device)
    number[used] = torch.arange(len(used), device=used.device)
    return type(categories)(number[categories.codes], categories.offsets), len(used)
