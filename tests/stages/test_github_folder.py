"""Folders of checked-out repositories: what is in them, whatever its name and kind."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.run import run_step
from stages.engine.step import InputError
from stages.github.listing import below, name_problem, printable_name
from stages.github.stage import Github
from tests.stages.github_exports import CODE, Export, blob, run, step, tree

MIT = "SPDX-License-Identifier: MIT\n"


def code(n: int) -> str:
    return f"VALUE = {n}\n\n\n{CODE}"


def test_a_folder_of_repositories(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "in",
        {
            "jane/a/LICENSE": MIT,
            "jane/a/src/a.py": code(1),
            "jane/a/old.py": "# ä\n".encode("cp1252") + code(2).encode(),
            "jane/a/wide.py": code(3).encode("utf-16"),
            "jane/a/logo.py": b"\0\1\2",
            "jane/a/large.py": "x = 1\n" * 1000,
            "jane/gpl/COPYING": "GNU GENERAL PUBLIC LICENSE\n Version 3",
            "jane/gpl/a.py": code(4),
            "jane/none/a.py": code(5),
            "jane/stray.py": code(6),
            "zoe/copy/LICENSE.md": "Apache License\nVersion 2.0",
            "zoe/copy/b.py": code(1),
        },
    )
    options: dict[str, Any] = {"format": "folder", "max_file_bytes": 4000}
    result = run(step(root, tmp_path / "out", **options))
    texts = {d["title"]: d["text"] for d in result.documents}
    assert texts == {"src/a.py": code(1), "old.py": "# ä\n" + code(2), "wide.py": code(3)}
    document = result.document(blob(code(1)))
    assert (document["license"], document["url"]) == (
        "mit",
        "https://github.com/jane/a/blob/HEAD/src/a.py",
    )
    reasons = sorted(
        (r["reason"], r["origin"].removeprefix(str(root)).removesuffix("#0"))
        for r in result.rejected
    )
    assert reasons == [
        ("binary", "/jane/a/logo.py"),
        ("duplicate_content", "/zoe/copy/b.py"),
        ("license", "/jane/gpl/COPYING"),
        ("license", "/jane/gpl/a.py"),
        ("license_text", "/jane/a/LICENSE"),
        ("license_text", "/zoe/copy/LICENSE.md"),
        ("no_license", "/jane/none/a.py"),
        ("too_large", "/jane/a/large.py"),
    ]
    assert [(b["file"], b["error"]) for b in result.bad] == [
        (f"{root}/jane/stray.py", "path: not inside a repository")
    ]
    small = run(step(root, tmp_path / "small", {"bundle_bytes": 0}, **options))
    key = lambda d: (d["id"], d["text"], d["url"], d["license"])  # noqa: E731
    assert sorted(map(key, small.documents)) == sorted(map(key, result.documents))


def test_a_folder_of_repositories_without_owners(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"tool/LICENSE": MIT, "tool/a.py": CODE})
    result = run(step(root, tmp_path / "out", format="folder", repository_depth=1))
    (document,) = result.documents
    assert document["url"] is None
    assert json.loads(document["meta"])["repository"] == "tool"


def test_links_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    secret = tree(tmp_path / "outside", {"secret.py": code(9)})
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    os.symlink(secret / "secret.py", root / "a/b/link.py")
    os.symlink(secret, root / "a/b/folder")
    os.symlink("nowhere.py", root / "a/b/dangling.py")
    result = run(step(root, tmp_path / "out", format="folder"))
    assert [d["title"] for d in result.documents] == ["a.py"]
    assert {r["reason"] for r in result.rejected} == {"symlink", "license_text"}
    assert len(result.rejected) >= 3


def test_fifos_of_a_folder_are_not_opened(tmp_path: Path) -> None:
    # Opening one would wait for a writer for ever.
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    pipes = [root / "a/b/COPYING", root / "a/b/pipe.py"]
    for pipe in pipes:
        os.mkfifo(pipe)
    result = run(step(root, tmp_path / "out", format="folder"))
    assert [d["title"] for d in result.documents] == ["a.py"]
    error = "file: neither a file nor a link"
    assert [(b["file"], b["error"]) for b in result.bad] == [(str(p), error) for p in pipes]


def test_a_folder_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="not a folder of repositories"):
        Github(step(path, tmp_path / "out", format="folder")).units()


# -- hostile folders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown", "error"),
    [
        (b"caf\xe9.py", "caf\\xe9.py", "name: not UTF-8"),
        (b"\xff\xfe", "\\xff\\xfe", "name: not UTF-8"),
        (b"two\nlines.py", "two\\u000alines.py", "name: has control characters"),
        (b"red\x1b[31m.py", "red\\u001b[31m.py", "name: has control characters"),
        ("a\u2028b.py".encode(), "a\\u2028b.py", "name: has control characters"),
    ],
)
def test_a_name_that_cannot_be_written_is_one_bad_record_and_the_rest_goes_on(
    tmp_path: Path, name: bytes, shown: str, error: str
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE, "a/b/z.py": code(1)})
    (Path(os.fsdecode(os.fsencode(root / "a/b") + b"/" + name))).write_text("x = 1\n")
    work = step(root, tmp_path / "out", {"bundle_bytes": 0})
    result = run(work)
    assert {d["title"] for d in result.documents} == {"a.py", "z.py"}
    assert [(b["file"], b["error"]) for b in result.bad] == [(f"{root}/a/b/{shown}", error)]
    json.dumps([u.to_json() for u in Github(work).units()]).encode()  # as it travels to workers


def test_a_folder_whose_name_is_no_text_costs_a_bad_record_a_file(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    inner = Path(os.fsdecode(os.fsencode(root / "a/b") + b"/\xff"))
    tree(inner, {"one.py": code(1), "two.py": code(2)})
    result = run(step(root, tmp_path / "out"))
    assert [d["title"] for d in result.documents] == ["a.py"]
    assert [b["file"].removeprefix(f"{root}/a/b/") for b in result.bad] == [
        "\\xff/one.py",
        "\\xff/two.py",
    ]


def test_a_folder_of_nothing_but_bad_names_is_read_to_its_end(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"a/b/.git/HEAD": "ref"})
    for i in range(3):
        Path(os.fsdecode(os.fsencode(root / "a/b") + b"/\xff%d" % i)).write_text("x")
    result = run(step(root, tmp_path / "out", {"bundle_bytes": 1024}))
    assert (len(result.bad), result.documents) == (3, [])


def test_loops_and_links_to_everything_are_not_walked(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE, "a/b/sub/b.py": code(1)})
    os.symlink(root / "a", root / "a/b/sub/up")
    os.symlink("loop.py", root / "a/b/loop.py")
    os.symlink("/", root / "a/b/everything")
    os.symlink("/", root / "a/elsewhere")
    result = run(step(root, tmp_path / "out"))
    assert {d["title"] for d in result.documents} == {"a.py", "sub/b.py"}
    links = {r["origin"] for r in result.rejected if r["reason"] == "symlink"}
    assert links == {f"{root}/a/b/{name}#0" for name in ("sub/up", "loop.py", "everything")}
    # A repository that is a link itself.
    assert [(b["file"], b["error"]) for b in result.bad] == [
        (f"{root}/a/elsewhere", "path: not inside a repository")
    ]


def test_sockets_and_devices_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    monkeypatch.chdir(root / "a/b")  # names of sockets are short
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket.py")
    expected = ["socket.py"]
    try:
        os.mknod("zero.py", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        expected.append("zero.py")
    except OSError:
        pass  # only root makes devices, and not everywhere
    result = run(step(root, tmp_path / "out"))
    listener.close()
    assert [d["title"] for d in result.documents] == ["a.py"]
    assert [(b["file"], b["error"]) for b in result.bad] == [
        (f"{root}/a/b/{name}", "file: neither a file nor a link") for name in expected
    ]


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, ending: str) -> None:
    """Files with this ending cannot be opened, also by root."""
    opened = files.open_read

    def open_read(path: str) -> Any:
        if path.endswith(ending):
            raise OSError(number, os.strerror(number), path)
        return opened(path)

    monkeypatch.setattr(files, "open_read", open_read)


def test_a_file_that_may_not_be_read_is_a_bad_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE, "a/b/shut.py": code(1)})
    refuse(monkeypatch, errno.EACCES, "shut.py")
    result = run(step(root, tmp_path / "out"))
    assert [d["title"] for d in result.documents] == ["a.py"]
    assert [(b["file"], b["error"]) for b in result.bad] == [
        (f"{root}/a/b/shut.py", "unreadable: Permission denied")
    ]


def test_an_error_of_the_machine_is_none_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    refuse(monkeypatch, errno.EIO, "a.py")
    with pytest.raises(OSError, match="Input/output error"):
        run(step(root, tmp_path / "out"))


def test_a_licence_file_that_may_not_be_read_counts_as_another_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/COPYING": "?", "a/b/a.py": CODE})
    refuse(monkeypatch, errno.EACCES, "COPYING")
    result = run(step(root, tmp_path / "out"))
    assert result.reasons()[blob(CODE)] == "license"


def test_a_folder_that_may_not_be_read_is_a_bad_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE, "a/b/shut/c.py": code(1)})
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("/shut"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = run(step(root, tmp_path / "out"))
    assert [d["title"] for d in result.documents] == ["a.py"]
    assert [(b["file"], b["error"]) for b in result.bad] == [
        (f"{root}/a/b/shut", "folder: Permission denied")
    ]


def test_folders_deeper_than_any_path_end_in_a_bad_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    monkeypatch.chdir(root / "a/b")
    for _ in range(60):  # 6,000 characters, where Linux allows 4,096
        os.mkdir("d" * 100)
        os.chdir("d" * 100)
    Path("deep.py").write_text(code(1))
    deep = tree(root / "a/b" / "/".join(["e"] * 300), {"b.py": code(2)})
    result = run(step(root, tmp_path / "out"))
    assert {d["title"] for d in result.documents} == {"a.py", f"{'e/' * 300}b.py"}
    assert deep.is_dir()
    (bad,) = result.bad
    assert bad["error"].startswith(("folder: ", "unreadable: "))
    assert len(bad["file"]) > 4000


def test_empty_files_fill_units_too(tmp_path: Path) -> None:
    names = {f"a/b/{i}.py": "" for i in range(30)}
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, **names})
    work = step(root, tmp_path / "out", {"bundle_bytes": 10 * 1024})
    assert [len(u.pieces) for u in Github(work).units()] == [10, 10, 10, 1]
    result = run(work)
    reasons = [r["reason"] for r in result.rejected]
    assert sorted(set(reasons)) == ["duplicate_content", "empty", "license_text"]
    assert len(reasons) == 31


def test_a_file_that_becomes_a_fifo_after_it_was_listed_is_not_opened(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    stage = Github(step(root, tmp_path / "out"))
    (unit,) = stage.units()
    (root / "a/b/a.py").unlink()
    os.mkfifo(root / "a/b/a.py")
    stage.emit(unit, Reporter(None))  # opening it would wait for ever


def test_names_made_printable() -> None:
    assert printable_name("plain ä 日本.py") == "plain ä 日本.py"
    assert printable_name("\udcff\ud800\n") == "\\xff\\ud800\\u000a"
    assert name_problem("a/b") == "" and name_problem("a\tb")


def test_what_is_hidden_is_left_out(tmp_path: Path) -> None:
    given = {".git/HEAD": "x", "a/.hidden": "x", "a/_SUCCESS": "x", "a/_a.py": "x", "b": "x"}
    root = tree(tmp_path, given)
    assert [e.path.removeprefix(f"{root}/") for e in below(str(root))] == ["a/_a.py", "b"]


def test_a_whole_run_over_a_hostile_folder_ends_well(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"a/b/LICENSE": MIT, "a/b/a.py": CODE})
    Path(os.fsdecode(os.fsencode(root / "a/b") + b"/\xff.py")).write_text("x")
    os.symlink("/", root / "a/b/everything")
    os.symlink("loop.py", root / "a/b/loop.py")
    os.mkfifo(root / "a/b/pipe")
    work = step(root, tmp_path / "out")
    done = run_step(work)
    assert (done.manifest.counts.documents_out, done.manifest.counts.bad) == (1, 2)
    assert run_step(work).skipped
    (root / "a/b/a.py").write_text(code(1))
    assert not run_step(work).skipped


# -- which format it is ---------------------------------------------------------------------------


def test_the_format_is_told_by_the_tables_or_the_repositories(tmp_path: Path) -> None:
    export = Export()
    key = export.add("a/b", "a.py")
    folder = export.write(tmp_path / "export")
    assert run(step(folder, tmp_path / "e")).document(key)
    for name, mark in (("licence", "COPYING"), ("git", ".git/HEAD")):
        # Names of tables inside a repository are no tables.
        inside = {"a/b/files/files.json": "{}", f"a/b/{mark}": MIT, "licenses/b/x.py": CODE}
        root = tree(tmp_path / name, {**inside, "files/x/y.py": CODE, "contents/x/y.py": CODE})
        units = Github(step(root, tmp_path / "out")).units()
        assert {u.extra["table"] for u in units} == {"folder"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a/readme.md": "hello"}, "(found: none); folders <owner>/<name>/ with .git or a licence"),
        ({"files-0.json": "{}", "licenses.json": "{}"}, "(found: files, licenses)"),
        ({"b/LICENSE": MIT, "b/a.py": CODE}, "(there are some with repository_depth: 1)"),
        ({"x.json": '{"repo_name": "a/b", "license": "mit"}'}, "(found: licenses)"),
    ],
)
def test_what_is_neither_is_refused_with_what_was_looked_for(
    tmp_path: Path, given: dict[str, str | bytes], said: str
) -> None:
    root = tree(tmp_path / "in", given)
    with pytest.raises(InputError) as caught:
        Github(step(root, tmp_path / "out")).units()
    message = str(caught.value)
    assert f"{root} is neither an export nor repositories" in message
    assert "the tables licenses, files, contents" in message
    assert said in message and "\n" not in message and "Set `format`" in message


def test_a_given_format_is_not_doubted(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"a/b/a.py": CODE})
    result = run(step(root, tmp_path / "out", format="folder"))
    assert result.reasons() == {blob(CODE): "no_license"}
