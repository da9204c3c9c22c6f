from __future__ import annotations

import hashlib
import io
import random
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kenlm
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.language_model import kenlm_tools
from stages.language_model.kenlm_tools import (
    BOOST_PACKAGES,
    Tools,
    ToolsMissingError,
    build_tools,
    cache_folder,
    find_tools,
    unpack,
)
from stages.language_model.sample import LineSample
from stages.language_model.settings import LanguageModelSettings
from stages.language_model.train import (
    ModelInfo,
    TooLittleText,
    TrainingError,
    _cut,
    model_paths,
    train_language_model,
)

SMALL = LanguageModelSettings(min_bytes=1000, memory="64M", vocabulary=2000)


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return find_tools()
    except ToolsMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Sentences of an invented language, with enough repetition to learn something from."""
    choose = random.Random(3)
    words = ["".join(choose.choices(["ba", "ko", "ri", "tú", "ne"], k=3)) for _ in range(200)]
    return [
        "\n".join(" ".join(choose.choices(words, k=12)).capitalize() + "." for _ in range(5))
        for _ in range(150)
    ]


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in model_paths(folder, "xx")]


def test_models_are_made_under_ccnets_names_and_described(
    tools: Tools, texts: list[str], tmp_path: Path
) -> None:
    info = train_language_model(texts, "xx", tmp_path, SMALL, tools)
    assert isinstance(info, ModelInfo)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["xx.arpa.bin", "xx.sp.model"]
    assert [info.sentencepiece_sha256, info.kenlm_sha256] == digests(tmp_path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "xx.sp.model"))
    assert info.vocabulary == processor.get_piece_size()
    assert info.documents == info.documents_seen == 150
    assert info.bytes == sum(len(t.encode()) - t.count("ú") for t in texts)
    model = kenlm.Model(str(tmp_path / "xx.arpa.bin"))
    assert model.order == 5
    seen = " ".join(processor.encode(texts[0].lower().replace("ú", "u"), out_type=str))
    mixed = seen.split(" ")
    random.Random(1).shuffle(mixed)
    assert model.score(seen) > model.score(" ".join(mixed))


def test_vocabulary_that_the_text_cannot_fill_is_told(
    tools: Tools, texts: list[str], tmp_path: Path
) -> None:
    wanted = SMALL.model_copy(update={"vocabulary": 65_536})
    info = train_language_model(texts, "xx", tmp_path, wanted, tools)
    assert isinstance(info, ModelInfo)
    assert info.vocabulary_wanted == 65_536
    assert 100 < info.vocabulary < 65_536


def test_same_texts_in_any_order_and_folder_give_the_same_bytes(
    tools: Tools, texts: list[str], tmp_path: Path
) -> None:
    first = train_language_model(texts, "xx", tmp_path / "a", SMALL, tools)
    second = train_language_model(reversed(texts), "xx", tmp_path / "b", SMALL, tools)
    assert first == second
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_trie_scores_as_probing_does_in_less_space(
    tools: Tools, texts: list[str], tmp_path: Path
) -> None:
    trie = SMALL.model_copy(update={"structure": "trie"})
    probing = train_language_model(texts, "xx", tmp_path / "p", SMALL, tools)
    small = train_language_model(texts, "xx", tmp_path / "t", trie, tools)
    assert isinstance(probing, ModelInfo) and isinstance(small, ModelInfo)
    assert small.kenlm_bytes < probing.kenlm_bytes
    line = "▁ba ko ri ▁ne"
    scores = [kenlm.Model(str(tmp_path / k / "xx.arpa.bin")).score(line) for k in "pt"]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize("texts", [[], ["", "\n \n"], ["too short"]])
def test_too_little_text_is_a_result_not_a_crash(texts: list[str], tmp_path: Path) -> None:
    result = train_language_model(texts, "xx", tmp_path, SMALL)
    assert isinstance(result, TooLittleText)
    assert result.bytes < result.min_bytes == 1000
    assert list(tmp_path.iterdir()) == []
    nothing = SMALL.model_copy(update={"min_bytes": 0})
    if not "".join(texts).strip():
        assert isinstance(train_language_model(texts, "xx", tmp_path, nothing), TooLittleText)


def test_symbols_and_broken_characters_in_the_text_do_no_harm(
    tools: Tools, texts: list[str], tmp_path: Path
) -> None:
    odd = ["<s> </s> <unk> <s>", "\ud800 alone", "x" * 20_000, "漢<s>字 " * 50]
    assert isinstance(train_language_model(texts + odd, "xx", tmp_path, SMALL, tools), ModelInfo)


def test_what_a_failing_program_said_is_shown(texts: list[str], tmp_path: Path) -> None:
    program = tmp_path / "lmplz"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match=r"lmplz ended with 3: out of luck"):
        train_language_model(texts, "xx", out, SMALL, Tools(program, program))
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("language", ["", "../en", "en/x", "a.b"])
def test_language_codes_cannot_leave_the_folder(language: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="language code"):
        train_language_model(["text"], language, tmp_path, SMALL)


def test_head_chars_reads_openings_only(tmp_path: Path) -> None:
    head = LanguageModelSettings(head_chars=4, min_bytes=10**6)
    result = train_language_model(["abcdefgh", "ab"], "xx", tmp_path, head)
    assert isinstance(result, TooLittleText) and result.bytes == 6


lines = st.lists(st.text(alphabet="abé ", min_size=1, max_size=6), max_size=25)


def sampled(lines: list[str], max_lines: int, max_bytes: int) -> list[str]:
    sample = LineSample(io.BytesIO(), max_lines, max_bytes, seed=5)
    for line in lines:
        sample.add(line)
    kept = list(sample)
    assert len(sample) == len(kept) and sample.bytes == sum(len(k.encode()) for k in kept)
    assert sample.lines_seen == len(lines)
    return kept


@settings(max_examples=80, deadline=None)
@given(lines, st.integers(1, 12), st.integers(1, 60), st.randoms(use_true_random=False))
def test_sample_is_bounded_and_blind_to_order(
    lines: list[str], max_lines: int, max_bytes: int, rng: random.Random
) -> None:
    kept = sampled(lines, max_lines, max_bytes)
    assert len(kept) <= max_lines and sum(len(k.encode()) for k in kept) <= max_bytes
    shuffled = lines[:]
    rng.shuffle(shuffled)
    assert sampled(shuffled, max_lines, max_bytes) == kept
    assert sorted(sampled(lines, 10**6, 10**6)) == sorted(lines)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab 漢", max_size=20), st.integers(0, 800))
def test_long_lines_are_cut_to_what_sentencepiece_reads(unit: str, times: int) -> None:
    line = unit * times
    parts = list(_cut(line))
    assert "".join(parts) == line
    assert all(len(part.encode()) <= 4192 for part in parts)


def executable(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_tools_come_from_the_named_folder_the_cache_or_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CORPUS_KENLM_BIN", raising=False)
    monkeypatch.setenv("LLAMA_CORPUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(ToolsMissingError, match=r"python -m stages\.language_model\.kenlm_tools"):
        find_tools()
    on_path = executable(tmp_path / "path", "lmplz", "build_binary")
    assert find_tools().lmplz == on_path / "lmplz"
    cached = executable(cache_folder(), "lmplz", "build_binary")
    assert cached.parent == tmp_path / "cache"
    assert find_tools() == Tools(cached / "lmplz", cached / "build_binary")
    own = executable(tmp_path / "own", "lmplz")
    monkeypatch.setenv("LLAMA_CORPUS_KENLM_BIN", str(own))
    with pytest.raises(ToolsMissingError, match="own does not hold"):
        find_tools()
    executable(own, "build_binary")
    assert find_tools().build_binary == own / "build_binary"


def test_cache_follows_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA_CORPUS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder().parent == Path("/x/llama-corpus")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parent == Path.home() / ".cache" / "llama-corpus"


def test_concurrent_builds_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[Path] = []

    def fake_compile(source: Path, build: Path, install_packages: bool) -> Path:
        builds.append(build)
        return executable(build / "bin", "lmplz", "build_binary")

    monkeypatch.setenv("LLAMA_CORPUS_CACHE", str(tmp_path))
    monkeypatch.setattr(kenlm_tools, "_download", lambda scratch: scratch)
    monkeypatch.setattr(kenlm_tools, "_compile", fake_compile)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: build_tools(), range(4)))
    assert len(builds) == 1 and len(set(found)) == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [cache_folder().name, cache_folder().name + ".lock"]


def test_failed_build_leaves_nothing_and_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLAMA_CORPUS_CACHE", str(tmp_path))
    monkeypatch.setattr(kenlm_tools, "_download", lambda scratch: scratch)
    monkeypatch.setattr(kenlm_tools, "_install_packages", lambda packages: False)
    monkeypatch.setattr(kenlm_tools, "_configure", lambda source, build: False)
    assert kenlm_tools.main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(name in said for name in BOOST_PACKAGES)
    monkeypatch.setattr(kenlm_tools.shutil, "which", lambda name: None)
    assert kenlm_tools.main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cmake" in said and BOOST_PACKAGES[0] in said
    assert not cache_folder().exists()


def test_archive_members_cannot_leave_the_folder(tmp_path: Path) -> None:
    archive = tmp_path / "kenlm-0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("../outside")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"bad"))
    with pytest.raises(ToolsMissingError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "in")
    assert not (tmp_path / "outside").exists()
