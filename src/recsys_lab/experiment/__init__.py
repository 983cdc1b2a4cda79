"""Executes a run, from its config to its record.

`recording` opens the folder, record and log of a run, `run` executes it with the components that
`components` builds, and `test_results` evaluates the test split.
"""
