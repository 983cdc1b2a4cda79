"""Compose the config of a command line, and check both before anything is imported or written."""

from recsys_lab.config.compose.preflight import check, check_to_print
from recsys_lab.config.compose.request import Request, make_loader, with_plain_groups

__all__ = ["Request", "check", "check_to_print", "make_loader", "with_plain_groups"]
