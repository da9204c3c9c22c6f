"""Runs staged jobs as a worker would: the pipeline that was put into the bucket, nothing else.

A script for the clean environment. Reads a line of JSON (the pipeline's URL, and a file for what
is shuffled), forks, runs the pipeline on Beam's local runner in memory with its containers replaced
by this process, and answers a line: state, error, counters, elements and bytes at GroupByKeys.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import fsspec
from apache_beam.coders.coder_impl import create_InputStream
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import execution, fn_runner

from stages.engine import transforms  # noqa: F401  (imported before the forks)


def pipeline_at(url: str) -> Any:
    with fsspec.open(url, "rb") as stream:
        proto = beam_runner_api_pb2.Pipeline.FromString(stream.read())
    for environment in proto.components.environments.values():
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
        del environment.dependencies[:]
    return proto


def watch_shuffles(copy: str) -> dict[str, int]:
    """Has the runner's GroupByKeys count what comes in, and copy it to a file."""
    seen = {"elements": 0, "bytes": 0, "largest": 0}
    append = execution.GroupingBuffer.append

    def noted(self: Any, data: bytes) -> None:
        coder = self._pre_grouped_coder.get_impl()
        stream = create_InputStream(data)
        while stream.size() > 0:
            before = stream.size()
            coder.decode_from_stream(stream, True)
            size = before - stream.size()
            seen["elements"] += 1
            seen["bytes"] += size
            seen["largest"] = max(seen["largest"], size)
        with open(copy, "ab") as out:
            out.write(data)
        append(self, data)

    execution.GroupingBuffer.append = noted
    return seen


def run(url: str, shuffled: str) -> dict[str, Any]:
    seen = watch_shuffles(shuffled)
    try:
        result = fn_runner.FnApiRunner().run_via_runner_api(pipeline_at(url), PipelineOptions())
        result.wait_until_finish()
    except Exception as error:  # noqa: BLE001 - it is the answer
        return {"state": "FAILED", "error": f"{error}\n{traceback.format_exc()}", "counters": []}
    counters = [
        [c.key.step, c.key.metric.namespace, c.key.metric.name, c.result]
        for c in result.metrics().query()["counters"]
    ]
    return {"state": "DONE", "error": "", "counters": counters, "shuffled": seen}


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(json.dumps(run(**json.loads(line))), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
