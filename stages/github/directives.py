"""Comments that tools read: encoding lines, editor modes, linters, compilers, build systems.

They stay whatever stands around them. Told by the first words of a line of a comment.
"""

from __future__ import annotations

import re

_DIRECTIVE = re.compile(
    r"""(?xi)
    (?:.*[ \t])?-\*- | (?:.*[ \t])?(?:vim?|ex):.*(?:[ \t:](?:se|set)[ \t]|=)
    | .*\b(?:en)?coding[ \t]*[:=]
    | go:\w | \+\w+[:=] | \+build\b | no-?lint\w* | nosonar\b | line\b[ ]\S+:\d
    | !?preview\b | \#?(?:end)?region\b
    | (?:es|js|ts|css|style|sass|html|swift|markdown|yaml|ansible|deno|sql|scala|oxlint|selene)
      -?(?:lint|hint|fluff)\b
    | jscs: | globals?[ ]+[\w$] | istanbul | prettier | biome-ignore | webpack | [cv]8[ ]
    | @(?:no)?flow\b | @ts-\w | @jsx | @jest | @vitest | @format\b | @cc_on | @typedef | @type\b
    | @providesmodule | @define | @suppress | @dart[ ]?= | @diagnostic\b | @meta\b
    | ignore(?:_for)?_file: | luacheck: | selene: | stylua:
    | (?:pylint|flake8|mypy|isort|pyright|ruff|fmt|yapf|pytype|rubocop|typed|cython|distutils|black
      |pyre|bandit|pydocstyle|rustfmt|hadolint|checkov|tflint|trivy|kics|codespell|cspell)[ -]?
      (?::|ignore|scan|strict|disable)
    | no[ ]?qa\b | nosec\b | type:[ ]*ignore | pragma[:] | doctest: | ///
    | python_argcomplete_ok\b | sourcery[ ] | spell-?checker:
    | (?:frozen_string_literal|warn_indent|warn_past_scope|shareable_constant_value)[ ]*:
    | clang-(?:format|tidy) | iwyu | cppcheck | lint[ ]-
    | shellcheck\b | yaml-language-server | (?:syntax|escape|check)= | compdef\b | autoload\b
    | requires[ ]-\w | !?tex[ ]+\w+[ ]*= | arara: | local[ ]variables: | mode:
    | swift-tools-version | ktlint | detekt | language= | \$schema
    | <?reference[ ]+(?:path|types|lib)\b | <?amd- | [@\#][ ]?source(?:mapping)?url
    """
)
# Cells of notebooks as scripts; `%%` alone opens comments of Erlang and TeX.
_CELL = re.compile(r"[\s\ufeff]*(?:#|//|--)[ \t]*%%")
_WORDS_JUDGED = 200


def is_directive(raw: str, words: str, decoration: str) -> bool:
    """`raw`: a line of a comment; `words`: without the comment's mark; `decoration`: characters
    that may stand around them, which some directives begin with themselves."""
    head = words.strip()[:_WORDS_JUDGED]
    return bool(
        _DIRECTIVE.match(head)
        or _DIRECTIVE.match(head.strip(decoration))
        or _CELL.match(raw[:_WORDS_JUDGED])
    )
