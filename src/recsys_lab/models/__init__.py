"""Recommenders: `sequential` models are trained by gradient descent, `classical` ones fitted.

`inputs` turns item features, texts and context into vectors; `ranking` turns scores into top-k
lists. Models depend only on the interfaces in `recsys_lab.contracts`.
"""
