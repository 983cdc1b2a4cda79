"""Columns of items, users and events as codes and numbers: encoded, stored, read back."""
