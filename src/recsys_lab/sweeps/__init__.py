"""Searches over configs: spaces, studies that many processes share, and their trials.

A sweep's command (`supervisor`) starts processes (`launchers`, `worker`) that claim trials of one
`study` and run each as an experiment; `results` and `report` say what came out. The command line
alone imports this package.
"""
