"""One file for each place that receives copies of a run."""
