"""The comparison with other projects: that both sides read the same, and that failures are told."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks import data
from benchmarks.measure import Cost, MeasureError
from benchmarks.peers import measuring
from benchmarks.peers.comparisons import COMPARISONS, PROGRAMS, Comparison
from benchmarks.peers.measuring import Found, Row, Side, measure
from benchmarks.peers.packages import DATATROVE, TEXT_DEDUP
from benchmarks.peers.program import Run, parse
from benchmarks.peers.report import differences, failures, markdown, page, ratios, sheet
from tests.peers import environments
from tests.peers.environments import BrokenError, Peer, UnavailableError
from tests.peers.test_tokenise import PAGES, write_wet

FILES = 2


def of(*seconds: float, out: int = 8, fixed: float = 0.5) -> Side:
    runs = [Run(Cost(s, 2 * s, 50_000_000), 10, out, 7_500_000) for s in seconds]
    return Side(runs, fixed)


def named(name: str) -> Comparison:
    (found,) = [comparison for comparison in COMPARISONS if comparison.name == name]
    return found


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> data.RawData:
    """Two files of which the second repeats the first, and so all its texts."""
    root = tmp_path_factory.mktemp("pages")
    for name in range(FILES):
        write_wet(root / "wet" / f"{name}.warc.wet.gz", seed=1)
    return data.find(root / "wet", root / "raw")


@pytest.mark.slow
@pytest.mark.parametrize("peer", [DATATROVE, TEXT_DEDUP], ids=lambda peer: peer.name)
def test_both_sides_find_the_same_duplicates(peer: Peer, raw: data.RawData, tmp_path: Path) -> None:
    try:
        environments.install(peer)
    except UnavailableError as error:
        pytest.skip(str(error))
    alone = replace(named("document_dedup"), differs={peer: "Not at all."})
    found = measure(raw, tmp_path, 1, FILES, [alone], say=lambda _: None)
    (row,) = found.rows
    assert row.error == "" and row.version in peer.packages[0]
    ours, theirs = row.ours.runs[0], row.theirs.runs[0]
    assert ours.work == theirs.work
    assert (ours.documents_in, ours.documents_out) == (FILES * PAGES, PAGES)
    assert theirs.cost.cpu_s > 0 and row.theirs.fixed > 0 and row.ours.fixed > 0
    assert f"| {peer.name} {row.version} |" in markdown(found)


def test_what_a_peer_cannot_do_is_told_and_stops_nobody(
    raw: data.RawData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(peer: Peer, module: str, name: str, options: str, **_: object) -> str:
        asked.append(peer.name)
        assert module == PROGRAMS[peer.name] and Path(json.loads(options)["documents"]).is_dir()
        if peer is DATATROVE:
            raise BrokenError("datatrove failed:\nTraceback\nKeyError: 'url'\n")
        answer = Run(Cost(1.0, 1.0, 1), 7, 7, 7)
        return f"told\n{json.dumps({'version': '9', 'run': asdict(answer)})}\n"

    monkeypatch.setattr(environments, "run", run)
    found = measure(raw, tmp_path, 2, 1, [named("document_dedup")], say=lambda _: None)
    errors = {row.peer: row.error for row in found.rows}
    assert errors == {
        "datatrove": "KeyError: 'url'",
        "text-dedup": f"it read 7 documents, the stage {PAGES}",
    }
    # Two small runs and a large one of the second; nobody is asked again.
    assert asked == ["datatrove", *["text-dedup"] * 3]
    assert len(found.rows[0].ours.runs) == 2
    assert sheet(found).rows == () and "KeyError: 'url'." in markdown(found)


def test_a_peer_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> str:
        raise UnavailableError("datatrove cannot be installed: no index")

    monkeypatch.setattr(environments, "run", run)
    row = Row("URL dedup", "url_dedup", "datatrove", "", of(1.0))
    nothing = measuring.Input((), "nowhere")
    measuring._add(row, named("url_dedup"), DATATROVE, nothing, nothing, Path("nowhere"))
    assert row.error == "datatrove cannot be installed: no index"


def test_a_run_that_does_other_work_is_refused() -> None:
    side = of(1.0)
    side.add(of(2.0).runs[0])
    with pytest.raises(MeasureError, match="different work"):
        side.add(of(1.0, out=9).runs[0])


def test_the_run_is_read_from_the_last_line() -> None:
    run = of(1.5).runs[0]
    printed = "Filter: 100%\n" + json.dumps({"version": "0.1", "run": asdict(run)})
    assert parse(printed) == ("0.1", run)
    with pytest.raises(ValueError):
        parse("no JSON")


def test_the_table_tells_rates_ratios_and_who_is_missing() -> None:
    done = Row(
        "Lines", "line_dedup", "peer", "Keeps more.", of(1.0, 2.0), of(4.0, 6.0), 8_000_000, "1.2"
    )
    row = Row("URLs", "url_dedup", "peer", "", of(1.0), error="no index is reached")
    found = Found("Data: pages", 2, 200_000_000, (done, row))
    assert ratios(done, fixed=True) == [4.0, 3.0]
    assert ratios(done, fixed=False) == [3.5 / 0.5, 5.5 / 1.5]
    done.ours.fixed = 0.95
    assert ratios(done, fixed=False) == []
    assert sheet(found).rows == (
        (
            "Lines",
            "peer 1.2",
            "10",
            "8, 8",
            "7.50, 7.50",
            "6.00 (4.00-8.00)",
            "1.67 (1.33-2.00)",
            "3.50 (3.00-4.00)",
            "-",
            "0.95, 0.50",
            "50, 50",
        ),
    )
    assert differences(found) == ["Lines (`line_dedup`), peer: Keeps more."]
    assert failures(found) == ["URLs (`url_dedup`), peer: no index is reached."]
    told = page(found, "Two cores.")
    assert "Two cores." in told and "- URLs (`url_dedup`), peer: no index is reached." in told


def test_every_comparison_has_a_program_and_says_how_it_differs() -> None:
    # The modules' names only: what they import lies in other environments.
    for comparison in COMPARISONS:
        for peer, differs in comparison.differs.items():
            source = Path(environments.REPO, *PROGRAMS[peer.name].split(".")).with_suffix(".py")
            assert f'"{comparison.name}": ' in source.read_text() and differs.endswith(".")
