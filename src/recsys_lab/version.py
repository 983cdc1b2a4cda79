"""The version of the lab, which packages below the Python face read."""

__version__ = "0.1.0"
