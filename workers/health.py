"""Is this process alive, and is it ready: a small file that a role's own loop keeps, and the question about it.

Containers are asked by a command every few seconds, so the question must cost next to nothing: it reads one file, connects to
nothing and imports the standard library only. The file is written by the loop that does the work, at most once a second, and by no
thread that would live on while the loop hangs. It holds two times of the machine's monotonic clock, which nobody can set and which
all processes of a machine share: when the loop last turned, and when it last reached what it needs; and how old each may be, because
the role knows that and the question has no settings to read.

    live    the loop turns. A database or a broker that is away does not end it: a restart would mend nothing.
    ready   it has reached what it needs (the database; intake and keeper: the broker, too), and it is not draining.

One folder belongs to one process. Its file is gone when the process ends in an orderly way.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

VARIABLE = "ORDERWRIGHT_RUNTIME_DIR"
SUFFIX = ".heartbeat"
USAGE = f"health: say `live` or `ready`, and name the folder of the heartbeat in {VARIABLE} or with --runtime-dir"
WRITE_EVERY_S = 1.0
READY_S = 15.0


class Pulse(Protocol):
    """What a role's loop tells about itself."""

    def beat(self, *, reached: bool, at: float | None = None) -> None:
        """The loop turned; `reached`: and had what it needs. `at`: another part of the role turned no later than then."""


class Silent:
    """Nobody asks."""

    def beat(self, *, reached: bool, at: float | None = None) -> None:
        pass

    def drain(self) -> None:
        pass

    def close(self) -> None:
        pass


class Heartbeat:
    """Beaten by the thread of the loop; `drain` is for any thread."""

    def __init__(self, folder: Path, role: str, *, live_s: float, ready_s: float = READY_S) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{role}{SUFFIX}"
        self._path.unlink(missing_ok=True)
        self._limits = f"{live_s:.0f} {ready_s:.0f}"
        self._clock: Callable[[], float] = time.monotonic
        self._reached: float | None = None
        self._was_reached = False
        self._draining = False
        self._write_at = float("-inf")

    def beat(self, *, reached: bool, at: float | None = None) -> None:
        """Write it down if that was not done just now; a change of mind at once. A full disk is no reason to stop working."""
        now = self._clock()
        turned = now if at is None else min(at, now)
        reached = reached and not self._draining
        if reached:
            self._reached = turned
        if now >= self._write_at or reached != self._was_reached:
            self._write_at, self._was_reached = now + WRITE_EVERY_S, reached
            self._write(turned)

    def drain(self) -> None:
        """From now on not ready, whatever is reached."""
        self._draining, self._reached = True, None
        self._write(self._clock())

    def close(self) -> None:
        """The role has ended."""
        self._path.unlink(missing_ok=True)

    def _write(self, turned: float) -> None:
        reached = "-" if self._reached is None else f"{self._reached:.3f}"
        draft = self._path.with_suffix(".part")
        try:
            draft.write_text(f"{os.getpid()} {turned:.3f} {reached} {self._limits}\n", encoding="ascii")
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """`health live|ready [--runtime-dir FOLDER]`: 0 yes, 1 no, 2 it was asked in a wrong way. One sentence either way."""
    question, folder = _asked(list(arguments), environment)
    if not question or not folder:
        sys.stderr.write(f"orderwright: {USAGE}\n")
        return 2
    answers = [judge(path, question, time.monotonic()) for path in sorted(Path(folder).glob(f"*{SUFFIX}"))]
    answers = answers or [(False, f"no role has begun to turn, or it has ended: {folder} holds no heartbeat")]
    good = all(answer for answer, _ in answers)
    (sys.stdout if good else sys.stderr).write("\n".join(sentence for _, sentence in answers) + "\n")
    return 0 if good else 1


def _asked(words: list[str], environment: Mapping[str, str]) -> tuple[str, str]:
    folder = environment.get(VARIABLE, "")
    if len(words) == 3 and words[1] == "--runtime-dir":
        folder, words = words[2], words[:1]
    return (words[0], folder) if words in (["live"], ["ready"]) else ("", "")


def judge(path: Path, question: str, now: float) -> tuple[bool, str]:
    """The answer of one role, and a sentence about it."""
    role = path.name.removesuffix(SUFFIX)
    try:
        pid, turned, reached, live_s, ready_s = path.read_text(encoding="ascii").split()
        age_s = now - float(turned)
        unseen_s = None if reached == "-" else now - float(reached)
        limits = float(live_s), float(ready_s)
    except (OSError, ValueError):
        return False, f"{role}: the heartbeat cannot be read"
    if not 0 <= age_s <= limits[0]:
        since = (
            f"has not turned for {age_s:.0f} s (at most {limits[0]:.0f})" if age_s > 0 else "is from before a restart"
        )
        return False, f"{role} (pid {pid}) {since}"
    if question == "live":
        return True, f"{role} (pid {pid}) turned {age_s:.1f} s ago"
    if unseen_s is None:
        return False, f"{role} (pid {pid}) is not ready: it has not begun, or it is ending"
    if unseen_s > limits[1]:
        return False, f"{role} (pid {pid}) has not reached what it needs for {unseen_s:.0f} s (at most {limits[1]:.0f})"
    return True, f"{role} (pid {pid}) reached what it needs {unseen_s:.1f} s ago"
