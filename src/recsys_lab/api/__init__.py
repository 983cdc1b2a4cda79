"""The Python API of ``import recsys_lab``.

A thin layer over `experiment`, `comparison`, `runs` and `data`; no other package imports it.
"""
