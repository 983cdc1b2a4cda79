"""Metrics as torchmetrics classes, by name: accuracy, beyond accuracy, exposure.

Base classes for your own metrics: `PerUserMetric` (from hits), `ValueMetric` (from targets with
values), `ListMetric` (a property of each list), `Exposure` (from item counts over all lists).
"""

from recsys_lab.evaluation.metrics.accuracy import PerUserMetric
from recsys_lab.evaluation.metrics.beyond_accuracy import ListMetric
from recsys_lab.evaluation.metrics.exposure import Exposure
from recsys_lab.evaluation.metrics.values import ValueMetric

__all__ = ["Exposure", "ListMetric", "PerUserMetric", "ValueMetric"]
