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
import traceback
import urllib.parse
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
PRISM, SPARK = "PrismRunner", "SparkRunner"
_OTHERS = (DATAFLOW, FLINK, PORTABLE, PRISM, SPARK)
FLINK_JAR = "FLINK_JOB_SERVER_JAR"
"""Environment variable: the job server of Beam's Flink runner, where no option names it."""

STALL_S = 600.0
"""Seconds without a sign of life after which a local process is killed: twice the time after which
libraries for remote files give up an answer by themselves (aiohttp: 300 s)."""

# What a machine needs besides a stage's models: a unit at work in each of its processes, and for
# all that the system, Beam and the runner's own program have.
_PER_PROCESS, _BESIDE_MODELS = 1 << 30, 4 << 30
# vCPUs in the name of a machine of Google's: n2-standard-8, custom-4-8192, c3-highmem-22-lssd.
_VCPUS = re.compile(r"(?:standard|highmem|highcpu|hypermem|megamem|ultramem|custom)-(\d+)\b")
# One container a machine, with a process per vCPU in it; Beam's default is a container per vCPU.
_SIBLINGS, _CONTAINERS = "use_sibling_sdk_workers", "use_multiple_sdk_containers"
# Places where a process of the launching machine works, or one with the same files mounted.
_SEE_LOCAL_FILES = {"LOOPBACK", "PROCESS", "EXTERNAL"}
_FLINK_LOCAL = {"[local]", "[auto]"}
# What an environment of workers cannot do without: (option of --environment_options, in words).
_ENVIRONMENT_NEEDS = {
    "EXTERNAL": ("external_service_address", "HOST:PORT of the pool of workers"),
    "PROCESS": ("process_command", """'{"command": PROGRAM}', what starts a worker"""),
}


@dataclass(frozen=True)
class Engine:
    """How steps are run. `workers` counts local processes, and `worker_memory_mb` is what each may
    take before it is stopped (MiB; None: whatever there is); `stall_s` is for how many seconds it
    may give no sign of life (0: for ever); `options` are Beam's own flags. `warm`: whether models
    are loaded before workers are forked; not again where a process has died.

    Raises InputError for a runner that there is not.
    """

    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    runner: str = LOCAL
    options: tuple[str, ...] = ()
    worker_memory_mb: int | None = None
    stall_s: float = STALL_S
    warm: bool = True

    def __post_init__(self) -> None:
        if self.stall_s < 0:
            raise InputError(f"stall_s is {self.stall_s:g}; it must be 0 (never) or more seconds")
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
        _CHECKS[engine.runner](options)
        if engine.runner != DATAFLOW:
            _check_environment(options)


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
        raise InputError(
            f"{DATAFLOW} needs further packages: pip install --no-deps -r"
            " docs/dataflow/worker.lock (docs/dataflow.md)"
        )
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
    _check_job_server(FLINK, options, "flink_job_server_jar", os.environ.get(FLINK_JAR))


def _check_spark(options: dict[str, Any]) -> None:
    _check_job_server(SPARK, options, "spark_job_server_jar", None)


def _check_job_server(
    runner: str, options: dict[str, Any], option: str, otherwise: str | None
) -> None:
    """Beam would download a job server where none is given, and find out late that there is no
    Java."""
    if options.get("job_endpoint"):
        return
    jar = options.get(option) or otherwise
    if not jar:
        other = f" or set {FLINK_JAR}" if runner == FLINK else ""
        raise InputError(f"{runner} needs its job server: give --{option}{other} (docs/flink.md)")
    if not files.is_remote(jar) and not os.path.isfile(jar):
        raise InputError(f"{runner}: no job server at {jar}")
    java = options.get("job_server_java_launcher") or "java"
    if shutil.which(java) is None:
        raise InputError(f"{runner}'s job server needs Java, and there is no program {java!r}")


def _check_prism(options: dict[str, Any]) -> None:
    if options.get("job_endpoint"):
        return
    program = options.get("prism_location")
    if not program:
        raise InputError(f"{PRISM} needs its program: give --prism_location (docs/flink.md)")
    if not files.is_remote(program) and not os.path.isfile(program):
        raise InputError(f"{PRISM}: no program at {program}")


def _check_portable(options: dict[str, Any]) -> None:
    if not options.get("job_endpoint"):
        raise InputError(f"{PORTABLE} needs --job_endpoint, the address of a Beam job service")


