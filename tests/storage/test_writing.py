"""Workers: results in order, a bounded look-ahead, the first error, the caller's context."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.backend import Backend, Transfers, counting_transfers, default_device, from_host, resolve_backend, to_host
from omexp.errors import ReadOnlyError
from omexp.geometry import Region
from omexp.storage.groups import create_group, open_group
from omexp.storage.layout import create_array, plan_layout
from omexp.storage.reading import default_workers
from omexp.storage.workers import run_in_order
from omexp.storage.writing import write_box
from tests.conftest import Case

WORKERS = pytest.mark.parametrize("workers", [1, 2, 5])


def test_there_is_a_worker_for_each_cpu_of_this_process_and_at_most_16() -> None:
    assert 1 <= default_workers() <= 16


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 6))
def test_results_come_in_the_order_of_their_tasks(delays: list[int], workers: int) -> None:
    def work(task: tuple[int, int]) -> int:
        time.sleep(task[1] / 10_000)
        return task[0]

    assert list(run_in_order(work, enumerate(delays), workers)) == list(range(len(delays)))


@WORKERS
def test_at_most_twice_as_many_tasks_as_workers_are_begun_ahead(workers: int) -> None:
    begun: list[int] = []

    def tasks() -> Iterator[int]:
        for i in range(50):
            begun.append(i)
            yield i

    for done in run_in_order(lambda i: i, tasks(), workers):
        assert len(begun) - done <= (1 if workers == 1 else 2 * workers)
    assert len(begun) == 50


@WORKERS
def test_the_first_error_is_raised_and_what_follows_is_not_begun(workers: int) -> None:
    ran: list[int] = []

    def work(i: int) -> int:
        ran.append(i)
        if i in (3, 4):
            raise ValueError(f"task {i}")
        return i

    results = []
    with pytest.raises(ValueError, match="task 3"):
        for result in run_in_order(work, range(1000), workers):
            results.append(result)
    assert results == [0, 1, 2]
    after = len(ran)
    time.sleep(0.01)
    assert len(ran) == after <= 4 + 2 * workers


@WORKERS
def test_an_error_of_the_tasks_themselves_is_raised(workers: int) -> None:
    def tasks() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more tasks")

    with pytest.raises(RuntimeError, match="no more tasks"):
        list(run_in_order(lambda i: i, tasks(), workers))


@WORKERS
def test_closing_early_waits_for_what_runs_and_begins_nothing_more(workers: int) -> None:
    running, ran = threading.Semaphore(0), []

    def work(i: int) -> int:
        ran.append(i)
        running.release()
        time.sleep(0.005)
        return i

    results = run_in_order(work, range(1000), workers)
    assert next(results) == 0
    results.close()
    after = len(ran)
    time.sleep(0.02)
    assert len(ran) == after <= 1 + 2 * workers
    assert list(results) == []


variable: ContextVar[str] = ContextVar("variable", default="unset")


@WORKERS
def test_workers_see_the_context_of_the_caller(workers: int) -> None:
    token = variable.set("mine")
    try:
        with default_device("cpu"), counting_transfers() as transfers:
            seen = list(run_in_order(lambda _: (variable.get(), resolve_backend(None).name), range(8), workers))
        assert seen == [("mine", "cpu")] * 8
        assert transfers.to_host_calls == 0
    finally:
        variable.reset(token)


def test_transfers_of_workers_are_counted_without_loss() -> None:
    strict = Backend(array_api_strict, array_api_strict.Device("device1"))
    host = np.zeros(4, "uint8")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with counting_transfers() as transfers:
            list(run_in_order(lambda _: [to_host(from_host(host, strict)) for _ in range(20)], range(50), 8))
    finally:
        sys.setswitchinterval(interval)
    assert transfers == Transfers(1000, 4000, 1000, 4000)


def test_a_box_on_any_backend_is_stored_with_one_download(backend: Case, tmp_path: Path) -> None:
    group = create_group(tmp_path / "img.zarr", 3)
    stored = create_array(group, "0", plan_layout((4, 6), "uint16", "yx", zarr_format=3, chunks=2), axes="yx")
    pixels = np.arange(8, dtype="uint16").reshape(2, 4)
    with counting_transfers() as transfers:
        write_box(stored, Region((1, 2), (3, 6)), backend.array(pixels))
    assert stored.read(Region.whole((4, 6)))[1:3, 2:].tolist() == pixels.tolist()
    assert transfers.to_host_calls == (0 if backend.backend.is_host else 1)
    with pytest.raises(ReadOnlyError, match="img.zarr/0: the store is read-only"):
        write_box(open_group(group, "r").array("0"), Region((0, 0), (2, 4)), backend.array(pixels))
