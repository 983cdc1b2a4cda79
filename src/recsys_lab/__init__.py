"""recsys_lab: research experiments with sequential recommenders, from a raw log to a run record."""

from recsys_lab.moved import find_moved_modules

find_moved_modules()

__version__ = "0.1.0"
