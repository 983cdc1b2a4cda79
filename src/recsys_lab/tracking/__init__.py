"""Copies of a run for people who watch: Weights & Biases, MLflow, TensorBoard, CSV. One file each.

A tracker is given what `base` describes; where it fails, the run goes on without it.
"""
