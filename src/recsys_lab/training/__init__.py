"""How a model is trained: the LightningModule, recipe, checkpoints, resume, cost and memory.

It knows no file of a run but its checkpoints: callers pass what is to happen after an epoch.
"""
