"""A seeded bug as text: exact replacements, applied to a copy of the packages. Text that is gone or stands twice is an error, never a miss."""

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "infrastructure", "workers", "migrations")


class Gone(Exception):
    """The product has changed, so the bug must be seeded anew: its text is not there, or not only once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In the file at `path`, `old` becomes `new`, in each of the `times` places where it stands."""

    path: str
    old: str
    new: str
    times: int = 1

    def apply(self, text: str) -> str:
        found = text.count(self.old)
        if found != self.times:
            raise Gone(f"{self.path}: stands there {found} times, not {self.times}: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`run` exposes the bug, and the checker finds one of `caught_by` broken."""

    name: str
    bug: str
    run: str
    caught_by: frozenset[str]
    edits: tuple[Edit, ...]

    def texts(self, root: Path = ROOT) -> dict[Path, str]:
        """The changed files, by their path below the root. Raises `Gone`."""
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = Path(edit.path)
            texts[path] = edit.apply(texts.get(path) or (root / path).read_text(encoding="utf-8"))
        return texts


def copy_packages(folder: Path, changed: dict[Path, str]) -> Path:
    """All packages in a folder, some files changed."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in changed.items():
        (folder / path).write_text(text, encoding="utf-8")
    return folder
