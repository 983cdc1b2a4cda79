"""Inputs besides the item index: item features and texts, user and event columns, times."""
