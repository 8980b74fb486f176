"""What only a reading of every event can show: that each can be read back, that streams have no holes, that books agree."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from domain.errors import OrderwrightError, Poison
from workers.bootstrap import Runtime
from workers.doctor.findings import Finding
from workers.reconcile import compare_goods

PAGE = 1000
Progress = Callable[[int, int], object]


def examine(runtime: Runtime, on_progress: Progress) -> Iterator[Finding]:
    """Every event, every stream, every reservation, every row of the read models."""
    unreadable = _first_unreadable(runtime, on_progress)
    if unreadable is not None:
        yield unreadable
        return
    yield Finding(check="events", state="ok", why="every event can be read back", promise="P4")
    yield _streams(runtime)
    yield _tracking(runtime.diagnosis().shared_tracking())
    yield _goods(runtime, on_progress)
    yield _read_models(runtime, on_progress)


def _first_unreadable(runtime: Runtime, on_progress: Progress) -> Finding | None:
    store, position = runtime.store(), 0
    mark = store.low_water_mark()
    while position < mark:
        try:
            page = store.read_all(after=position, up_to=mark, limit=PAGE)
        except Poison as error:
            return _unreadable(runtime, position, error)
        if not page:
            return None
        position = page[-1].position
        on_progress(position, mark)
    return None


def _unreadable(runtime: Runtime, position: int, error: OrderwrightError) -> Finding:
    """Which event of the page it is."""
    store = runtime.store()
    try:
        while page := store.read_all(after=position, limit=1):
            position = page[-1].position
    except Poison as damage:
        error = damage
    return Finding(
        check="events",
        state="fail",
        why=f"the first event after position {position} cannot be read: {error}",
        fix="restore that row from a backup, or run the version that wrote it",
        promise="P4",
    )


def _streams(runtime: Runtime) -> Finding:
    broken = runtime.diagnosis().broken_streams()
    if broken:
        why = f"versions are missing or doubled in {', '.join(broken)}"
        fix = "somebody wrote to the events table by hand: restore it from a backup"
        return Finding(check="streams", state="fail", why=why, fix=fix, promise="P15")
    return Finding(check="streams", state="ok", why="every stream is numbered without a hole", promise="P15")


def _tracking(shared: Mapping[str, Sequence[str]]) -> Finding:
    """Carriers use numbers again after months, so a number that comes twice is a question and not an error in itself."""
    if shared:
        number, parcels = next(iter(shared.items()))
        why = f"the carrier gave out {number} for {' and '.join(parcels)}"
        fix = f"orderwright orders hold {parcels[-1].partition('+')[0]}, and ask the carrier whose parcel it is"
        return Finding(check="tracking numbers", state="warn", why=why, fix=fix)
    return Finding(check="tracking numbers", state="ok", why="every parcel has its own")


def _goods(runtime: Runtime, on_progress: Progress) -> Finding:
    found = compare_goods(runtime.store(), on_progress=on_progress)
    if found:
        why = f"{len(found)} differences, the first: {found[0].kind} {found[0].subject}"
        return Finding(check="stock", state="fail", why=why, fix="orderwright reconcile", promise="P11")
    return Finding(check="stock", state="ok", why="every allocation has its parcel", promise="P11")


def _read_models(runtime: Runtime, on_progress: Progress) -> Finding:
    found = runtime.projections().verify(on_progress=on_progress)
    if found:
        names = ", ".join(sorted({one.projection for one in found}))
        fix = f"orderwright replay {names.replace(',', '')}"
        return Finding(check="read models", state="fail", why=f"rows differ in {names}", fix=fix, promise="P19")
    return Finding(check="read models", state="ok", why="every row is what the events say", promise="P19")
