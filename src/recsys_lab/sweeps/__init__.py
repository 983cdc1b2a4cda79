"""Hyperparameter searches: spaces, shared studies and their trials.

A sweep's command (`supervisor`) starts processes (`launchers`, `worker`) that claim trials of a
`study` and run each as an experiment; `results` and `report` show the outcome.
"""
