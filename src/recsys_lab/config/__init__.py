"""Parse and check configs; every error at once, with 'did you mean'."""

from recsys_lab.config.build import build, build_chosen, class_of_chosen, config_values
from recsys_lab.config.check import Component, Sources, check_config, is_component
from recsys_lab.config.choice import Choice, Chosen
from recsys_lab.config.errors import (
    Disagreement,
    Interrupted,
    NoModule,
    NoSource,
    OthersEnded,
    Pruned,
    UserError,
    Verdict,
    command_line,
    did_you_mean,
    first_line,
    install_hint,
)
from recsys_lab.config.locations import config_dir
from recsys_lab.config.relations import ForModels, Limit, OptionForModels

__all__ = [
    "Choice",
    "Chosen",
    "Component",
    "Disagreement",
    "ForModels",
    "Interrupted",
    "Limit",
    "NoModule",
    "NoSource",
    "OptionForModels",
    "OthersEnded",
    "Pruned",
    "Sources",
    "UserError",
    "Verdict",
    "build",
    "build_chosen",
    "check_config",
    "class_of_chosen",
    "command_line",
    "config_dir",
    "config_values",
    "did_you_mean",
    "first_line",
    "install_hint",
    "is_component",
]
