"""Many files replaced as if at once: new versions wait in `.purge/`, a journal says where they go.

Until the journal is there nothing was changed, and what was staged is thrown away. From then on the
files are moved to their places one by one; whoever comes next after a kill goes on with that, as
often as it takes, since a file that was moved already is not there any more.
"""

from __future__ import annotations

from typing import Any

from stages.engine import files

FOLDER = ".purge"
_JOURNAL = "journal.json"


class Staging:
    """New versions of files of a work folder, not yet in their places."""

    def __init__(self, work: str) -> None:
        self.work = work
        self._moves: list[dict[str, str]] = []
        self._removed: list[str] = []
        files.remove(files.join(work, FOLDER))
        files.make_dirs(files.join(work, FOLDER))

    def place(self, target: str) -> str:
        """Where to write the new version of `target`, a path relative to the work folder."""
        for move in self._moves:
            if move["target"] == target:
                return files.join(self.work, move["staged"])
        # The name is kept: some files hold their own.
        staged = f"{FOLDER}/{len(self._moves):06d}/{files.basename(target)}"
        self._moves.append({"staged": staged, "target": target})
        return files.join(self.work, staged)

    def beside(self, staged: str, target: str) -> None:
        """Registers a file that was written beside a staged one, under its own name."""
        folder = staged.rpartition("/")[0].removeprefix(self.work).lstrip("/")
        self._moves.append({"staged": f"{folder}/{files.basename(target)}", "target": target})

    def remove(self, target: str) -> None:
        """Has a file of the work folder removed."""
        self._removed.append(target)

    def commit(self, facts: dict[str, Any]) -> None:
        """Writes the journal: from here on the change will be carried out, whatever happens."""
        journal = {"moves": self._moves, "removed": self._removed, "facts": facts}
        files.write_json(files.join(self.work, FOLDER, _JOURNAL), journal)

    def discard(self) -> None:
        files.remove(files.join(self.work, FOLDER))


def unfinished(work: str) -> bool:
    """Whether a change was begun that is to be carried out."""
    return files.exists(files.join(work, FOLDER, _JOURNAL))


def recover(work: str) -> dict[str, Any] | None:
    """Carries out the journal, if there is one, and returns its facts; throws away what was only
    staged. The folder stays until `forget`, so that a kill is made good again."""
    folder = files.join(work, FOLDER)
    if not files.exists(folder):
        return None
    if not unfinished(work):
        files.remove(folder)
        return None
    journal = files.read_json(files.join(folder, _JOURNAL))
    for move in journal["moves"]:
        staged = files.join(work, move["staged"])
        if files.exists(staged):
            _move(staged, files.join(work, move["target"]))
    for target in journal["removed"]:
        files.remove(files.join(work, target))
    facts: dict[str, Any] = journal["facts"]
    return facts


def forget(work: str) -> None:
    """Ends a change that was carried out. The journal goes first: then it is not begun again."""
    files.remove(files.join(work, FOLDER, _JOURNAL))
    files.remove(files.join(work, FOLDER))


def _move(source: str, target: str) -> None:
    fs, inner = files.filesystem(source)
    _, place = files.filesystem(target)
    if files.is_remote(source):
        fs.copy(inner, place)
        fs.rm(inner)
        return
    import os

    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.replace(inner, place)
