"""Shared data types (batches, ranked lists) and the protocols of models, losses and data."""

from recsys_lab.contracts.batches import (
    LISTS_APART,
    NO_ITEM,
    Batch,
    EvaluationBatch,
    Exclude,
    ExcludedItems,
    ListFeature,
    RankedLists,
    exclude_from,
)
from recsys_lab.contracts.devices import (
    fetch,
    fetch_later,
    matmul_precision,
    send,
    without_autocast,
)
from recsys_lab.contracts.own_parts import check_own_parts
from recsys_lab.contracts.processes import Share
from recsys_lab.contracts.protocols import (
    DenseModel,
    FeatureColumns,
    FittedModel,
    GroundTruth,
    HoldsScores,
    Loss,
    Recommender,
    ResolvesOptions,
    SamplesTargets,
    ScoresByProduct,
    TrainingData,
    UsesItemCounts,
    UsesTargetCounts,
    ValidatesData,
    ValidatesDevice,
)
from recsys_lab.contracts.semantic_ids import (
    Decoding,
    MakesLoss,
    RanksCandidates,
    ReadsFiles,
    SemanticIds,
    UsesSemanticIds,
    UsesTrainingData,
)
from recsys_lab.contracts.traits import Traits, check_model, traits
from recsys_lab.files.columns import FIRST_KNOWN, LIST
from recsys_lab.moved import names_before

__all__ = [
    "FIRST_KNOWN",
    "LIST",
    "LISTS_APART",
    "NO_ITEM",
    "Batch",
    "Decoding",
    "DenseModel",
    "EvaluationBatch",
    "Exclude",
    "ExcludedItems",
    "FeatureColumns",
    "FittedModel",
    "GroundTruth",
    "HoldsScores",
    "ListFeature",
    "Loss",
    "MakesLoss",
    "RankedLists",
    "RanksCandidates",
    "ReadsFiles",
    "Recommender",
    "ResolvesOptions",
    "SamplesTargets",
    "ScoresByProduct",
    "SemanticIds",
    "Share",
    "TrainingData",
    "Traits",
    "UsesItemCounts",
    "UsesSemanticIds",
    "UsesTargetCounts",
    "UsesTrainingData",
    "ValidatesData",
    "ValidatesDevice",
    "check_model",
    "check_own_parts",
    "exclude_from",
    "fetch",
    "fetch_later",
    "matmul_precision",
    "send",
    "traits",
    "without_autocast",
]

__getattr__ = names_before(__name__)
