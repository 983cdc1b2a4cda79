"""Parse and check configs; every error at once, with 'did you mean'."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in the user's input; shown as its message alone, without a traceback, exit 2."""
