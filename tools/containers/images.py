"""Images without a registry: a Debian root by debootstrap, and on it stand-ins that are called like the official images.

They keep the official images' contract as far as compose and testcontainers use it, and nothing more. What is proved with them is
proved about our files and programs, not about the official images.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BASE = "orderwright-test/debian:12"
STAND_INS = {
    "python": "python:3.11-slim",
    "postgres": "postgres:15",
    "rabbitmq": "rabbitmq:3.10",
    "etcd": "orderwright-etcd",  # no stand-in: the one that compose builds
}
BUILD_S = 1200


def mirror() -> str:
    """Where this machine has Debian's own packages from."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for place in (place for place in places if place.is_file()):
        found = re.search(
            r"^(?:URIs:|deb(?: \[.*?\])?) *(https?://\S+/debian/?)(?:\s|$)", place.read_text(), re.MULTILINE
        )
        if found:
            return found[1]
    raise SystemExit("containers: no mirror of Debian in /etc/apt")


def make_base(folder: Path, environment: Mapping[str, str]) -> None:
    """A small Debian as an image."""
    root = folder / "root"
    if not (root / "etc" / "debian_version").exists():
        _run(["debootstrap", "--variant=minbase", "bookworm", str(root), mirror()], environment)
    for trash in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(root / trash, ignore_errors=True)
    for wanted in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (root / wanted).mkdir(parents=True)
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(
            ["docker", "import", "-", BASE],
            stdin=packed.stdout,
            env=environment,
            check=True,
            timeout=BUILD_S,
            stdout=subprocess.DEVNULL,
        )


def make_stand_ins(environment: Mapping[str, str]) -> None:
    """Those that our files name."""
    for name, tag in STAND_INS.items():
        _run(
            [
                "docker",
                "build",
                "-q",
                "--network",
                "host",
                "--build-arg",
                f"BASE={BASE}",
                "-t",
                tag,
                str(ROOT / "deploy" / "compose" / name if name == "etcd" else HERE / "images" / name),
            ],
            environment,
        )


def fetch_wheels(python: str, environment: Mapping[str, str]) -> None:
    """What the image is made of, by the index that pip uses on this machine; the build itself has no network."""
    lock = ROOT / "requirements" / "image.lock"
    command = [python, "-m", "pip", "download", "-q", "--require-hashes", "--only-binary", ":all:"]
    _run([*command, "-r", str(lock), "-d", str(ROOT / "build" / "wheels")], environment)


def make_ours(environment: Mapping[str, str]) -> None:
    """The product's image, without a network."""
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    command = ["docker", "build", "-q", "--network", "none", "--build-arg", "PIP_NO_INDEX=1"]
    _run([*command, "--build-arg", f"REVISION={revision or 'unknown'}", "-t", "orderwright", str(ROOT)], environment)


def sizes(environment: Mapping[str, str]) -> str:
    """All images with their sizes."""
    command = ["docker", "images", "--format", "{{.Size}}\t{{.Repository}}:{{.Tag}}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"containers: {' '.join(command[:3])} failed:\n{(done.stdout + done.stderr)[-3000:]}")
