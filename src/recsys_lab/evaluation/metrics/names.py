"""Names of all metrics, and the types of the protocols' metric options."""

from __future__ import annotations

from typing import Annotated

from recsys_lab.config import Choice, Chosen
from recsys_lab.moved import RENAMED_METRICS

ACCURACY = Choice(
    "metric",
    "recsys_lab.evaluation.metrics",
    {
        "ndcg": "accuracy.NDCG",
        "hr": "accuracy.HitRate",
        "recall": "accuracy.Recall",
        "precision": "accuracy.Precision",
        "map": "accuracy.MAP",
        "r_precision": "accuracy.RPrecision",
        "mrr": "accuracy.MRR",
        "auc": "areas.AUC",
        "gauc": "areas.GAUC",
        "graded_ndcg": "values.GradedNDCG",
        "value": "values.FoundValue",
        "value_recall": "values.ValueRecall",
        "value_hr": "values.ValueHitRate",
    },
    base="user_mean.AccuracyMetric",
)
"""Computed from lists and held-out targets, in validation and test."""

BEYOND = Choice(
    "metric beyond accuracy",
    "recsys_lab.evaluation.metrics",
    {
        "coverage": "exposure.Coverage",
        "gini": "exposure.Gini",
        "entropy": "exposure.Entropy",
        "novelty": "beyond_accuracy.Novelty",
        "popularity": "beyond_accuracy.Popularity",
        "popularity_lift": "beyond_accuracy.PopularityLift",
        "category_diversity": "beyond_accuracy.CategoryDiversity",
        "embedding_diversity": "beyond_accuracy.EmbeddingDiversity",
        "serendipity": "beyond_accuracy.Serendipity",
        "repeat_share": "beyond_accuracy.RepeatShare",
        "miscalibration": "beyond_accuracy.Miscalibration",
    },
    base="user_mean.BeyondMetric",
    renamed=RENAMED_METRICS,
)
"""Computed from the test lists and the items."""

Accuracy = Annotated[Chosen, ACCURACY]
Beyond = Annotated[Chosen, BEYOND]
