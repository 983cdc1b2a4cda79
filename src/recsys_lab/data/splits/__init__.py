"""Which events are trained on, and which must be found: one file a split."""
