"""Runs verbs that compose their config as Hydra applications."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from recsys_lab.cli.arguments.flags import flags_in_words
from recsys_lab.cli.arguments.plain import bare_as_key
from recsys_lab.cli.job_table import print_jobs
from recsys_lab.cli.multirun import Jobs, jobs_of, take_jobs
from recsys_lab.cli.output import RunFailed, failed
from recsys_lab.cli.processes import Team, fixed_by_first, joined, team_of
from recsys_lab.cli.whole_runs import with_whole_runs
from recsys_lab.config import UserError, config_dir
from recsys_lab.config.build import component_targets
from recsys_lab.config.compose import (
    Request,
    check,
    check_to_print,
    make_loader,
    with_plain_groups,
)
from recsys_lab.config.compose.loader import Loader
from recsys_lab.config.compose.refused_settings import RefusedSetting
from recsys_lab.config.errors import one_line, report
from recsys_lab.config.literal_secrets import secrets_in_texts
from recsys_lab.config.quoting import literal, quoted
from recsys_lab.config.verbs import VERBS, Verb
from recsys_lab.deploy.retrain.request import retrained
from recsys_lab.experiment.distributed import refuse_several
from recsys_lab.experiment.resume import refuse_occupied, resumed
from recsys_lab.experiment.stored.from_run import started_from
from recsys_lab.pages.terminal import Terminal, tell

_TRAIN = "train"


def run_verb(name: str, arguments: Sequence[str]) -> list[Any]:
    """Run a verb with its arguments of the command line.

    Args:
        name: a key of `VERBS`.
        arguments: overrides and Hydra's flags, in any order.

    Returns:
        The return value of each job: for ``train`` its run directory.

    Raises:
        UserError: the arguments or the config are invalid.
        RunFailed: the work of the verb, or of the first failed job of a multirun, failed.
    """
    version.setbase("1.3")
    verb = VERBS[name]
    if verb.has_run_dir and name != _TRAIN:
        refuse_several(name)
    parser = get_args_parser()
    parser.prog = f"recsys-lab {name}"
    args, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        raise UserError(flags_in_words(name, unknown, arguments))
    args.multirun |= "hydra.mode=MULTIRUN" in args.overrides
    _refuse_flags(name, args, arguments)
    wanted, args.overrides = take_jobs(
        bare_as_key(args.overrides, name, verb), multirun=args.multirun
    )
    request = _rewritten(name, verb, args)
    loader = make_loader(request)
    would_be: list[str] = []
    cfg, team = None, None
    if args.help or args.cfg or args.info:
        would_be = check_to_print(request, loader, finds_problems=bool(args.cfg))
    elif not (args.hydra_help or args.shell_completion):
        cfg = _checked(request)
        team = team_of(cfg, arguments, multirun=args.multirun) if name == _TRAIN else None
    with joined(team):
        if cfg is not None and verb.has_run_dir:
            fixed = fixed_by_first(lambda: _run_dir(request, cfg), team)
            request = replace(request, overrides=[*request.overrides, *fixed])
        results = _worked(name, args, parser, request, loader, wanted, team)
    if args.cfg and would_be:
        tell(report(would_be, "this config, for which a run would be refused"))
    return results


def _worked(
    name: str,
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    request: Request,
    loader: Loader,
    wanted: int | Literal["auto"],
    team: Team | None,
) -> list[Any]:
    """Let Hydra do what a command asks, and return the return values of its jobs.

    Raises:
        RunFailed: the work of the verb, or of the first failed job, failed.
    """
    args.overrides = request.overrides
    runs = args.multirun and not (args.help or args.cfg or args.info or _only_informs(args))
    jobs = jobs_of(wanted if name == _TRAIN else 1, args) if runs else Jobs()
    results: list[Any] = []
    try:
        _hydra(_task(name, results, jobs, request.as_typed, team), args, parser, request, loader)
        jobs.wait()
    finally:
        if name == _TRAIN and jobs.all:
            print_jobs(jobs, Terminal())
    if jobs.failures:
        raise jobs.failures[0]
    return results


def _refuse_flags(name: str, args: argparse.Namespace, arguments: Sequence[str]) -> None:
    given = [text for text in arguments if text.partition("=")[0] in ("--config-dir", "-cd")]
    if len(given) > 1:
        raise UserError("--config-dir: given twice; put your configs into one folder")
    if name == "sweep" and args.multirun:
        raise UserError("--multirun: not allowed for sweep, which runs all trials without it")
    if args.experimental_rerun is not None:
        raise UserError("--experimental-rerun: not allowed, as it loads a pickle")
    if args.help or args.hydra_help:
        return
    if args.resolve and args.cfg is None:
        raise UserError("--resolve: only allowed with --cfg or --help")
    if sum(map(bool, (args.run, args.cfg, args.multirun, args.shell_completion, args.info))) > 1:
        flags = "--run, --multirun, --cfg, --info and --shell-completion"
        raise UserError(f"only one of {flags} is allowed")


def _rewritten(name: str, verb: Verb, args: argparse.Namespace) -> Request:
    """The config to compose, for texts that are not in Hydra's grammar, and for stored runs."""
    typed = args.overrides
    quoted = [literal(text, verb, several=args.multirun) for text in typed]
    args.overrides = with_whole_runs(quoted, verb)
    request = with_plain_groups(_request(name, verb, args))
    request = replace(request, typed=dict(zip(args.overrides, typed, strict=True)))
    request = started_from(request, name)
    if name == "retrain":
        return request if _only_informs(args) else retrained(request)
    return resumed(request) if verb.has_run_dir else request


