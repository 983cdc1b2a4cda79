"""Files as tables: text, JSON lines, Parquet, archives, downloads and object stores.

Nothing here knows what a user or an item is.
"""
