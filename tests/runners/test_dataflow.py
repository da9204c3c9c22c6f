"""Every stage submitted to Dataflow's runner, offline: the job that it asks for, and its work.

Proven here: that jobs are built, staged and submitted with our options; what they carry; that the
staged pipelines, run in a clean environment against a bucket, end with the local engine's bytes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2

from stages import registry
from stages.engine.step import ShuffleStage
from tests.data_paths import REPO
from tests.runners import every_stage
from tests.runners.fake_dataflow import BUCKET, Cloud, Job, cloud

pytestmark = pytest.mark.slow

_LIMIT = 900
# Dataflow takes job requests of 20 MB and graphs of 10 MB. Ours do not grow with the input.
_LARGEST_JOB = 40_000
# A unit names its files; a bundle of small ones has many.
_LARGEST_ELEMENT = 20_000
_TEXT_LINE = 40

_UPLOAD = """
import sys, fsspec
fsspec.filesystem("gs").put(sys.argv[1], sys.argv[2], recursive=True)
"""


# Some of the shuffles, small as they are here, go by relays, as those of whole dumps do.
_RELAYING = """
import runpy, sys
from stages.engine import relay
relay.DIRECT, relay._LARGEST_SIDE = 12, 3
runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
"""


def upload(python: Path, there: Cloud, folder: Path, name: str) -> None:
    subprocess.run(
        [python, "-c", _UPLOAD, f"{folder}/", f"{BUCKET}/{name}/"],
        env=there.env, cwd="/", check=True, timeout=_LIMIT,
    )  # fmt: skip


def corpus(
    python: Path, there: Cloud, recipe: Path, options: list[str], relaying: bool = False
) -> str:
    program = ["-c", _RELAYING] if relaying else ["-m", "pipeline"]
    done = subprocess.run(
        [python, *program, "run", recipe, "--work", f"gs://{BUCKET}/work", *options],
        env=there.env, cwd=recipe.parent, capture_output=True, text=True, timeout=_LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, (done.stderr + done.stdout)[-3000:]
    return done.stdout + done.stderr


class Ran:
    """A run of the recipe of every stage on the stand-in for Dataflow, and one on this machine."""

    def __init__(self, folder: Path, python: Path, raw: Path) -> None:
        self.recipe = folder / "every.yaml"
        every_stage.write_recipe(self.recipe, f"gs://{BUCKET}/raw")
        self.digests: dict[str, dict[str, str]] = {}
        self.said: dict[str, str] = {}
        for name in ("local", "dataflow"):
            (folder / name).mkdir()
            with cloud(folder / name, python, work=name == "dataflow") as there:
                upload(python, there, raw, "raw")
                options = ["--workers=2"] if name == "local" else there.options
                self.said[name] = corpus(
                    python, there, self.recipe, options, relaying=name == "dataflow"
                )
                self.bucket = there.bucket
                self.digests[name] = every_stage.digests(there.bucket / "work")
                self.jobs = there.service.jobs

    def pipeline(self, job: Job) -> Any:
        path = self.bucket / job.pipeline_url.removeprefix(f"gs://{BUCKET}/")
        return beam_runner_api_pb2.Pipeline.FromString(path.read_bytes())


@pytest.fixture(scope="module")
def ran(worker_python: Path, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("dataflow"), worker_python, raw)


def specs(pipeline: Any) -> Iterator[dict[str, Any]]:
    """What our DoFns carry to the workers."""
    for transform in pipeline.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            fn = pickler.loads(payload.do_fn.payload)[0]
            if hasattr(fn, "_step_json"):
                yield fn._step_json


def test_every_stage_gives_the_bytes_of_the_local_engine(ran: Ran) -> None:
    assert len(ran.digests["local"]) > 100
    assert every_stage.differing(ran.digests["local"], ran.digests["dataflow"]) == []


def test_every_stage_was_a_job_of_its_own(ran: Ran) -> None:
    done = [next(specs(ran.pipeline(job)))["stage"] for job in ran.jobs]
    assert set(done) == set(registry.STAGES)
    assert [job.state for job in ran.jobs] == ["JOB_STATE_DONE"] * len(done)
    names = [job.request["name"] for job in ran.jobs]
    assert len(set(names)) == len(names)


def test_jobs_are_small_whatever_their_input(ran: Ran) -> None:
    sizes = {
        job.request["name"]: (
            len(json.dumps(job.request)),
            ran.pipeline(job).ByteSize(),
        )
        for job in ran.jobs
    }
    print("bytes of job request and pipeline:", json.dumps(sizes, indent=1))
    assert all(max(both) < _LARGEST_JOB for both in sizes.values()), sizes


def test_jobs_ask_for_our_image_one_unit_a_core_and_no_pickled_launcher(ran: Ran) -> None:
    for job in ran.jobs:
        (pool,) = job.request["environment"]["workerPools"]
        images = [i["containerImage"] for i in pool["sdkHarnessContainerImages"]]
        assert set(images) == {"europe-north1-docker.pkg.dev/a-project/corpus/worker:1"}
        assert pool["numThreadsPerWorker"] == 1
        assert "packages" not in pool or not pool["packages"]
        experiments = job.request["environment"]["experiments"]
        assert {"use_runner_v2", "use_sibling_sdk_workers"} <= set(experiments)
        options = job.request["environment"]["sdkPipelineOptions"]["options"]
        assert options["save_main_session"] is False
        assert options["sdk_location"] == "container"


def test_stages_with_large_models_ask_for_memory(ran: Ran) -> None:
    asking = set()
    for job in ran.jobs:
        pipeline = ran.pipeline(job)
        hints = [e.resource_hints for e in pipeline.components.environments.values()]
        if any("beam:resources:min_ram_bytes:v1" in h for h in hints):
            asking.add(next(specs(pipeline))["stage"])
    assert asking == {"perplexity", "reference", "language_model"}


def test_jobs_name_no_place_of_the_launching_machine(
    ran: Ran, worker_python: Path, tmp_path: Path
) -> None:
    here = [str(REPO), str(tmp_path.parents[1]), str(worker_python.parents[1]), str(Path.home())]
    for job in ran.jobs:
        pipeline = ran.pipeline(job)
        told = [json.dumps(job.request), str(pipeline)] + [json.dumps(s) for s in specs(pipeline)]
        for place in here:
            assert not any(place in text for text in told), (job.request["name"], place)
        for spec in specs(pipeline):
            assert spec["progress"] is None
            for path in (*(p for given in spec["inputs"].values() for p in given), spec["output"]):
                assert path.startswith("gs://")


def test_shuffles_have_plain_small_types(ran: Ran) -> None:
    for job in ran.jobs:
        components = ran.pipeline(job).components
        shuffles = [
            t for t in components.transforms.values()
            if t.spec.urn == "beam:transform:group_by_key:v1"
        ]  # fmt: skip
        assert shuffles  # Units are dealt by one, so that a job can grow and shrink.
        for shuffle in shuffles:
            (given,) = shuffle.inputs.values()
            coder = components.coders[components.pcollections[given].coder_id]
            assert coder.spec.urn == "beam:coder:kv:v1"
            key, value = (components.coders[c].spec.urn for c in coder.component_coder_ids)
            assert key in ("beam:coder:varint:v1", "beam:coder:string_utf8:v1")
            assert value == "beam:coder:string_utf8:v1"


def test_shuffles_went_straight_and_by_relays(ran: Ran) -> None:
    relayed = set()
    for job in ran.jobs:
        pipeline = ran.pipeline(job)
        names = {t.unique_name for t in pipeline.components.transforms.values()}
        if any(name.endswith(".gather") for name in names):
            relayed.add(next(specs(pipeline))["stage"])
    shuffles = {n for n in registry.STAGES if issubclass(registry.stage_class(n), ShuffleStage)}
    assert "line_dedup" in relayed
    assert shuffles - relayed


def test_no_text_is_shuffled(ran: Ran) -> None:
    lines: set[bytes] = set()
    for part in (ran.bucket / "work").glob("*/part-*.parquet"):
        table = pq.read_table(part)
        if "text" in table.column_names:
            for text in table.column("text").to_pylist():
                lines.update(x.encode() for x in text.split("\n") if len(x) >= _TEXT_LINE)
    assert len(lines) > 1000
    for job in ran.jobs:
        assert job.shuffled_bytes is not None
        shuffled = job.shuffled_bytes.read_bytes()
        assert shuffled and job.shuffled["largest"] < _LARGEST_ELEMENT, job.request["name"]
        assert not any(line in shuffled for line in lines), job.request["name"]


def test_the_launcher_tells_the_jobs_and_where_they_are(ran: Ran) -> None:
    job = ran.jobs[0]
    place = f"https://console.cloud.google.com/dataflow/jobs/europe-north1/{job.id}"
    assert place in ran.said["dataflow"]


def test_a_failed_unit_is_told_in_one_line_and_what_is_done_is_kept(
    worker_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "part-00000-of-00001.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with cloud(tmp_path, worker_python) as there:
        upload(worker_python, there, tmp_path / "in", "in")
        done = subprocess.run(
            [
                worker_python, "-m", "stages", "commoncrawl", "--input", f"gs://{BUCKET}/in",
                "--output", f"gs://{BUCKET}/out", "--max-bad", "0", *there.options,
            ],
            env=there.env, cwd=tmp_path, capture_output=True, text=True, timeout=_LIMIT,
        )  # fmt: skip
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("failed: ")]
    assert "records are bad" in line
    assert "Traceback" not in done.stderr


def test_a_stopped_run_cancels_its_job(worker_python: Path, raw: Path, tmp_path: Path) -> None:
    with cloud(tmp_path, worker_python, work=False) as there:
        upload(worker_python, there, raw / "c4", "in")
        launcher = subprocess.Popen(
            [
                worker_python, "-m", "stages", "c4", "--input", f"gs://{BUCKET}/in",
                "--output", f"gs://{BUCKET}/out", *there.options,
            ],
            env=there.env, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            # What is started in the background may have been told to ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not there.service.jobs and time.monotonic() < deadline:
            time.sleep(0.1)
        (job,) = there.service.jobs
        time.sleep(1)
        launcher.send_signal(signal.SIGINT)
        _, said = launcher.communicate(timeout=60)
        assert launcher.returncode == 1 and "stopped; finished units are kept" in said
        while job.state != "JOB_STATE_CANCELLED" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert job.state == "JOB_STATE_CANCELLED"
