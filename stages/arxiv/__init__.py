"""arXiv's bulk source archives to documents: LaTeX with the authors' macros expanded in place."""

from stages.arxiv.paper import Paper, read_paper
from stages.arxiv.reader import FAULTS, REASONS, ArxivReader
from stages.arxiv.settings import ArxivSettings

__all__ = ["FAULTS", "REASONS", "ArxivReader", "ArxivSettings", "Paper", "read_paper"]
