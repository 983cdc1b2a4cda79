"""Recommenders. Trained ones are `sequential`, those with a closed form or counts `classical`.

`inputs` says what a model knows of items and events besides their index, `ranking` makes lists of
scores. A model knows no data but what `contracts` describes.
"""
