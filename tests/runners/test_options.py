"""What the launcher refuses before anything starts, in one line, and what it adds for each step."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    SetupOptions,
    StandardOptions,
)

from pipeline.cli import main as corpus
from stages import registry
from stages.cli import main as stages
from stages.engine import options, remote
from stages.engine.options import Engine, check_options, check_places, completed
from stages.engine.step import InputError, Step
from tests.runners import services

DATAFLOW = [
    "--project=p", "--region=europe-north1", "--temp_location=gs://b/temp",
    "--sdk_container_image=registry/worker:1",
]  # fmt: skip


def step(**more: Any) -> Step:
    given: dict[str, Any] = {
        "name": "select", "stage": "select", "output": "gs://b/out",
        "inputs": {"input": ["gs://b/in"]}, **more,
    }  # fmt: skip
    return Step(**given)


def engine(runner: str, *given: str) -> Engine:
    return Engine(workers=1, runner=runner, options=given)


@pytest.fixture
def with_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra for Dataflow were installed."""
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: True)


@pytest.mark.parametrize("wrong", ["FlinRunner", "DaskRunner", "", "apache_beam.runners.X"])
def test_a_runner_that_there_is_not_is_told_with_those_there_are(
    wrong: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["select", "--input", str(tmp_path), "--output", str(tmp_path / "out")]
    assert stages([*arguments, "--runner", wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: no runner is called {wrong!r}; there are local, DataflowRunner, FlinkRunner,"
        " PortableRunner, PrismRunner, SparkRunner"
    )


def test_corpus_run_refuses_a_wrong_runner_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["corpus", "run", "sample", "--runner", "Flank"])
    assert corpus() == 2
    assert "no runner is called 'Flank'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "runner"),
    [("dataflow", "DataflowRunner"), ("flinkrunner", "FlinkRunner"), ("Spark", "SparkRunner")],
)
def test_names_of_runners_are_known_without_regard_to_case(given: str, runner: str) -> None:
    assert Engine(runner=given).runner == runner


@pytest.mark.parametrize("name", ["project", "region", "temp_location", "sdk_container_image"])
def test_dataflow_lacks(name: str, with_extra: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSDK_COMPUTE_REGION", raising=False)
    check_options(engine("DataflowRunner", *DATAFLOW))
    given = [x for x in DATAFLOW if not x.startswith(f"--{name}")]
    with pytest.raises(InputError, match=f"needs --{name}"):
        check_options(engine("DataflowRunner", *given))


def test_dataflow_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = options.importlib.util.find_spec
    monkeypatch.setattr(
        options.importlib.util, "find_spec", lambda n: None if n == "gcsfs" else find(n)
    )
    with pytest.raises(InputError, match="pip install --no-deps -r docs/dataflow/worker"):
        check_options(engine("DataflowRunner", *DATAFLOW))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--temp_location=/tmp/t"], "--temp_location /tmp/t is not in a bucket"),
        (["--staging_location=s3://b"], "--staging_location s3://b is not in a bucket"),
        (["--save_main_session"], "would pickle this launcher"),
        (["--num_workers=many"], "an option of Beam: argument --num_workers"),
        (["--num_wrokers=1"], "--num_wrokers=1 is neither a setting here nor an option of Beam"),
    ],
)
def test_dataflow_options_that_cannot_work(
    given: list[str], complaint: str, with_extra: None
) -> None:
    with pytest.raises(InputError, match=re.escape(complaint)):
        check_options(engine("DataflowRunner", *DATAFLOW, *given))


def test_a_portable_runner_needs_the_address_of_its_service() -> None:
    with pytest.raises(InputError, match="needs --job_endpoint"):
        check_options(engine("PortableRunner"))


