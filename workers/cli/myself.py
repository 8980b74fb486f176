"""How this program was called, so that the commands it prints can be pasted."""

import os
import shlex
import sys
from pathlib import Path
from shutil import which


def program() -> str:
    """`orderwright` where that is this very program, else the way to it."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return f"{_near(sys.executable)} -m workers"
    found = which("orderwright")
    return "orderwright" if found and Path(found).samefile(name) else _near(str(name))


def _near(path: str) -> str:
    relative = os.path.relpath(path)
    return shlex.quote(path if relative.startswith("..") else relative)
