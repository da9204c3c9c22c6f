"""Which worker gets which piece, and when: the dealing alone, with workers that only count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.portability.api import beam_fn_api_pb2, metrics_pb2
from apache_beam.runners.portability.fn_api_runner import execution, fn_runner
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.engine import dealing
from tests.stages.helpers import HANG_GUARD_S

SHORT, LONG = dealing._SHORT / 2, dealing._SHORT * 2


class Buffer(execution.GroupingBuffer):
    """So many elements, each the digits of its number."""

    def __init__(self, elements: int) -> None:
        self._table: Any = dict.fromkeys(range(elements))

    def partition(self, n: int) -> list[list[bytes]]:
        """Round robin, as Beam's does."""
        return [[b"%d " % i for i in range(k, len(self._table), n)] for k in range(n)]


class Hand:
    """One turn of the dealing for a worker: the first gives it its pieces, and a further one, with
    `ahead`, those that wait behind them."""

    def __init__(self, worker: str, ahead: bool) -> None:
        self.worker, self.ahead = worker, ahead
        self.own = worker == "w0" and not ahead
        self.pieces: list[list[int]] = []


Work = Callable[[Hand, list[int]], float]
"""What is done of a piece, by the numbers of its elements: for how many seconds it seems to be in
work."""


class Dealt:
    """Stands in for Beam's bundles and for the clock."""

    def __init__(self, workers: int, work: Work) -> None:
        self.workers = [f"w{i}" for i in range(workers)]
        self.work = work
        self.hands: list[Hand] = []
        self.waiting: list[futures.Future[None]] = []
        self.most_at_once = 0
        self.timers: list[Any] = []
        self._at_work: list[str] = []
        self._lock = threading.Lock()
        self._clock = threading.local()

    def run(self, elements: int, timers: Any = None) -> list[int]:
        """The elements whose results came, as they are told; raises what the dealing raises."""
        context: Any = SimpleNamespace(
            num_workers=len(self.workers), worker_handlers=list(self.workers)
        )
        handed = self.waiting

        class Threads(futures.ThreadPoolExecutor):
            def submit(self, *call: Any, **more: Any) -> Any:
                turn = super().submit(*call, **more)
                if call[-1] is True:
                    handed.append(turn)
                return turn

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fn_runner, "BundleManager", self._manager)
            patch.setattr(dealing.monitoring_infos, "consolidate", list)
            patch.setattr(dealing, "time", self)
            patch.setattr(dealing.futures, "ThreadPoolExecutor", Threads)
            dealt = dealing.DealtBundles(context)
            buffers = {"read": Buffer(elements)}
            answer, splits = dealt.process_bundle(buffers, {}, timers or {}, {})
        assert splits == []
        return [int(info.urn) for info in answer.process_bundle.monitoring_infos]

    def monotonic(self) -> float:
        """The clock of the thread that asks."""
        return float(getattr(self._clock, "now", 0.0))

    def pieces(self) -> list[list[int]]:
        with self._lock:
            return sorted(piece for hand in self.hands for piece in hand.pieces)

    def waited(self) -> list[int]:
        """The elements that were handed to a worker that had a piece, or was about to get it."""
        with self._lock:
            ahead = [hand for hand in self.hands if hand.ahead]
            return sorted(x for hand in ahead for piece in hand.pieces for x in piece)

    def wait_for_waiting(self) -> None:
        """Until the turns that hand out waiting pieces are over."""
        futures.wait(self.waiting, HANG_GUARD_S)

    def wait_for_own(self, pieces: int) -> None:
        """Until the first worker has had so many pieces that did not wait."""
        assert until(lambda: any(len(h.pieces) >= pieces for h in self.hands if h.own))

    def _manager(self, context: Any, *_: Any, **__: Any) -> Any:
        (worker,) = context.worker_handlers
        with self._lock:
            hand = Hand(worker, any(h.worker == worker for h in self.hands))
            self.hands.append(hand)
        return SimpleNamespace(process_bundle=lambda *given: self._process(hand, *given))

    def _process(self, hand: Hand, part: Any, _: Any, timers: Any, *__: Any) -> tuple[Any, Any]:
        piece = [int(x) for data in part.values() for x in b"".join(data).split()]
        with self._lock:
            hand.pieces.append(piece)
            self.timers += [(piece, timers)] if timers else []
            self._at_work.append(hand.worker)
            self.most_at_once = max(self.most_at_once, self._at_work.count(hand.worker))
        try:
            seconds = self.work(hand, piece)
        finally:
            with self._lock:
                self._at_work.remove(hand.worker)
        self._clock.now = self.monotonic() + seconds
        told = [metrics_pb2.MonitoringInfo(urn=str(x)) for x in piece]
        result = beam_fn_api_pb2.ProcessBundleResponse(monitoring_infos=told)
        return beam_fn_api_pb2.InstructionResponse(process_bundle=result), []


def until(ready: Callable[[], bool], seconds: float = HANG_GUARD_S / 2) -> bool:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


# -- all of the work -------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(0, 120),
    st.lists(st.sampled_from([0.0, SHORT, LONG]), min_size=1, max_size=7),
)
def test_each_piece_is_done_once_and_results_are_in_order(
    workers: int, elements: int, lasts: list[float]
) -> None:
    def work(_: Hand, piece: list[int]) -> float:
        time.sleep(0.0001)
        return lasts[sum(piece) % len(lasts)]

    dealt = Dealt(workers, work)
    assert dealt.run(elements) == list(range(elements))
    assert [x for piece in dealt.pieces() for x in piece] == list(range(elements))
    assert dealt.most_at_once <= 2
    assert {h.worker for h in dealt.hands} == set(dealt.workers[: max(1, min(elements, workers))])


