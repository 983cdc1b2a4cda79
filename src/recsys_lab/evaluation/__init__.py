"""Evaluation: from ranked lists and targets to per-user metrics, means and intervals.

`protocols` select the candidates, `metrics` compute values from the lists, `results`, `slices` and
`fairness` aggregate them. Depends on models and data only through `contracts`.
"""
