"""A step on a runner of Beam's: submits its pipeline, tells its state and counters, waits for it.

A run that is stopped cancels its job: as on this machine, nothing goes on working behind its back.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson

from stages import registry
from stages.engine.options import DATAFLOW, Engine, completed, service_address
from stages.engine.pool import die_with_parent, keep_to_loopback
from stages.engine.step import Step
from stages.engine.units import WorkUnit

# Seconds between two looks at a job; Dataflow's are requests with a quota.
_LOOK_EVERY = 1.0
_LOOK_EVERY_DATAFLOW = 10.0
# Beam would wait five minutes for a service that is not there.
_ANSWERS_WITHIN_S = 5.0
# What grpc says of a call that failed, in the middle of a text of many lines.
_GRPC_DETAILS = re.compile(r'of RPC that terminated with:.*?\bdetails = "(.*?)"\n', re.DOTALL)
_CONSOLE = "https://console.cloud.google.com/dataflow/jobs/{region}/{job}?project={project}"


def end_with_parent(parent: int) -> None:
    """Has this process end, by an exception, when its parent dies: time to cancel its job.

    What the launching process registered to be done at its own end is dropped here.
    """
    atexit._clear()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # A job server started from here is stopped with this signal, and would inherit its neglect.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    die_with_parent(parent, signal.SIGTERM)


def run(step: Step, units: Sequence[WorkUnit], engine: Engine) -> None:
    """Runs a step's units to the end. Raises what Beam raises, RuntimeError if the job failed,
    ConnectionError if the runner's service or its workers cannot be reached.

    The step's progress file is written by this process only: workers may be anywhere.
    """
    import apache_beam as beam

    from stages.engine import transforms

    probe(engine)
    keep_to_loopback()  # For LOOPBACK, where this process serves the workers.
    options = completed(engine, registry.create(step))
    pipeline = beam.Pipeline(runner=engine.runner, options=options)
    transforms.build(pipeline, replace(step, progress=None), units)
    with _plain_connection_errors():
        result = pipeline.run()
        try:
            with _telling(step, engine, result, options.get_all_options()):
                state = result.wait_until_finish()
        except (SystemExit, KeyboardInterrupt):
            for again in (signal.SIGTERM, signal.SIGINT):
                signal.signal(again, signal.SIG_IGN)
            result.cancel()
            raise
    if str(state or result.state) != "DONE":
        raise RuntimeError(f"the runner ended in state {state or result.state}")


def probe(engine: Engine) -> None:
    """Raises ConnectionError, with the address, unless the service that is to take jobs listens."""
    where = service_address(engine)
    if where is None:
        return
    try:
        socket.create_connection(where, _ANSWERS_WITHIN_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise ConnectionError(
            f"nothing answers at {where[0]}:{where[1]}, where {engine.runner} should hand over its"
            f" jobs ({reason})"
        ) from error


@contextmanager
def _plain_connection_errors() -> Iterator[None]:
    """grpc's account of a call that failed, in one line."""
    try:
        yield
    except Exception as error:
        found = _GRPC_DETAILS.search(str(error))
        if found is None or "UnitError" in str(error):
            raise
        raise ConnectionError(
            f"the runner, its service or its workers cannot be reached: {found[1]}"
        ) from error


@contextmanager
def _telling(step: Step, engine: Engine, result: Any, options: dict[str, Any]) -> Iterator[None]:
    """Appends what the runner says of a job to the step's progress file, now and then."""
    if step.progress is None:
        yield
        return
    handle = os.open(step.progress, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    job = _job(engine, result, options)
    over = threading.Event()

    def tell() -> None:
        state = "asked for"
        every = _LOOK_EVERY_DATAFLOW if engine.runner == DATAFLOW else _LOOK_EVERY
        while True:
            counters: dict[str, int] = {}
            try:
                state = str(result.state)
                counters = _counters(result, step.name)
            except Exception as error:  # noqa: BLE001 - shown; the job itself does not suffer
                state = f"{state}, without counters ({type(error).__name__})"
            said = {"e": "runner", "job": job, "state": state, "counters": counters}
            os.write(handle, orjson.dumps(said) + b"\n")
            if over.wait(every):
                return

    thread = threading.Thread(target=tell, daemon=True, name="tell-state")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LOOK_EVERY_DATAFLOW)
        os.close(handle)


def _job(engine: Engine, result: Any, options: dict[str, Any]) -> str:
    """Where a person finds the job."""
    if engine.runner != DATAFLOW:
        return str(getattr(result, "_job_id", ""))
    job = str(result.job_id())
    return _CONSOLE.format(region=options["region"], job=job, project=options["project"])


def _counters(result: Any, namespace: str) -> dict[str, int]:
    from apache_beam.metrics.metric import MetricsFilter

    if hasattr(result, "_metrics"):
        result._metrics = None  # A portable job's first answer would be given for ever.
    found = result.metrics().query(MetricsFilter().with_namespace(namespace))
    return {c.key.metric.name: int(c.result) for c in found["counters"]}
