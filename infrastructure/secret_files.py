"""Secrets that lie in files, as container engines and secret managers hand them over, and that may change while we run.

A `FileText` is the text that its file had when the settings were read; everybody may use it as such. Whoever is about to connect asks
`current` first, so a password that was changed in the file is used from the next connection on, without a restart. A file that is
just being replaced, or is gone, or is empty, says nothing new: the last text that was read is used, and the server will judge it.
"""

from pathlib import Path
from typing import Self

from domain.errors import Misconfigured

LARGEST = 65_536

_latest: dict[Path, "FileText"] = {}


class FileText(str):
    """What a file said; it knows which file."""

    __slots__ = ("path",)

    path: Path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Without the line break at its end, which editors leave. Raises `Misconfigured`, and repeats nothing of the content."""
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST + 1).decode()
        except UnicodeDecodeError:
            raise Misconfigured(f"{path}: holds no text") from None
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}") from None
        found = cls(text.removesuffix("\n").removesuffix("\r"))
        found.path = path
        if not found or len(text) > LARGEST or not found.isprintable():
            raise Misconfigured(f"{path}: should hold one line and nothing else")
        return found


def current(text: str) -> str:
    """What the file says now, or said last if it says nothing fit; the text itself if it is from no file."""
    if not isinstance(text, FileText):
        return text
    try:
        now = _latest[text.path] = FileText.read(text.path)
    except Misconfigured:
        return _latest.get(text.path, text)
    return now
