"""Lists for many users."""
