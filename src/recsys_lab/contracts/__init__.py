"""What the parts hand to each other, and the protocols that they satisfy."""

from recsys_lab.contracts.batches import (
    FIRST_KNOWN,
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
    FeatureColumns,
    FittedModel,
    Loss,
    ReadsCounts,
    Recommender,
    TrainingData,
    Truth,
)

__all__ = [
    "FIRST_KNOWN",
    "NO_ITEM",
    "Batch",
    "ChecksData",
    "ChecksDevice",
    "DenseModel",
    "EvaluationBatch",
    "Exclude",
    "FeatureColumns",
    "FittedModel",
    "ListFeature",
    "Loss",
    "RankedLists",
    "ReadsCounts",
    "Recommender",
    "TrainingData",
    "Truth",
]
