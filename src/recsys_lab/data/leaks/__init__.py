"""Does the split, or a column, let the answer be seen? Checks of a prepared dataset."""
