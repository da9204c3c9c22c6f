"""Settings that all programs of a step are given, as far as they have them."""

from __future__ import annotations

THRESHOLD = 0.5
"""Least score of the best language: CCNet's, and our default."""
NGRAM, BANDS, ROWS = 5, 14, 8
"""Of MinHash: words in an n-gram, bands, and positions in a band; datatrove's defaults."""
C4 = {"min_words": 5, "min_sentences": 3, "max_word_chars": 1000}
"""As C4's published code has them, and our defaults."""
