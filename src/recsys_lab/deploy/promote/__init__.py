"""The promotion gate: a candidate against the registry's champion, on one fresh holdout.

`holdout` has the test part of the candidate's data as raw histories, `contender` ranks for it with
either run, `gate` decides from per-user values, and `promote` writes the decision and the registry.
"""