def test_the_largest_are_alone_and_later_ones_together() -> None:
    dealt = Dealt(2, lambda *_: 0.0)
    dealt.run(200)
    sizes = [len(piece) for piece in dealt.pieces()]
    assert sizes == [1] * 16 + [6] * 30 + [4]


def test_an_empty_input_is_one_empty_piece() -> None:
    dealt = Dealt(2, lambda *_: 0.0)
    assert dealt.run(0) == []
    assert dealt.pieces() == [[]]


def test_timers_go_with_the_first_piece() -> None:
    dealt = Dealt(2, lambda *_: 0.0)
    dealt.run(9, {"timer": [b"due"]})
    assert dealt.timers == [([0], {"timer": [b"due"]})]


# -- the piece that waits --------------------------------------------------------------------------


def test_a_worker_with_short_pieces_gets_the_next_while_at_work() -> None:
    both = threading.Barrier(2)

    def work(_: Hand, piece: list[int]) -> float:
        if piece != [0]:
            both.wait(HANG_GUARD_S / 2)  # It breaks where no other piece is with this worker.
        return SHORT

    dealt = Dealt(1, work)
    assert dealt.run(7) == list(range(7))
    assert dealt.most_at_once == 2
    assert len(dealt.waited()) == 3


@pytest.mark.parametrize(("short", "lasts"), [(dealing._SHORT, LONG), (0.0, 0.001), (5.0, 5.001)])
def test_behind_long_pieces_none_waits(
    short: float, lasts: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealing, "_SHORT", short)

    def work(_: Hand, __: list[int]) -> float:
        time.sleep(0.001)
        return lasts

    dealt = Dealt(2, work)
    dealt.run(20)
    assert (dealt.waited(), dealt.most_at_once) == ([], 1)
    assert len(dealt.hands) == 2


def test_after_a_waiting_piece_that_took_long_no_other_waits_at_once() -> None:
    def work(hand: Hand, piece: list[int]) -> float:
        if not hand.ahead and piece != [0]:
            assert until(lambda: bool(dealt.waited()))
        return LONG if hand.ahead else SHORT

    dealt = Dealt(1, work)
    dealt.run(12)
    waiting = [hand for hand in dealt.hands if hand.ahead]
    assert max(len(hand.pieces) for hand in waiting) == 1


def test_near_the_end_none_waits() -> None:
    """A piece that waits then would do so while another worker has nothing to do."""
    elements = 12
    begun, last = threading.Event(), threading.Event()
    seen: list[bool] = []

    def work(hand: Hand, piece: list[int]) -> float:
        if piece == [elements - 1]:
            last.set()
        elif hand.worker == "w1":
            begun.set()
            assert last.wait(HANG_GUARD_S / 2)
        elif hand.ahead:
            dealt.wait_for_own(2)
        elif len(hand.pieces) == 1:
            assert begun.wait(HANG_GUARD_S / 2)
        else:
            # Meanwhile all are handed out but the last.
            assert until(lambda: len(dealt.waited()) == elements - 4)
            dealt.wait_for_waiting()
            seen.append(last.is_set())
        return SHORT

    dealt = Dealt(2, work)
    assert dealt.run(elements) == list(range(elements))
    assert seen == [False]
    assert elements - 1 not in dealt.waited()


# -- failures --------------------------------------------------------------------------------------


def test_after_a_failure_no_other_piece_is_begun() -> None:
    def work(_: Hand, piece: list[int]) -> float:
        if piece == [0]:
            raise ValueError("the piece failed")
        return SHORT

    dealt = Dealt(1, work)
    with pytest.raises(ValueError, match="the piece failed"):
        dealt.run(9)
    assert dealt.pieces() == [[0]]


def test_a_failure_of_a_waiting_piece_is_raised() -> None:
    failed = threading.Event()

    def work(hand: Hand, piece: list[int]) -> float:
        if hand.ahead:
            failed.set()
            raise ValueError("the waiting piece failed")
        if piece == [0]:
            return SHORT
        assert failed.wait(HANG_GUARD_S / 2)
        return LONG

    with pytest.raises(ValueError, match="the waiting piece failed"):
        Dealt(1, work).run(9)


def test_a_failure_of_a_waiting_piece_is_raised_though_the_other_was_short() -> None:
    def work(hand: Hand, piece: list[int]) -> float:
        if hand.ahead:
            dealt.wait_for_own(2)
            raise ValueError("the waiting piece failed")
        if piece != [0]:
            dealt.wait_for_waiting()
        return SHORT

    dealt = Dealt(1, work)
    with pytest.raises(ValueError, match="the waiting piece failed"):
        dealt.run(9)


def test_a_failure_of_a_waiting_piece_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dealing, "_GRACE", 0.01)
    raised = threading.Event()
    in_time: list[bool] = []

    def work(hand: Hand, piece: list[int]) -> float:
        if hand.ahead:
            dealt.wait_for_own(2)
            raise ValueError("the waiting piece failed")
        if piece != [0]:
            in_time.append(raised.wait(0.5))
        return LONG if piece != [0] else SHORT

    dealt = Dealt(1, work)
    with pytest.raises(ValueError, match="the waiting piece failed"):
        dealt.run(9)
    raised.set()
    assert until(lambda: bool(in_time))
    assert in_time == [True]