def test_flink_needs_its_job_server_and_java(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(options.FLINK_JAR, raising=False)
    with pytest.raises(InputError, match="give --flink_job_server_jar or set FLINK_JOB_SERVER_JAR"):
        check_options(engine("FlinkRunner"))
    jar = tmp_path / "server.jar"
    monkeypatch.setenv(options.FLINK_JAR, str(jar))
    with pytest.raises(InputError, match="no job server at"):
        check_options(engine("FlinkRunner"))
    jar.touch()
    java = "--job_server_java_launcher=no-such-java"
    with pytest.raises(InputError, match="there is no program 'no-such-java'"):
        check_options(engine("FlinkRunner", java))
    # A job service that runs already was started by somebody else, with a jar of theirs.
    check_options(engine("FlinkRunner", "--job_endpoint=somewhere:8099", java))


def test_spark_and_prism_download_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(options.shutil, "which", lambda name: None if "no-" in name else name)
    for runner, option in (
        ("SparkRunner", "--spark_job_server_jar"),
        ("PrismRunner", "--prism_location"),
    ):
        with pytest.raises(InputError, match=f"{runner} needs its .*: give {option} "):
            check_options(engine(runner))
        with pytest.raises(InputError, match=rf"{runner}: no (job server|program) at {tmp_path}/x"):
            check_options(engine(runner, f"{option}={tmp_path}/x"))
        (tmp_path / "there").touch()
        check_options(engine(runner, f"{option}={tmp_path}/there"))
        check_options(engine(runner, "--job_endpoint=somewhere:8099"))
    with pytest.raises(InputError, match="there is no program 'no-java'"):
        jar = f"--spark_job_server_jar={tmp_path}/there"
        check_options(engine("SparkRunner", jar, "--job_server_java_launcher=no-java"))


@pytest.mark.parametrize(
    ("kind", "other"),
    [("EXTERNAL", "external_service_address=h:1"), ("process", "process_command=/bin/worker")],
)
def test_an_environment_of_workers_that_lacks_its_address(kind: str, other: str) -> None:
    given = ["--job_endpoint=somewhere:8099", f"--environment_type={kind}"]
    for runner in ("PortableRunner", "FlinkRunner"):
        with pytest.raises(InputError, match=f"{kind.upper()} needs --environment_config"):
            check_options(engine(runner, *given))
        check_options(engine(runner, *given, "--environment_config=h:1"))
        check_options(engine(runner, *given, f"--environment_options={other}"))


@pytest.mark.parametrize(
    ("runner", "given", "address"),
    [
        ("local", [], None),
        ("DataflowRunner", [], None),
        ("PortableRunner", ["--job_endpoint=h:8099"], ("h", 8099)),
        ("PortableRunner", ["--job_endpoint=[::1]:8099"], ("::1", 8099)),
        ("PortableRunner", ["--job_endpoint=embed"], None),
        ("PortableRunner", ["--job_endpoint=unix:/tmp/x"], None),
        ("FlinkRunner", [], None),
        ("FlinkRunner", ["--flink_master=[local]"], None),
        ("FlinkRunner", ["--flink_master=flink:8081"], ("flink", 8081)),
        ("FlinkRunner", ["--flink_master=https://flink/x"], ("flink", 443)),
        ("FlinkRunner", ["--flink_master=flink:8081", "--job_endpoint=h:8099"], ("h", 8099)),
        ("SparkRunner", [], None),
        ("SparkRunner", ["--spark_master_url=spark://s:7077"], ("s", 7077)),
        ("PrismRunner", [], None),
    ],
)
def test_the_address_where_jobs_are_handed_over(
    runner: str, given: list[str], address: tuple[str, int] | None
) -> None:
    assert options.service_address(engine(runner, *given)) == address


def test_a_service_that_is_not_there_is_told_with_its_address() -> None:
    """Beam would wait five minutes for it, and then tell of a FutureTimeoutError."""
    port = services.free_port()
    with pytest.raises(ConnectionError, match=rf"nothing answers at localhost:{port}, .*refused"):
        remote.probe(engine("PortableRunner", f"--job_endpoint=localhost:{port}"))
    with socket.create_server(("127.0.0.1", port)):
        remote.probe(engine("PortableRunner", f"--job_endpoint=localhost:{port}"))


def test_a_call_that_grpc_could_not_make_is_told_in_one_line() -> None:
    told = (
        "Traceback ...\ngrpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated"
        ' with:\n\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "h:1: refused"\n\tdebug = "x"\n>\n'
    )
    with pytest.raises(ConnectionError) as line, remote._plain_connection_errors():
        raise RuntimeError(told)
    assert str(line.value).endswith("cannot be reached: h:1: refused")
    with pytest.raises(RuntimeError, match="another"), remote._plain_connection_errors():
        raise RuntimeError("another")


@pytest.mark.parametrize(
    ("runner", "given", "sees"),
    [
        ("local", [], True),
        ("DataflowRunner", [], False),
        ("PortableRunner", [], False),
        ("PortableRunner", ["--environment_type=LOOPBACK"], True),
        ("PortableRunner", ["--environment_type=EXTERNAL"], True),
        ("PortableRunner", ["--environment_type=DOCKER"], False),
        ("FlinkRunner", [], True),
        ("FlinkRunner", ["--flink_master=flink:8081"], False),
        ("FlinkRunner", ["--flink_master=flink:8081", "--environment_type=PROCESS"], True),
        ("SparkRunner", [], True),
        ("SparkRunner", ["--spark_master_url=spark://s:7077"], False),
        ("PrismRunner", [], True),
    ],
)
@pytest.mark.parametrize("where", ["input", "output"])
def test_local_paths_where_workers_cannot_see_them(
    runner: str, given: list[str], sees: bool, where: str
) -> None:
    changed = {"output": "/data/x"} if where == "output" else {"inputs": {"input": ["/data/x"]}}
    steps = [step(**{"output": "memory://b/out", "inputs": {}, **changed})]
    if sees:
        check_places(engine(runner, *given), steps)
        return
    with pytest.raises(InputError, match=r"select: /data/x is local; .* cannot see it"):
        check_places(engine(runner, *given), steps)


def test_a_path_of_no_known_kind() -> None:
    with pytest.raises(InputError, match="select: gopher://x: Protocol not known: gopher"):
        check_places(engine("local"), [step(output="gopher://x", inputs={})])


def test_a_file_system_that_cannot_be_used_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(path: str) -> None:
        raise OSError("Unable to load libjvm\ndlopen(/a) failed\ndlopen(/b) failed")

    monkeypatch.setattr(options.files, "filesystem", fail)
    with pytest.raises(InputError) as told:
        check_places(engine("local"), [step(output="hdfs://h/x", inputs={})])
    assert str(told.value) == "select: hdfs://h/x: Unable to load libjvm"


def options_of(runner: str, *given: str, **more: Any) -> Any:
    return completed(engine(runner, *given), registry.create(step(**more)))


def test_a_process_of_dataflow_does_one_unit_at_a_time() -> None:
    assert options_of("Dataflow").view_as(DebugOptions).number_of_worker_harness_threads == 1
    given = options_of("Dataflow", "--number_of_worker_harness_threads=3")
    assert given.view_as(DebugOptions).number_of_worker_harness_threads == 3


def test_no_runner_pickles_the_launcher() -> None:
    for runner in ("Dataflow", "Flink", "Portable"):
        assert options_of(runner).view_as(SetupOptions).save_main_session is False


def test_the_sdk_of_an_image_is_the_one_used() -> None:
    assert options_of("Dataflow", *DATAFLOW).view_as(SetupOptions).sdk_location == "container"
    given = options_of("Dataflow", *DATAFLOW, "--sdk_location=/sdk.tar.gz")
    assert given.view_as(SetupOptions).sdk_location == "/sdk.tar.gz"


def asked(*given: str) -> list[str]:
    found: list[str] = options_of("Dataflow", *given).view_as(StandardOptions).resource_hints
    return found


def test_memory_that_a_stage_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    select = registry.stage_class("select")
    assert asked() == []
    monkeypatch.setattr(select, "memory", lambda self: 10 << 30)
    assert asked() == ["min_ram=14336MiB"]
    assert asked("--resource_hint=min_ram=1GB") == ["min_ram=1GB"]
    # A process for each vCPU, each with its own; and a GiB for the unit that it works on.
    assert asked("--machine_type=n2-standard-4") == [f"min_ram={44 << 10}MiB"]
    assert asked("--machine_type=custom-8-32768") == [f"min_ram={88 << 10}MiB"]
    assert asked("--machine_type=n2-custom-8-32768") == [f"min_ram={88 << 10}MiB"]
    one = ("--machine_type=n2-standard-8", "--experiments=no_use_multiple_sdk_containers")
    assert asked(*one) == ["min_ram=14336MiB"]


def test_mapped_models_are_counted_once_for_each_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.stage_class("select"), "mapped_memory", lambda self: 10 << 30)
    eight = "--machine_type=n2-standard-8"
    assert asked(eight) == [f"min_ram={18 << 10}MiB"]
    # A container of each process has a copy of the files, and so has their memory.
    assert asked(eight, "--experiments=use_multiple_sdk_containers") == [f"min_ram={88 << 10}MiB"]
    assert asked(eight, "--experiments=no_use_multiple_sdk_containers") == ["min_ram=14336MiB"]


