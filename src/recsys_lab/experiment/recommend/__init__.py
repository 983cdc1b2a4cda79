"""Ranking for any histories with a restored run, which is what `recsys_lab.deploy` builds on."""
