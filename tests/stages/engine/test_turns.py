"""Units of a process take turns, in one thread, whatever threads a runner calls it from."""

from __future__ import annotations

import os
import threading
from concurrent import futures

import pytest

from stages.engine.turns import Turns


def test_work_called_from_many_threads_is_done_by_one_a_piece_at_a_time() -> None:
    turns = Turns()
    at_work: list[int] = []
    most: list[int] = []

    def work() -> int:
        at_work.append(1)
        most.append(len(at_work))
        threading.Event().wait(0.002)
        at_work.pop()
        return threading.get_ident()

    with futures.ThreadPoolExecutor(6) as threads:
        found = [call.result() for call in [threads.submit(turns.run, work) for _ in range(30)]]
    assert len(set(found)) == 1
    assert set(most) == {1}


def test_the_main_thread_does_its_work_itself() -> None:
    assert Turns().run(threading.get_ident) == threading.get_ident()


def test_what_work_raises_reaches_the_caller_and_others_go_on() -> None:
    turns = Turns()
    with futures.ThreadPoolExecutor(1) as threads:
        with pytest.raises(ZeroDivisionError):
            threads.submit(turns.run, lambda: 1 // 0).result()
        with pytest.raises(SystemExit):
            threads.submit(turns.run, lambda: exit("a library ends the process")).result()
        assert threads.submit(turns.run, lambda: 7).result() == 7


def test_a_process_forked_off_has_a_thread_of_its_own() -> None:
    turns = Turns()
    with futures.ThreadPoolExecutor(1) as threads:
        threads.submit(turns.run, os.getpid).result()
    ear, mouth = os.pipe()
    pid = os.fork()
    if pid == 0:
        with futures.ThreadPoolExecutor(1) as threads:
            found = threads.submit(turns.run, os.getpid).result(timeout=20)
        os.write(mouth, str(found == os.getpid()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(ear, 10) == b"True"
