"""What the parts hand to each other, and the protocols that they satisfy."""

from recsys_lab.contracts.batches import (
    FIRST_KNOWN,
    LIST,
    LISTS_APART,
    NO_ITEM,
    Batch,
    EvaluationBatch,
    Exclude,
    ListFeature,
    RankedLists,
)
from recsys_lab.contracts.protocols import (
    DenseModel,
    FeatureColumns,
    FittedModel,
    GroundTruth,
    Loss,
    Recommender,
    SamplesTargets,
    TrainingData,
    UsesItemCounts,
    UsesTargetCounts,
    ValidatesData,
    ValidatesDevice,
)
from recsys_lab.moved import names_before

__all__ = [
    "FIRST_KNOWN",
    "LIST",
    "LISTS_APART",
    "NO_ITEM",
    "Batch",
    "DenseModel",
    "EvaluationBatch",
    "Exclude",
    "FeatureColumns",
    "FittedModel",
    "GroundTruth",
    "ListFeature",
    "Loss",
    "RankedLists",
    "Recommender",
    "SamplesTargets",
    "TrainingData",
    "UsesItemCounts",
    "UsesTargetCounts",
    "ValidatesData",
    "ValidatesDevice",
]

__getattr__ = names_before(__name__)