def _only_informs(args: argparse.Namespace) -> bool:
    """Whether the command prints help or completions, which need no run."""
    return bool(args.help or args.hydra_help or args.shell_completion)


def _request(name: str, verb: Verb, args: argparse.Namespace) -> Request:
    return Request(
        config_path=Path(args.config_path).absolute() if args.config_path else config_dir(),
        config_name=args.config_name or name,
        config_dir=args.config_dir,
        overrides=args.overrides,
        multirun=args.multirun,
        schema=verb.schema,
    )


def _checked(request: Request) -> DictConfig:
    """The config, after all checks."""
    cfg = check(request)
    if any(not target.startswith("recsys_lab.") for target in component_targets(cfg).values()):
        from recsys_lab.contracts.own_parts import check_own_parts  # imports torch

        check_own_parts(cfg)
    return cfg


def _run_dir(request: Request, cfg: DictConfig) -> list[str]:
    """The overrides that fix the run directory."""
    if request.multirun and (problems := secrets_in_texts(cfg)):
        raise UserError(report(problems))
    key = "hydra.sweep.dir" if request.multirun else "hydra.run.dir"
    if any(text.startswith(key + "=") for text in request.overrides):
        return []  # a process of a run that has one
    # The default contains the current time, so it is resolved only once.
    cfg.run_dir = str(OmegaConf.select(cfg, key))
    refuse_occupied(cfg, multirun=request.multirun)
    return [f"{key}={quoted(cfg.run_dir)}"]


def _hydra(
    task: Callable[[DictConfig], None],
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    request: Request,
    loader: Loader,
) -> None:
    """Hydra's main function with the lab's config loader.

    Raises:
        UserError: flags exclude each other, or a setting is refused.
    """
    hydra = Hydra(task_name=request.config_name, config_loader=loader)
    GlobalHydra.instance().initialize(hydra)
    try:
        _act(hydra, task, args, parser, request)
    except RefusedSetting as error:
        raise UserError(report([one_line(error)])) from error
    finally:
        GlobalHydra.instance().clear()


def _act(
    hydra: Hydra,
    task: Callable[[DictConfig], None],
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    request: Request,
) -> None:
    name, overrides = request.config_name, request.overrides
    if args.help:
        hydra.app_help(config_name=name, args_parser=parser, args=args)
        raise SystemExit(0)
    elif args.hydra_help:
        hydra.hydra_help(config_name=name, args_parser=parser, args=args)
        raise SystemExit(0)
    elif args.cfg:
        hydra.show_cfg(name, overrides, args.cfg, args.package, args.resolve)
    elif args.shell_completion:
        hydra.shell_completion(config_name=name, overrides=overrides)
    elif args.info:
        hydra.show_info(args.info, config_name=name, overrides=overrides)
    elif args.multirun:
        hydra.multirun(name, task, [*overrides, "hydra.mode=MULTIRUN"])
    else:
        hydra.run(name, task, [*overrides, "hydra.mode=RUN"])


def _task(
    name: str,
    results: list[Any],
    jobs: Jobs,
    as_typed: Callable[[str], str],
    team: Team | None,
) -> Callable[[DictConfig], None]:
    """The job for Hydra.

    Failures are collected instead of raised, as Hydra would print its own message and a multirun
    continues with the other jobs.
    """
    verb = VERBS[name]

    def task(cfg: DictConfig) -> None:
        hydra = HydraConfig.get()
        output_dir = Path(hydra.runtime.output_dir)
        job = None
        if hydra.mode == RunMode.MULTIRUN:
            job = jobs.add(hydra.overrides.task, output_dir)
            tell(f"job {job.number}: {' '.join(map(as_typed, hydra.overrides.task))}")
        if job and jobs.launcher:
            jobs.start(job)
            return
        if verb.has_run_dir:
            with open_dict(cfg):
                cfg.run_dir = str(output_dir)
        try:
            with failed(output_dir if verb.has_run_dir else None), jobs.labelled(job):
                run = importlib.import_module(f"recsys_lab.cli.verbs.{name}").run
                if team is not None and team.count > 1:
                    run = team.train
                results.append(run(cfg, output_dir))
                jobs.note(job, results[-1])
        except (UserError, RunFailed, BrokenPipeError) as error:
            jobs.note_failure(job, one_line(error.__cause__ or error))
            jobs.failures.append(error)

    return task
