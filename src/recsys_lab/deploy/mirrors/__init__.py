"""Copies of the champion in the model registry of a tracker, under the alias ``champion``.

The registry's folder decides; a mirror is written after it and never read to decide, so copying can
be repeated at any time.

- `base`: what is copied, and the interface
- `mlflow`: a version of a registered model
- `wandb`: a version of an artifact
"""
