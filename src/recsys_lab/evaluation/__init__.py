"""Ranked lists and targets -> per-user metrics -> means with intervals.

`protocols` decide what is ranked, `metrics` what is computed from the lists, `results`, `slices`
and `fairness` for whom. It knows models and data only by the protocols of `contracts`.
"""
