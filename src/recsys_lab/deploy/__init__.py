"""What becomes of a finished run: lists for users, an export, a server, its successor.

Everything ranks with `recsys_lab.experiment.recommend`, as the test of the run did.
"""
