"""Several processes on one training run: how many, how they join, and what those but one do."""