def test_the_processes_of_a_machine_share_a_container() -> None:
    def experiments(*given: str) -> list[str]:
        return options_of("Dataflow", *given).view_as(DebugOptions).experiments or []

    assert experiments() == ["use_sibling_sdk_workers"]
    assert experiments("--experiments=x") == ["x", "use_sibling_sdk_workers"]
    for own in ("use_multiple_sdk_containers", "auto_use_sibling_sdk_workers=False"):
        assert experiments(f"--experiments={own}") == [own]
    assert not options_of("Flink").view_as(DebugOptions).experiments


def test_flink_gets_the_jar_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(options.FLINK_JAR, "/jars/server.jar")
    assert options_of("Flink").view_as(FlinkRunnerOptions).flink_job_server_jar == (
        "/jars/server.jar"
    )


def test_names_of_jobs_tell_the_step_and_guard_the_folder() -> None:
    def name(*given: str, **more: Any) -> str:
        return str(options_of("Dataflow", *given, **more).view_as(GoogleCloudOptions).job_name)

    first = name(name="commoncrawl.line_dedup")
    assert re.fullmatch(r"llama-corpus-commoncrawl-line-dedup-[0-9a-f]{8}", first)
    assert name(name="commoncrawl.line_dedup") == first
    assert name(name="commoncrawl.line_dedup", output="gs://b/other") != first
    assert name("--job_name=Mine").startswith("mine-select-")
    longest = name("--job_name=" + "long-" * 30)
    assert len(longest) <= 63 and re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", longest)
