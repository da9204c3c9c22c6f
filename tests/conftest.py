"""Property tests draw the same examples each time, so that what passes here passes elsewhere.

`pytest --hypothesis-profile=default` draws others at every run.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")
