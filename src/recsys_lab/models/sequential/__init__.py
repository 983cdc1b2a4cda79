"""Models that are trained by steps and read histories in order, one file an architecture."""
