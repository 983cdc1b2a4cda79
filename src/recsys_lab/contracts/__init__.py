"""What the parts hand to each other, and the protocols that they satisfy."""

from recsys_lab.contracts.batches import (
    FIRST_KNOWN,
    LISTS_APART,
    NO_ITEM,
    Batch,
    EvaluationBatch,
    Exclude,
    ListFeature,
    RankedLists,
)
from recsys_lab.contracts.roles import (
    ChecksData,
    ChecksDevice,
    DenseModel,
    DrawsTargets,
    FeatureColumns,
    FittedModel,
    Loss,
    ReadsCounts,
    ReadsTargets,
    Recommender,
    TrainingData,
    Truth,
)

__all__ = [
    "FIRST_KNOWN",
    "LISTS_APART",
    "NO_ITEM",
    "Batch",
    "ChecksData",
    "ChecksDevice",
    "DenseModel",
    "DrawsTargets",
    "EvaluationBatch",
    "Exclude",
    "FeatureColumns",
    "FittedModel",
    "ListFeature",
    "Loss",
    "RankedLists",
    "ReadsCounts",
    "ReadsTargets",
    "Recommender",
    "TrainingData",
    "Truth",
]
