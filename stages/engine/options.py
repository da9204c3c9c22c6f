"""Which runner, with which of Beam's options: checked before anything starts, completed per step.

Beam passes over what it does not know, and a remote runner fails minutes after its launch; so all
that can be known beforehand is said here, in one line each.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from stages.engine import files
from stages.engine.step import InputError, Stage, Step

LOCAL = "local"
# Names by which people ask for Beam's own local runners. `DirectRunner` would try to download
# another runner first, so they all mean our local engine.
_LOCAL_NAMES = {LOCAL, "directrunner", "fnapirunner", "switchingdirectrunner"}
DATAFLOW, FLINK, PORTABLE = "DataflowRunner", "FlinkRunner", "PortableRunner"
_OTHERS = (DATAFLOW, FLINK, PORTABLE, "PrismRunner", "SparkRunner")
FLINK_JAR = "FLINK_JOB_SERVER_JAR"
"""Environment variable: the job server of Beam's Flink runner, where no option names it."""

# What a machine needs besides a stage's models: units at work in each of its processes.
_BESIDE_MODELS = 4 << 30
# Places where a process of the launching machine works, or one with the same files mounted.
_SEE_LOCAL_FILES = {"LOOPBACK", "PROCESS", "EXTERNAL"}
_FLINK_LOCAL = {"[local]", "[auto]"}


@dataclass(frozen=True)
class Engine:
    """How steps are run. `workers` counts local processes, and `worker_memory_mb` is what each may
    take before it is stopped (MiB; None: whatever there is); `options` are Beam's own flags.

    Raises InputError for a runner that there is not.
    """

    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    runner: str = LOCAL
    options: tuple[str, ...] = ()
    worker_memory_mb: int | None = None

    def __post_init__(self) -> None:
        if self.local:
            return
        short = self.runner.lower().removesuffix("runner")
        for known in _OTHERS:
            if short == known.lower().removesuffix("runner"):
                object.__setattr__(self, "runner", known)
                return
        raise InputError(
            f"no runner is called {self.runner!r}; there are {', '.join((LOCAL, *_OTHERS))}"
        )

    @property
    def local(self) -> bool:
        return self.runner.lower() in _LOCAL_NAMES

    def parsed(self) -> Any:
        """The options as Beam's PipelineOptions."""
        _without_a_word()
        from apache_beam.options.pipeline_options import PipelineOptions

        return PipelineOptions(list(self.options))


def check_options(engine: Engine) -> None:
    """Raises InputError for options that Beam does not know (it would pass over them), and for
    those that the runner needs and that were not given."""
    if engine.options:
        _check_known(engine.options)
    if not engine.local:
        options = engine.parsed().get_all_options()
        if options.get("save_main_session"):
            raise InputError(
                "--save_main_session would pickle this launcher; its code reaches the workers as a"
                " package (docs/dataflow.md)"
            )
        {DATAFLOW: _check_dataflow, FLINK: _check_flink, PORTABLE: _check_portable}.get(
            engine.runner, lambda _: None
        )(options)


def _without_a_word() -> None:
    """Beam's import warns of a package that nothing here needs."""
    logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"an option of Beam: {message}")


def _check_known(options: Sequence[str]) -> None:
    _without_a_word()
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = _Parser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        # Beam's own way of collecting them; two groups may not share a name there either.
        add = getattr(group, "_add_argparse_args", None)
        if add is not None:
            add(parser)
    _, unknown = parser.parse_known_args(list(options))
    if unknown:
        raise InputError(f"{unknown[0]} is neither a setting here nor an option of Beam")


def _check_dataflow(options: dict[str, Any]) -> None:
    if not all(importlib.util.find_spec(name) for name in ("google", "gcsfs")) or not (
        importlib.util.find_spec("google.cloud")
        and importlib.util.find_spec("google.cloud.dataflow")
    ):
        raise InputError(f"{DATAFLOW} needs the extra: pip install 'llama-corpus[dataflow]'")
    for name in ("project", "region", "temp_location"):
        if not options.get(name) and not (
            name == "region" and os.environ.get("CLOUDSDK_COMPUTE_REGION")
        ):
            raise InputError(f"{DATAFLOW} needs --{name}")
    for name in ("temp_location", "staging_location"):
        if options.get(name) and not options[name].startswith("gs://"):
            raise InputError(f"--{name} {options[name]} is not in a bucket; give gs://...")
    packages = ("sdk_container_image", "setup_file", "requirements_file", "extra_packages")
    if not any(options.get(name) for name in packages):
        raise InputError(
            f"{DATAFLOW} needs --sdk_container_image: an image that holds this program"
            " (docs/dataflow.md)"
        )


