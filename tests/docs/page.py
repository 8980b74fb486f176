"""A page of the documentation as its tests need it: its blocks, and a shell in which a newcomer types them."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Page:
    """One file, by its path from the root of the project."""

    def __init__(self, path: str) -> None:
        self.text = (ROOT / path).read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """What stands in fenced blocks of this language."""
        return re.findall(rf"```{language}\n(.*?)```", self.text, re.DOTALL)


def type_in(
    script: str, folder: Path, *, within_s: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder where `orderwright` is this checkout's; fails the test unless everything went well."""
    shim = folder / "bin" / "orderwright"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers "$@"\n')
    shim.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f"set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{script}"],
        cwd=folder,
        env={
            "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "NO_COLOR": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert "Traceback" not in done.stderr
    return done
