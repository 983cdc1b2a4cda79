"""Metrics as torchmetrics classes, by name: of accuracy, of single lists, of all lists.

A metric of one's own derives from one of the classes here: see `PerUserMetric` for hits,
`ValueMetric` for targets of different worth, `ListMetric` for single lists, `Exposure` for all.
"""

from recsys_lab.evaluation.metrics.accuracy import PerUserMetric
from recsys_lab.evaluation.metrics.beyond_accuracy import ListMetric
from recsys_lab.evaluation.metrics.exposure import Exposure
from recsys_lab.evaluation.metrics.values import ValueMetric

__all__ = ["Exposure", "ListMetric", "PerUserMetric", "ValueMetric"]
