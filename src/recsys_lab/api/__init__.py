"""The lab as a Python library: what `import recsys_lab` offers, and nothing that is not in it.

A thin face over `experiment`, `comparison`, `runs` and `data`; it stands above all other packages
and none of them imports it.
"""
