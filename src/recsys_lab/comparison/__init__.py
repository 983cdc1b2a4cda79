"""Comparison of finished runs with significance tests.

`collect` finds the runs, `compare` groups them into systems and tests these (`paired_test`), and
`terminal`, `export` and `page` show the result (`results`). Only records and per-user results are
read; nothing is trained.
"""
