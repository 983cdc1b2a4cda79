"""The record of a run and what is made of it: lists of runs, one run in the terminal, its card.

`record` writes and reads ``run.json``; `find` looks for runs below folders; `sources` and
`provenance` say with which code a run was made.
"""
