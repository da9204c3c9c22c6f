from collections.abc import Callable
from typing import Any

def hash_texts(
    texts: list[str], table: Any, starts: Any, pool: Any, slow: Callable[[str], int]
) -> bytes: ...
