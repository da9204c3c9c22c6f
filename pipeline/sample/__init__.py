"""The embedded sample: raw dumps in their true formats, made on the spot, with planted traps.

`build` writes them and a key file; `caught` compares the key with what a run left. No text of
others is part of this project. Most English pages are the documentation of the Python installation
and of installed packages under permissive licences (see `pipeline.sample.documentation`): taken
from the machine at hand, kept under the work folder only, under the licence of their package. The
texts in 20 languages and their sentence frames were written for this project.
"""

from __future__ import annotations

from pipeline.sample.build import SampleInfo, build
from pipeline.sample.caught import TrapResult, caught
from pipeline.sample.traps import Key, Must, Trap, read_key

__all__ = ["Key", "Must", "SampleInfo", "Trap", "TrapResult", "build", "caught", "read_key"]
