"""Refuse secrets in a config before a run begins.

A run stores its config, is resumed and evaluated from it, and trackers receive copies, so values
that a run needs cannot be masked there. Values that it does not need (`FREE`) are masked instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys_lab.config.secrets import note_variables, refused_password, scrubbed, secret_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig

FREE = ("name", "group", "tags", "notes")
"""Descriptive texts, which are masked where they are stored or sent."""
_PRIVATE = ("sweep.storage",)
"""Stored in a file that only its owner can read, and masked elsewhere."""
_ADDRESS = (
    "contains a secret. Put the whole address into an environment variable and name that: "
    "{path}=env:LOG_URL"
)
_CURES = {
    "data.path": _ADDRESS,
    "data.items_path": _ADDRESS,
    "data.users_path": _ADDRESS,
    "tracking.mlflow_uri": "contains a secret. Put the whole address into the environment variable "
    "MLFLOW_TRACKING_URI and set tracking.mlflow_uri=null",
    "engine.settings": "the value of '{key}' is a secret. Put it into an environment variable and "
    "name that: '+engine.settings_env={{{key}: MY_SECRET}}'",
}
_ANY = (
    "contains a secret. Remove it: configs are stored in records. Libraries read secrets from "
    "environment variables, such as AWS_SECRET_ACCESS_KEY, HF_TOKEN or WANDB_API_KEY"
)


def literal_secrets(cfg: DictConfig) -> list[str]:
    """A problem, which does not quote the secret, for every secret in the config of a run.

    Args:
        cfg: composed config of a verb that makes or prepares runs.
    """
    note_variables(OmegaConf.to_container(cfg, resolve=False))
    problems = []
    for key in (str(key) for key in cfg if key not in ("hydra", *FREE)):
        for path in secret_paths(_plain(cfg, key), key):
            if path not in _PRIVATE:
                problems.append(_problem(cfg, path))
    return list(dict.fromkeys(problems))


def secrets_in_texts(cfg: DictConfig) -> list[str]:
    """A problem for every secret in `FREE` of a multirun, whose own file is not masked."""
    texts = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(texts, dict)
    return [
        f"{key}: contains a secret, which multirun.yaml would keep. Remove it."
        for key in FREE
        if scrubbed(texts.get(key)) != texts.get(key)
    ]


def _problem(cfg: DictConfig, path: str) -> str:
    if path == "data.url" and (refused := refused_password(OmegaConf.select(cfg, path))):
        return f"data.url: {refused}."
    option, cure = next(
        ((o, c) for o, c in _CURES.items() if path == o or path.startswith(f"{o}.")), (path, _ANY)
    )
    return f"{option}: {cure.format(path=path, key=path.removeprefix(f'{option}.'))}."


def _plain(cfg: DictConfig, key: str) -> Any:
    try:
        if OmegaConf.is_missing(cfg, key):
            return None
        value = cfg[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return None  # the checker reports it
