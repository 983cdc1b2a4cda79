"""A run as a folder that needs no lab: weights, item table, ONNX, checked against the lab's lists.

`exported` reads such a folder and imports neither torch nor the rest of the lab's models.
"""