_CHECKS = {
    DATAFLOW: _check_dataflow,
    FLINK: _check_flink,
    PORTABLE: _check_portable,
    PRISM: _check_prism,
    SPARK: _check_spark,
}


def _check_environment(options: dict[str, Any]) -> None:
    kind = str(options.get("environment_type") or "").upper()
    if kind not in _ENVIRONMENT_NEEDS or options.get("environment_config"):
        return
    option, words = _ENVIRONMENT_NEEDS[kind]
    given = options.get("environment_options") or []
    if not any(x.startswith(f"{option}=") for x in given):
        raise InputError(f"--environment_type {kind} needs --environment_config {words}")


def service_address(engine: Engine) -> tuple[str, int] | None:
    """Host and port of the service that takes the runner's jobs, where it must be there already.

    None: Google's, one that the launcher starts itself, or an address of another form, which is
    left to Beam.
    """
    if engine.local or engine.runner == DATAFLOW:
        return None
    options = engine.parsed().get_all_options()
    address = options.get("job_endpoint")
    if not address and engine.runner == FLINK and options["flink_master"] not in _FLINK_LOCAL:
        address = options["flink_master"]
    if not address and engine.runner == SPARK:
        address = options.get("spark_rest_url") or options.get("spark_master_url")
    url = str(address or "").strip()
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"//{url}")
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def check_place(path: str) -> None:
    """Raises InputError for a path of no known kind, or of one whose package is not installed."""
    try:
        files.filesystem(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"{path}: {_of_no_place(error)}") from error
    except OSError as error:
        # Some connect, or load a library of their own; on failure it tells all it tried.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: {reason}") from error


def place_problem(error: ImportError | ValueError) -> str:
    """What a path that nothing checked beforehand led to, in one line, if `error` is of the file
    system layer: a kind of paths that is unknown, or whose package is not installed. Else ""."""
    raised = [
        frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return _of_no_place(error) if "fsspec.registry" in raised else ""


def _of_no_place(error: Exception) -> str:
    return " ".join(str(error).split())


def check_places(engine: Engine, steps: Sequence[Step]) -> None:
    """Raises InputError for paths of no known kind, and for local ones where workers of the runner
    cannot see the files of this machine."""
    elsewhere = _elsewhere(engine)
    for step in steps:
        for path in (*(p for paths in step.inputs.values() for p in paths), step.output):
            try:
                check_place(path)
            except InputError as error:
                raise InputError(f"{step.name}: {error}") from error
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
    if runner == SPARK:
        return str(options.get("spark_master_url", "")).startswith("local")
    return runner == PRISM


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
        given = debug.experiments or []
        if not any(x.split("=")[0].endswith((_SIBLINGS, _CONTAINERS)) for x in given):
            debug.add_experiment(_SIBLINGS)
        if options.view_as(WorkerOptions).sdk_container_image and setup.sdk_location == "default":
            setup.sdk_location = "container"
    if not options.view_as(StandardOptions).resource_hints and (memory := _memory(stage, options)):
        options.view_as(StandardOptions).resource_hints = [f"min_ram={memory >> 20}MiB"]
    return options


def _memory(stage: Stage[Any], options: Any) -> int:
    """Bytes to ask for in a machine with as many processes as it has vCPUs; 0 without models.

    Each process has what it holds for itself; mapped files are there once for each container.
    """
    own, mapped = stage.memory(), stage.mapped_memory()
    if not own and not mapped:
        return 0
    values = options.get_all_options()
    experiments = values.get("experiments") or []
    machine = _VCPUS.search(values.get("machine_type") or "")
    processes = int(machine[1]) if machine else 1
    siblings = _SIBLINGS in experiments
    if not siblings and f"no_{_CONTAINERS}" in experiments:
        processes = 1
    containers = 1 if siblings else processes
    beside = max(_BESIDE_MODELS, processes * _PER_PROCESS)
    return int(own * processes + mapped * containers + beside)


def _job_name(given: str | None, step: Step) -> str:
    """A name that says the step, and that two runs into one folder share: Dataflow refuses a
    second job of a name while the first is at work."""
    place = files.digest_of(step.output)[:8]
    name = re.sub(r"[^a-z0-9]+", "-", f"{given or 'llama-corpus'}-{step.name}".lower())
    return f"{name[:54].strip('-')}-{place}"  # At most 63, as Dataflow wants.
