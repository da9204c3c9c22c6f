"""The local runner, with work dealt one piece at a time to whichever worker is free.

Beam's own cuts the input of a stage into one static bundle per worker, so the stage waits for the
worker that got the slow units. Here every unit (or key of a reduce) is a bundle of its own, and a
free worker takes the next, in the order in which they came: big to small.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Mapping
from concurrent import futures
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import execution, fn_runner

# A bundle costs 3 ms of the runner. So of each worker's share of the elements the first, which are
# the largest, are bundles of their own, and all others so many bundles together.
_ALONE, _TOGETHER = 8, 16
# A worker whose pieces take fewer seconds than this gets the next one while it is at work: between
# two it would wait 10 ms for the runner. Behind a long one a piece could wait long, while another
# worker has nothing to do.
_SHORT = 1.0
# Seconds that units in work have to end after another one failed; they are done then, and need
# not be done again.
_GRACE = 30.0


class _OneWorker:
    """What a bundle manager needs to know of its stage, with one of the workers as the only one."""

    def __init__(self, context: Any, worker: Any) -> None:
        self._context = context
        self.worker_handlers = [worker]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class DealtBundles(fn_runner.ParallelBundleManager):
    """Runs the input of one stage as many small bundles, each worker taking the next when free."""

    def process_bundle(
        self,
        inputs: Mapping[str, Any],
        expected_outputs: Any,
        fired_timers: Mapping[Any, Any],
        expected_output_timers: Any,
        dry_run: bool = False,
    ) -> tuple[Any, list[Any]]:
        parts = _parts(inputs, self._num_workers)
        due: queue.SimpleQueue[tuple[int, dict[str, list[bytes]]]] = queue.SimpleQueue()
        for numbered in enumerate(parts):
            due.put(numbered)
        results: list[Any] = [None] * len(parts)
        # Of all pieces: the first failure, or that all are done.
        outcome: futures.Future[None] = futures.Future()
        dealt: list[futures.Future[None]] = []
        settling = threading.Lock()

        def settle(error: BaseException | None) -> None:
            with settling:
                if outcome.done():
                    return
                if error is not None:
                    outcome.set_exception(error)
                elif all(turn.done() for turn in dealt):
                    outcome.set_result(None)

        def work(worker: Any, ahead: bool) -> None:
            context: Any = _OneWorker(self.bundle_context_manager, worker)
            manager: Any = fn_runner.BundleManager(
                context,
                self._progress_frequency,
                cache_token_generator=self._cache_token_generator,
            )
            second: futures.Future[None] | None = None
            while not outcome.done() and not (ahead and due.qsize() < len(workers)):
                try:
                    number, part = due.get_nowait()
                except queue.Empty:
                    break
                began = time.monotonic()
                try:
                    results[number], _ = manager.process_bundle(
                        part,
                        expected_outputs,
                        fired_timers if number == 0 else {},
                        expected_output_timers,
                        dry_run,
                    )
                except BaseException as error:
                    settle(error)
                    raise
                if time.monotonic() - began >= _SHORT:
                    if ahead:
                        return
                elif not ahead and (second is None or second.done()):
                    second = threads.submit(work, worker, True)
            if second is not None:
                second.result()

        workers = self.bundle_context_manager.worker_handlers[: len(parts)]
        threads = futures.ThreadPoolExecutor(2 * len(workers), "deal")
        dealt += [threads.submit(work, worker, False) for worker in workers]
        for turn in dealt:
            turn.add_done_callback(lambda done: settle(done.exception()))
        try:
            outcome.result()
        except BaseException:
            futures.wait(dealt, timeout=_GRACE)
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        threads.shutdown(wait=False)
        told = itertools.chain.from_iterable(r.process_bundle.monitoring_infos for r in results)
        merged = beam_fn_api_pb2.InstructionResponse(
            process_bundle=beam_fn_api_pb2.ProcessBundleResponse(
                monitoring_infos=monitoring_infos.consolidate(told)
            )
        )
        return merged, []


def _parts(inputs: Mapping[str, Any], workers: int) -> list[dict[str, list[bytes]]]:
    """The input of a stage in pieces, in order: elements of a GroupByKey one by one, and in the end
    several together."""
    elements = max(workers, *(_elements(buffer) for buffer in inputs.values()))
    alone, together = _ALONE * workers, _TOGETHER * workers
    at_once = max(1, -(-(elements - alone) // together))
    parts: list[dict[str, list[bytes]]] = []
    split = {name: buffer.partition(elements) for name, buffer in inputs.items()}
    start = 0
    while start < elements:
        end = start + (1 if start < alone else at_once)
        parts.append({n: list(itertools.chain(*data[start:end])) for n, data in split.items()})
        start = end
    # A stage runs even where its input is empty: its outputs must be known to be complete.
    full = [part for part in parts if any(any(data) for data in part.values())]
    return full or parts[:1]


def _elements(buffer: Any) -> int:
    if isinstance(buffer, execution.GroupingBuffer):
        return len(buffer._table)
    return 0


class LocalOptions(PipelineOptions):
    """Options whose views are made once: Beam asks for some sixty a pipeline, each of which builds
    a parser of command lines, a third of the time that a step takes to start."""

    def view_as(self, cls: Any) -> Any:
        views: dict[Any, Any] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


class DealingRunner(fn_runner.FnApiRunner):
    """FnApiRunner that deals. For stateless stages on several workers; others run as ever."""

    def _get_bundle_manager(self, bundle_context_manager: Any) -> Any:
        usual = super()._get_bundle_manager(bundle_context_manager)
        if type(usual) is not fn_runner.ParallelBundleManager:
            return usual
        return DealtBundles(
            bundle_context_manager,
            self._progress_frequency,
            cache_token_generator=fn_runner.FnApiRunner.get_cache_token_generator(static=False),
        )
