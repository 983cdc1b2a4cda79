"""Experiment trackers: Weights & Biases, MLflow, TensorBoard and CSV.

`base` defines their interface; a tracker that fails does not stop the run.
"""
