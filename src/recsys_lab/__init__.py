"""recsys_lab: research experiments with sequential recommenders, from a raw log to a run record."""

__version__ = "0.1.0"
