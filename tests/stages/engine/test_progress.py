"""Live progress: what several processes append, one reads."""

from __future__ import annotations

import os
from pathlib import Path

from stages.engine.progress import Progress, Reporter


def test_progress_adds_up_finished_and_running_units(tmp_path: Path) -> None:
    path = str(tmp_path / "p")
    a, b = Reporter(path), Reporter(path)
    a.started("emit", "u1")
    b.started("emit", "u2")
    a.finished("emit", "u1", 10, 100)
    b.advanced("emit", "u2", 3, 30)
    progress = Progress()
    progress.read(path)
    assert progress.done == {"emit": 1}
    assert progress.live("emit") == (13, 130)
    assert progress.live("process") == (0, 0)
    assert list(progress.units_of(os.getpid())) == ["u2"]
    b.finished("emit", "u2", 5, 50)
    progress.read(path)
    assert progress.live("emit") == (15, 150)
    assert list(progress.units_of(os.getpid())) == []
    a.close()
    b.close()


def test_a_line_that_is_half_there_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "p"
    line = b'{"pid":1,"e":"finished","phase":"process","unit":"\xc3\xa9","documents":1,"bytes":2}\n'
    progress = Progress()
    for i in range(len(line)):
        path.write_bytes(line[: i + 1])
        progress.read(str(path))
    assert progress.done == {"process": 1}
    assert progress.live("process") == (1, 2)


def test_without_a_file_nothing_is_said_or_read(tmp_path: Path) -> None:
    quiet = Reporter(None)
    quiet.started("process", "u")
    quiet.close()
    progress = Progress()
    progress.read(str(tmp_path / "absent"))
    assert progress == Progress()
