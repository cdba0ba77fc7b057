"""The progress bar: drawn late, on terminals only, wiped at the end, and never in the way of an error."""

from __future__ import annotations

import io
import signal
import threading

import numpy as np
import pytest
from rich.console import Console

import omexp
from omexp import progress
from omexp.progress import progress_bar

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None, legacy_windows=False)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENT_S", 0.0)
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)


def test_work_that_takes_less_than_a_second_draws_nothing() -> None:
    console = terminal()
    with progress_bar("cells", console=console) as show:
        show(1, 2)
        show(2, 2)
    assert HIDE not in text(console)
    assert "cells" not in text(console)


@pytest.mark.usefixtures("at_once")
def test_a_bar_shows_what_it_is_bytes_and_rate_and_shows_the_cursor_again() -> None:
    console = terminal()
    with progress_bar("cells [raw]", console=console) as show:
        for done in range(0, 11):
            show(done * 10**9, 10**10)
    shown = text(console)
    for part in ("cells [raw]", "10.0/10.0 GB", "GB/s", HIDE):
        assert part in shown
    assert shown.rindex(SHOW) > shown.rindex(HIDE)


@pytest.mark.usefixtures("at_once")
def test_nothing_is_drawn_where_the_stream_is_no_terminal() -> None:
    console = Console(file=io.StringIO())
    with progress_bar("cells", console=console) as show:
        show(1, 2)
    assert text(console) == ""


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_goes_through_and_leaves_the_cursor_visible(error: type[BaseException]) -> None:
    console = terminal()
    with pytest.raises(error), progress_bar("cells", console=console) as show:
        show(1, 2)
        raise error
    shown = text(console)
    assert shown.rindex(SHOW) > shown.rindex(HIDE)


@pytest.mark.usefixtures("at_once")
def test_a_bar_starts_no_thread_and_handles_no_signal() -> None:
    threads, handler = threading.active_count(), signal.getsignal(signal.SIGINT)
    with progress_bar("cells", console=terminal()) as show:
        show(1, 2)
        assert threading.active_count() == threads
        assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("at_once")
def test_the_callback_is_what_progress_wants() -> None:
    console = terminal()
    pixels = np.ones((300, 400), "uint16")
    with progress_bar("cells", console=console) as show:
        omexp.create_ome_zarr_from_array({}, pixels, xy_pixelsize=1, chunks=64, progress=show)
    assert "240.0/240.0 kB" in text(console)