def _check_flink(options: dict[str, Any]) -> None:
    if options.get("job_endpoint"):
        return
    jar = options.get("flink_job_server_jar") or os.environ.get(FLINK_JAR)
    if not jar:
        raise InputError(
            f"{FLINK} needs its job server: give --flink_job_server_jar or set {FLINK_JAR}"
            " (docs/flink.md)"
        )
    if not files.is_remote(jar) and not os.path.isfile(jar):
        raise InputError(f"{FLINK}: no job server at {jar}")
    java = options.get("job_server_java_launcher") or "java"
    if shutil.which(java) is None:
        raise InputError(f"{FLINK}'s job server needs Java, and there is no program {java!r}")


def _check_portable(options: dict[str, Any]) -> None:
    if not options.get("job_endpoint"):
        raise InputError(f"{PORTABLE} needs --job_endpoint, the address of a Beam job service")


def check_places(engine: Engine, steps: Sequence[Step]) -> None:
    """Raises InputError for paths of no known kind, and for local ones where workers of the runner
    cannot see the files of this machine."""
    elsewhere = _elsewhere(engine)
    for step in steps:
        for path in (*(p for paths in step.inputs.values() for p in paths), step.output):
            try:
                files.filesystem(path)
            except (ImportError, ValueError) as error:
                raise InputError(f"{step.name}: {path}: {' '.join(str(error).split())}") from error
            if elsewhere and not files.is_remote(path):
                raise InputError(
                    f"{step.name}: {path} is local; {elsewhere} cannot see it."
                    " Put it in a bucket and give gs://..."
                )


def _elsewhere(engine: Engine) -> str:
    """The workers, by name, if they surely lack the files of this machine; else nothing.

    A cluster whose workers are processes may have the same folders mounted, so it is trusted.
    """
    if engine.local:
        return ""
    if engine.runner == DATAFLOW:
        return "Dataflow's workers"
    options = engine.parsed().get_all_options()
    kind = options.get("environment_type") or "DOCKER"
    if not options.get("environment_type") and _loops_back(engine.runner, options):
        kind = "LOOPBACK"
    return "" if kind.upper() in _SEE_LOCAL_FILES else f"{engine.runner}'s workers in containers"


def _loops_back(runner: str, options: dict[str, Any]) -> bool:
    """Whether the runner, asked for no environment, has the launching process do the work."""
    if runner == FLINK:
        return options.get("flink_master") in _FLINK_LOCAL
    if runner == "SparkRunner":
        return str(options.get("spark_master_url", "")).startswith("local")
    return runner == "PrismRunner"


def completed(engine: Engine, stage: Stage[Any]) -> Any:
    """PipelineOptions for one step: what was given, and what a run of ours needs besides."""
    from apache_beam.options.pipeline_options import (
        DebugOptions,
        FlinkRunnerOptions,
        GoogleCloudOptions,
        SetupOptions,
        StandardOptions,
        WorkerOptions,
    )

    options = engine.parsed()
    if engine.local:
        return options
    setup = options.view_as(SetupOptions)
    # All code is in importable modules; Beam would pickle the launcher's main module by default.
    setup.save_main_session = False
    if not options.view_as(StandardOptions).resource_hints and (memory := stage.memory()):
        hint = f"min_ram={(memory + _BESIDE_MODELS) >> 20}MiB"
        options.view_as(StandardOptions).resource_hints = [hint]
    cloud = options.view_as(GoogleCloudOptions)
    cloud.job_name = _job_name(cloud.job_name, stage.step)
    if engine.runner == FLINK:
        flink = options.view_as(FlinkRunnerOptions)
        flink.flink_job_server_jar = flink.flink_job_server_jar or os.environ.get(FLINK_JAR)
    if engine.runner == DATAFLOW:
        debug = options.view_as(DebugOptions)
        # Beam's default of 12 units at once in a process that is one core: twelve times the memory
        # and not more speed, since Python runs one of them at a time.
        debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or 1
        if options.view_as(WorkerOptions).sdk_container_image and setup.sdk_location == "default":
            setup.sdk_location = "container"
    return options


def _job_name(given: str | None, step: Step) -> str:
    """A name that says the step, and that two runs into one folder share: Dataflow refuses a
    second job of a name while the first is at work."""
    place = files.digest_of(step.output)[:8]
    name = re.sub(r"[^a-z0-9]+", "-", f"{given or 'llama-corpus'}-{step.name}".lower())
    return f"{name[:54].strip('-')}-{place}"  # At most 63, as Dataflow wants.
