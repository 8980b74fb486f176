"""The last known good settings on disk."""

import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from domain.configuration import Revision
from infrastructure.kept_settings import KeptSettings

VERSIONS = 40


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    kept = Revision(version=3, values={"paused": ["label"]})
    KeptSettings(tmp_path / "new" / "settings.json").save(kept)
    assert KeptSettings(tmp_path / "new" / "settings.json").load() == kept


def test_at_first_there_is_nothing(tmp_path: Path) -> None:
    assert KeptSettings(tmp_path / "settings.json").load() is None
    assert list(tmp_path.iterdir()) == []


def test_a_newer_version_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    KeptSettings(path).save(Revision(version=3, values={"batch": 3}))
    KeptSettings(path).save(Revision(version=2, values={"batch": 2}))
    assert KeptSettings(path).load() == Revision(version=3, values={"batch": 3})


def test_of_many_at_once_the_newest_stays_and_nobody_reads_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    KeptSettings(path).save(Revision(version=1, values={"batch": 1}))
    read: list[Revision | None] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            read.append(KeptSettings(path).load())

    looking = threading.Thread(target=look)
    looking.start()
    writers = [
        threading.Thread(target=KeptSettings(path).save, args=[Revision(version=one, values={"batch": one})])
        for one in range(2, VERSIONS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)
    over.set()
    looking.join(10)
    versions = [one.version for one in read if one is not None and one.values == {"batch": one.version}]
    assert len(versions) == len(read)
    assert versions == sorted(versions)
    assert KeptSettings(path).load() == Revision(version=VERSIONS - 1, values={"batch": VERSIONS - 1})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "x", "values": {}}', '{"version": 1}', "\xff"])
def test_a_damaged_file_is_said_and_not_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text, encoding="latin-1")
    with capture_logs() as logs:
        assert KeptSettings(tmp_path / "settings.json").load() is None
    assert [log["log_level"] for log in logs] == ["warning"]


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{", encoding="utf-8")
    KeptSettings(tmp_path / "settings.json").save(Revision(version=1, values={}))
    assert KeptSettings(tmp_path / "settings.json").load() == Revision(version=1, values={})


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with capture_logs() as logs:
        KeptSettings(tmp_path / "file" / "settings.json").save(Revision(version=1, values={}))
    assert [log["log_level"] for log in logs] == ["warning"]
