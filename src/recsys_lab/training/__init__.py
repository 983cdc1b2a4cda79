"""The Lightning module, data order, callbacks and resume."""
