"""Small evaluation batches and catalogues by hand."""

import torch

from recsys_lab.contracts import NO_ITEM, Batch, EvaluationBatch, ListFeature, RankedLists
from recsys_lab.evaluation.catalogue import Catalogue


def flat(lists: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, values) of nested lists."""
    rows = [row for row, values in enumerate(lists) for _ in values]
    values = [value for part in lists for value in part]
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(values, dtype=torch.int64)


def lists_of(values: list[list[int]]) -> ListFeature:
    lengths = torch.tensor([0, *map(len, values)])
    return ListFeature(flat(values)[1], lengths.cumsum(0))


def users(histories: list[list[int]], targets: list[list[int]], first: int = 0) -> EvaluationBatch:
    """Users with whole histories and targets, numbered from `first`."""
    feature = lists_of(histories)
    batch = Batch(
        torch.arange(first, first + len(histories)), feature.codes, feature.offsets,
        tuple(map(len, histories)),
    )  # fmt: skip
    return EvaluationBatch(batch, *flat(histories), *flat(targets))


def ranked(lists: list[list[int]]) -> RankedLists:
    """Lists of one length, the shorter ones filled up."""
    width = max(map(len, lists))
    items = torch.tensor([[*part, *[NO_ITEM] * (width - len(part))] for part in lists])
    return RankedLists(items, -torch.arange(width).float().expand(len(lists), -1))


def catalogue(counts: list[int], categories=None, embeddings=None) -> Catalogue:
    return Catalogue(
        torch.tensor(counts),
        None if categories is None else lists_of(categories),
        None if embeddings is None else torch.tensor(embeddings),
    )
