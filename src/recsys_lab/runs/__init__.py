"""Run records, trackers and tables."""
