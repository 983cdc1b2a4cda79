"""How one column of a table is read: ids, times, missing values, and what is odd about them."""
