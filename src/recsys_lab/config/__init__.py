"""Parse and check configs; every error at once, with 'did you mean'."""

from recsys_lab.config.build import build, config_values
from recsys_lab.config.check import Component, Sources, check_config
from recsys_lab.config.errors import Disagreement, Interrupted, Pruned, UserError
from recsys_lab.config.locations import config_dir

__all__ = [
    "Component",
    "Disagreement",
    "Interrupted",
    "Pruned",
    "Sources",
    "UserError",
    "build",
    "check_config",
    "config_dir",
    "config_values",
]
