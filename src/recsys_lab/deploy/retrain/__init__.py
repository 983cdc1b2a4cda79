"""``recsys-lab retrain``: the stored config of a run on newer data."""
