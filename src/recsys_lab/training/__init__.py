"""Training: the LightningModule, recipe, checkpoints, resume, cost and memory estimate.

Of a run's files only checkpoints are written here; callers pass what to do after an epoch.
"""
