"""A stand-in for Dataflow's job service, on loopback: takes jobs, does their work, tells of them.

What it is given is kept as it came. The work is done by a process in the clean environment, which
reads the staged pipeline from the bucket (an emulator of Cloud Storage), as a worker does.
"""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.runners import services
from tests.runners.environments import outside

PROJECT, REGION, BUCKET = "a-project", "europe-north1", "bucket"
# It answers one request at a time. With the few that Python lets wait by default, most of those
# that come side by side would be refused, and tried again after seconds.
_EMULATOR = """
import os, sys
from http.server import HTTPServer
from stages.engine.pool import die_with_parent
die_with_parent(os.getppid())
HTTPServer.request_queue_size = 1000
from gcp_storage_emulator.__main__ import main
main(sys.argv[1:])
"""
_SCRIPT = Path(__file__).with_name("staged_job.py")
_JOBS = re.compile(
    rf"/v1b3/projects/{PROJECT}/locations/{REGION}/jobs(?:/([^/?:]+))?(/\w+)?(?:\?.*)?$"
)


# Asked for by number, told by name.
_STATES = {5: "JOB_STATE_CANCELLED"}


@dataclass
class Job:
    """A job as it was asked for, and what became of it."""

    request: dict[str, Any]
    state: str = "JOB_STATE_PENDING"
    error: str = ""
    counters: list[list[Any]] = field(default_factory=list)
    shuffled: dict[str, int] = field(default_factory=dict)
    shuffled_bytes: Path | None = None

    @property
    def id(self) -> str:
        return "job-" + str(self.request["name"])

    @property
    def pipeline_url(self) -> str:
        return str(self.request["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"])

    def to_json(self) -> dict[str, Any]:
        return {**self.request, "id": self.id, "currentState": self.state}


class Service:
    """The jobs that it was given, in order. `python` does the work; without it, jobs stay running
    until they are cancelled."""

    def __init__(self, folder: Path, python: Path | None, env: dict[str, str]) -> None:
        self.jobs: list[Job] = []
        self.paths: list[str] = []
        self._folder = folder
        self._worker: Any = None
        if python is not None:
            self._worker = subprocess.Popen(
                [python, str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=(folder / "worker.log").open("wb"), text=True, env=env, cwd=folder,
            )  # fmt: skip

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stdin.close()
            self._worker.wait(60)

    def create(self, request: dict[str, Any]) -> Job:
        job = Job(request)
        self.jobs.append(job)
        if self._worker is None:
            job.state = "JOB_STATE_RUNNING"
            return job
        job.shuffled_bytes = self._folder / f"{len(self.jobs)}.shuffled"
        job.shuffled_bytes.touch()
        asked = {"url": job.pipeline_url, "shuffled": str(job.shuffled_bytes)}
        self._worker.stdin.write(json.dumps(asked) + "\n")
        self._worker.stdin.flush()
        answer = json.loads(self._worker.stdout.readline())
        job.state = f"JOB_STATE_{answer['state']}"
        job.error, job.counters = answer["error"], answer["counters"]
        job.shuffled = answer.get("shuffled", {})
        return job

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if path == "/token":
            return {"access_token": "none", "expires_in": 3600, "token_type": "Bearer"}
        match = _JOBS.match(path)
        if not match:
            return None
        if method == "POST":
            return self.create(body).to_json()
        (job,) = [j for j in self.jobs if j.id == match[1]]
        if method == "PUT":
            job.state = _STATES[body["requestedState"]]
        return {"/messages": _messages, "/metrics": _metrics}.get(match[2], Job.to_json)(job)


def _messages(job: Job) -> dict[str, Any]:
    if not job.error:
        return {}
    message = {
        "id": "1", "time": "2026-01-01T00:00:00Z", "messageText": job.error,
        "messageImportance": "JOB_MESSAGE_ERROR",
    }  # fmt: skip
    return {"jobMessages": [message]}


def _metrics(job: Job) -> dict[str, Any]:
    return {
        "metrics": [
            {
                "name": {
                    "origin": "user",
                    "name": name,
                    "context": {"namespace": namespace, "step": step, **kind},
                },
                "scalar": value,
            }
            for step, namespace, name, value in job.counters
            for kind in ({}, {"tentative": "true"})
        ]
    }  # fmt: skip


def _handler(service: Service) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            is_json = "json" in self.headers.get("Content-Type", "")
            service.paths.append(f"{self.command} {self.path}")
            answer = service.answer(
                self.command, self.path, json.loads(content) if is_json and content else {}
            )
            data = json.dumps({} if answer is None else answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return Handler


def _credentials(folder: Path, token_uri: str) -> Path:
    """A service account of nowhere, with a key of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "credentials.json"
    account = {
        "type": "service_account", "project_id": PROJECT, "private_key_id": "1", "client_id": "1",
        "client_email": f"nobody@{PROJECT}.example", "token_uri": token_uri,
        "private_key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    }  # fmt: skip
    path.write_text(json.dumps(account))
    return path


@dataclass(frozen=True)
class Cloud:
    """Where the stand-ins are. `env` is for processes that use them; `bucket` holds its files."""

    service: Service
    env: dict[str, str]
    options: list[str]
    bucket: Path


@contextmanager
def cloud(folder: Path, python: Path, work: bool = True) -> Iterator[Cloud]:
    """An emulated bucket and a job service for the time of the block."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    endpoint = f"http://localhost:{server.server_address[1]}"
    port = services.free_port()
    env = {
        **outside(),
        "STORAGE_EMULATOR_HOST": f"http://localhost:{port}",
        "GOOGLE_APPLICATION_CREDENTIALS": str(_credentials(folder, f"{endpoint}/token")),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        # Libraries ask whether they run in the cloud, and wait long for the answer.
        "NO_GCE_CHECK": "true",
        "GCE_METADATA_HOST": f"localhost:{server.server_address[1]}",
        "GCE_METADATA_IP": f"127.0.0.1:{server.server_address[1]}",
        # gcsfs would ask Google what kind of bucket this is.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    data = folder / "cloud"
    data.mkdir()
    emulator = [
        str(python), "-c", _EMULATOR, "--data-dir", str(data), "start",
        "--host", "127.0.0.1", "--port", str(port), "--quiet", "--default-bucket", BUCKET,
    ]  # fmt: skip
    with services.serving(emulator, port, env, folder, folder / "emulator.log"):
        service = Service(folder, python if work else None, env)
        server.RequestHandlerClass = _handler(service)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = [
            "--runner=DataflowRunner", f"--project={PROJECT}", f"--region={REGION}",
            f"--temp_location=gs://{BUCKET}/temp", f"--dataflow_endpoint={endpoint}",
            "--sdk_container_image=europe-north1-docker.pkg.dev/a-project/corpus/worker:1",
        ]  # fmt: skip
        try:
            yield Cloud(service, env, options, data / ".cloudstorage" / BUCKET)
        finally:
            server.shutdown()
            server.server_close()
            service.close()
