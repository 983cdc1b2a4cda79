"""A secret in a config is refused before a run begins, with the place where it belongs.

A run stores its config and goes on from it, is evaluated from it, and trackers receive copies: what
a run needs to work cannot be masked there. What it does not need (`FREE`) is masked instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys_lab.config.secrets import note_variables, refused_password, scrubbed, secret_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig

FREE = ("name", "group", "tags", "notes")
"""Texts for people: masked in what is stored and sent."""
_PRIVATE = ("sweep.storage",)
"""Kept in a file of its owner alone, and masked elsewhere."""
_ADDRESS = (
    "holds a secret. Put the whole address into an environment variable and name that: "
    "{path}=env:LOG_URL"
)
_CURES = {
    "data.path": _ADDRESS,
    "data.items_path": _ADDRESS,
    "data.users_path": _ADDRESS,
    "tracking.mlflow_uri": "holds a secret. Put the whole address into the environment variable "
    "MLFLOW_TRACKING_URI and set tracking.mlflow_uri=null",
    "engine.settings": "'{key}' is given a secret. Put it into an environment variable and name "
    "that: '+engine.settings_env={{{key}: MY_SECRET}}'",
}
_ANY = (
    "holds a secret. Take it out: configs are written into records. Libraries find theirs in "
    "environment variables, such as AWS_SECRET_ACCESS_KEY, HF_TOKEN or WANDB_API_KEY"
)


def literal_secrets(cfg: DictConfig) -> list[str]:
    """A problem for every secret in the config of a run; no secret is in it.

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
    """A problem for every secret in a text for people: a multirun's own file is not masked."""
    texts = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(texts, dict)
    return [
        f"{key}: holds a secret, which multirun.yaml would keep. Take it out."
        for key in FREE
        if scrubbed(texts.get(key)) != texts.get(key)
    ]


def _problem(cfg: DictConfig, path: str) -> str:
    if path == "data.url" and (refused := refused_password(OmegaConf.select(cfg, path))):
        return f"data.url: {refused}."
    option, cure = next(
        ((o, c) for o, c in _CURES.items() if path == o or path.startswith(f"{o}.")), (path, _ANY)
    )
    said = cure.format(path=path, key=path.removeprefix(f"{option}."))
    return f"{option}: {said}."


def _plain(cfg: DictConfig, key: str) -> Any:
    try:
        if OmegaConf.is_missing(cfg, key):
            return None
        value = cfg[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return None  # the checker reports it
