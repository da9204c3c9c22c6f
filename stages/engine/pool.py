"""All local cores: worker processes forked ahead of time, behind Beam's external-worker interface.

Beam's own multi-process mode starts interpreters anew for every stage (1.7 s each) and reaches 1.0
to 1.5 times one process on two cores. Here a *worker mother* is forked before any grpc object
exists (grpc does not survive a fork); when the runner asks for a worker, the mother forks one.
The mother also reaps the workers, so the death of one is known at once: the runner itself would
wait for it for ever.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent import futures
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

_PR_SET_PDEATHSIG = 1
_SAMPLING_MS = 5
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Loaded here, because between a fork and an exec nothing can be loaded safely.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
# `die_with_parent` for a program. Not as a `preexec_fn`: with one, Python forks in earnest, and
# grpc, which a worker has running, aborts such a child now and then.
_GUARD = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
# The exit code of a worker that its runner released. It is not 0, because a library may end the
# process with 0 in the midst of a unit, and the runner would wait for that worker for ever.
_RELEASED = 86
_MESSAGE_LIMIT = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


def die_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """This process is killed when its parent dies (Linux), so a killed run leaves nothing behind.

    `parent` is its pid, taken before the fork: the parent may have died in between.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(1)


def fork() -> int:
    """`os.fork`, with all that the child inherits kept from its garbage collector.

    The child must not be the one to finalise garbage of its parent's: that of native libraries, as
    of a compiler of tensors that the process had used before, may wait for threads that the child
    does not have, or crash it. And what is collected is touched, and so copied.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        pid = os.fork()
        if pid == 0:
            gc.freeze()
    finally:
        if collects:
            gc.enable()
    return pid


def run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a program of a unit's to its end; killed when this process is (Linux), so that a stopped
    run leaves none that goes on for hours."""
    guarded = [sys.executable, "-IS", "-c", _GUARD, str(os.getpid())] if _libc else []
    return subprocess.run(
        [*guarded, *command], capture_output=True, text=True, errors="replace", check=False
    )


def import_ahead() -> None:
    """Imports what a runner and its workers need, once, in the process that they are forked from.

    Beam imports most of it late, so each of them would do it anew for every step. What is there
    then is kept from the garbage collector, which would touch, and so copy, all of it in each.
    """
    for unused in ("bson", "pymongo"):
        # Beam's connector for MongoDB, with a TLS library: a seventh of the time that Beam takes.
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    import apache_beam  # noqa: F401
    import fsspec.implementations.local  # noqa: F401
    import grpc.experimental  # noqa: F401
    from apache_beam.runners.worker import sdk_worker, statesampler  # noqa: F401

    from stages.engine import dealing, totals, transforms  # noqa: F401

    # Beam's sampler of states sleeps up to 200 ms at a time, and the end of each bundle waits for
    # it to wake up.
    statesampler.StateSampler.__init__.__defaults__ = (_SAMPLING_MS,)
    gc.collect()
    gc.freeze()
    keep_pages()


def keep_pages() -> None:
    """Has the C library keep freed memory for the next array, instead of giving it back at once.

    By default each array of some hundred kilobytes is new pages of the kernel, which are dear on a
    virtual machine: hash shuffles took a quarter less CPU so, at the same peak (glibc).
    """
    if _libc is not None and hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # The most that glibc takes.
        _libc.mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def ended_well(status: int) -> bool:
    """Whether the wait status of a worker is that of one whose runner had no more work."""
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == _RELEASED


class WorkerMother:
    """Forks workers on demand. Make it before the first grpc object of this process.

    `warm` is called in the mother beforehand, so that workers share what it loads; meanwhile the
    runner makes its pipeline.
    """

    def __init__(self, warm: Callable[[], None] | None = None) -> None:
        self._pipe, child_end = Pipe()
        parent = os.getpid()
        self.pid = fork()
        if self.pid == 0:
            try:
                die_with_parent(parent)
                self._pipe.close()
                if warm is not None:
                    warm()
                    gc.freeze()
                _mother(child_end)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(0)
        child_end.close()
        self._lock = threading.Lock()

    def start_worker(self, worker_id: str, control: str) -> None:
        with self._lock:
            self._pipe.send((worker_id, control))

    def watch(self, died: Callable[[int, int], None]) -> None:
        """Calls `died(pid, status)` from a thread for each worker that ends by itself."""

        def loop() -> None:
            while True:
                try:
                    pid, status = self._pipe.recv()
                except (EOFError, OSError):
                    # The mother herself is gone, and her workers with her.
                    try:
                        pid, status = os.waitpid(self.pid, 0)
                    except ChildProcessError:
                        pid, status = self.pid, int(signal.SIGKILL)
                    died(pid, status)
                    return
                died(pid, status)

        threading.Thread(target=loop, daemon=True, name="watch-workers").start()


def _mother(pipe: Connection) -> None:
    workers: set[int] = set()
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready = wait([pipe, wake])
        if wake in ready:
            wake.recv(1024)
            for pid in list(workers):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    workers.discard(pid)
                    pipe.send((pid, status))
        if pipe in ready:
            try:
                worker_id, control = pipe.recv()
            except (EOFError, OSError):
                for pid in workers:
                    os.kill(pid, signal.SIGTERM)
                return
            parent = os.getpid()
            pid = fork()
            if pid == 0:
                status = 1
                try:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    die_with_parent(parent)
                    pipe.close()
                    _worker(worker_id, control)
                    status = _RELEASED
                except BaseException:
                    traceback.print_exc()
                    raise
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(status)
            workers.add(pid)


def _worker(worker_id: str, control: str) -> None:
    from apache_beam.runners.worker import sdk_worker

    port = control.rsplit(":", 1)[1]
    sdk_worker.SdkHarness(
        f"127.0.0.1:{port}", worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=0
    ).run()


def serve_pool(mother: WorkerMother) -> tuple[str, Any]:
    """Starts Beam's worker-pool service on loopback; returns its address and the server."""
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

    class Servicer(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
        def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
            mother.start_worker(request.worker_id, request.control_endpoint.url)
            return beam_fn_api_pb2.StartWorkerResponse()

        def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
            return beam_fn_api_pb2.StopWorkerResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2), options=_MESSAGE_LIMIT)
    port = server.add_insecure_port("127.0.0.1:0")
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Servicer(), server)
    server.start()
    return f"127.0.0.1:{port}", server


def keep_to_loopback() -> None:
    """Makes the local runner's servers listen on loopback only, and name themselves so.

    Beam binds them to every interface, without authentication, and calls them by the host's full
    name, which need not resolve. Only for the process of one local stage.
    """
    import grpc
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    original = grpc.server

    def server(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        bind = made.add_insecure_port
        made.add_insecure_port = lambda address: bind(address.replace("[::]", "127.0.0.1"))
        return made

    grpc.server = server
    handler: Any = worker_handlers.ExternalWorkerHandler
    handler.host_from_worker = lambda self: "127.0.0.1"
