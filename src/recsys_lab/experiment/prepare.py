"""The prepared dataset of a config."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from recsys_lab.config import NoSource, UserError, build
from recsys_lab.data.leaks.fatal import fatal, words_of
from recsys_lab.data.preparation.contents import Preparation
from recsys_lab.data.prepare import prepare

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.data.prepared import PreparedDataset


def prepare_from(cfg: DictConfig) -> PreparedDataset:
    """The prepared dataset of a config; prepared if it does not exist.

    Raises:
        UserError: the config has no source, or the data are not usable.
    """
    try:
        return _prepared(cfg)
    except NoSource as error:
        raise UserError(f"{error}{_needs_of_experiment()}") from error


def _needs_of_experiment() -> str:
    """What the chosen file of the group ``experiment`` says about its data; else an empty text.

    It is the comment that begins with ``# Needs:``, at the head of the file.
    """
    if not HydraConfig.initialized():
        return ""
    runtime = HydraConfig.get().runtime
    name = runtime.choices.get("experiment")
    files = [Path(source.path, "experiment", f"{name}.yaml") for source in runtime.config_sources]
    file = next((file for file in files if name and file.is_file()), None)
    if file is None:
        return ""
    comment = re.search(r"^# Needs: ((?:.*\n#)*.*)", file.read_text(encoding="utf-8"), re.MULTILINE)
    if comment is None:
        return ""
    return f"\nexperiment={name} needs: {' '.join(comment[1].replace('#', ' ').split())}"


def _prepared(cfg: DictConfig) -> PreparedDataset:
    words = words_of(cfg.fail_on_leaks)
    parts = Preparation(build(cfg.filter), build(cfg.split), build(cfg.engine))
    root, name = Path(cfg.prepared_dir), data_name(cfg.data)
    data = prepare(build(cfg.data), parts, root, name, cfg.get("verify", "full"))
    ranks_all = cfg.evaluation.get("candidates", "all") == "all"
    fatal(data.manifest, words, all_are_candidates=ranks_all)
    return data


def data_name(node: DictConfig) -> str:
    """A short readable name: the source, its variant, and the file's name."""
    source = node._target_.split(".")[-2]
    path = str(node.get("path") or "").partition("?")[0]
    parts = [source, node.get("variant"), Path(path).stem if path else None]
    name = re.sub(r"[^\w.-]+", "_", "_".join(str(part) for part in parts if part))
    # Used in folder names (at most 255 bytes); brackets would be glob patterns.
    return name.encode()[:80].decode(errors="ignore")
