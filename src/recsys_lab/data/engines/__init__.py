"""Where a log is filtered and ordered: in memory, on one disk, or on many machines."""
