"""GitHub: the `github_repos` export of BigQuery, or folders of repositories, to documents.

LLaMA paper, section 2.1. See docs/sources/github.md.

`remove_header` takes licence headers out of a file; `language_of` and `syntax_of` say which
language, and so which comments, a file has by its name.
"""

from stages.github.header import remove_header
from stages.github.languages import language_of
from stages.github.settings import GithubSettings
from stages.github.syntax import Syntax, syntax_of

__all__ = ["GithubSettings", "Syntax", "language_of", "remove_header", "syntax_of"]
