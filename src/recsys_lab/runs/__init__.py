"""Run records, and their listing, terminal summary, model card and export to TREC files.

`record` writes and reads ``run.json``; `find` finds runs below folders; `sources` and `provenance`
identify the code of a run.
"""
