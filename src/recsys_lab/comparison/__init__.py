"""Finished runs side by side: which are one system, what differs, and whether it is real.

`collect` finds the runs, `compare` makes the result of them (`results`, plain data) by the tests of
`paired_test`; `terminal`, `export` and `page` write it down. It reads records and per-user results
and trains nothing.
"""
