"""Models are loaded once per worker process, whatever the number of threads and bundles in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.RLock()
_loaded: dict[Hashable, Any] = {}


def load_once(key: Hashable, loader: Callable[[], T]) -> T:
    """The object of `key`, made by `loader` at the first call in this process."""
    with _lock:
        if key not in _loaded:
            _loaded[key] = loader()
        value: T = _loaded[key]
        return value


def forget() -> None:
    """Drops all models (a process that runs several stages one after another)."""
    with _lock:
        _loaded.clear()
