"""Leases in etcd: keys that go with their lease when it runs out; epochs that Postgres remembers and judges.

    <prefix>/holders/<id>     a holder, for as long as it is heard of
    <prefix>/leases/<name>    who has it; the epoch is `base` + the revision at which the key was created
    <prefix>/base             set once for a cluster, to the greatest epoch that Postgres knows

    take      a transaction that creates the key if there is none; then the fence in Postgres is raised to the epoch; only then it is ours
    renew     a new lease of etcd, onto which a transaction moves all keys that are still ours
    release   a transaction that deletes the key if its value is ours, which is unlike any other

Why no keepalives: they are answered by whoever believes to be the leader, from its memory, without asking the others. Granting and moving
go through Raft, so what was renewed runs out, by whatever leader's clock, no earlier than its time after we asked.

What a lease that has run out may still do. Until somebody else has it, a write under it harms nobody; our own clock refuses it all the same.
Once somebody else has it, the fence is raised, which waits for every guarded transaction to end; from then on Postgres refuses it. So writes
of two holders never interleave, whatever clocks, freezes and cuts do. A cluster that lost its memory gives out epochs that
Postgres knows to be old: then `base` is raised, and the lease taken anew. etcd shows no beacons: the lease of a killed holder
is free when its time is over, and so every lease here is as good as one on the outside.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost, LeaseRow
from domain.ports import Holder
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.wire import (
    Answer,
    Json,
    Kept,
    absent,
    delete,
    equals,
    if_then,
    nested,
    present,
    put,
    read,
    unchanged,
)
from infrastructure.postgres import fences
from infrastructure.postgres.database import Connection
from infrastructure.postgres.fences import Fences

GIVING_BACK_S = 2.0
AT_ONCE = 64  # a transaction of etcd has at most 128 operations
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    return time.clock_gettime(_CLOCK)


@dataclass(slots=True, kw_only=True)
class _Key:
    """A key of ours: no other has its value. `changed`: when we last wrote it; `until`: ours at least so long, by our clock."""

    key: str
    value: bytes
    changed: int
    until: float
    time: timedelta


@dataclass(slots=True, kw_only=True)
class _Member:
    """A holder of this process."""

    name: str
    key: _Key
    lock: threading.Lock = field(default_factory=threading.Lock)


class EtcdLeases:
    """`domain.lease.LeaseTable`. Thread-safe."""

    def __init__(self, client: Etcd, fences: Fences, *, clock: Callable[[], float] = steady) -> None:
        self._client = client
        self._fences = fences
        self._clock = clock
        self._base_key = client.key("base")
        self._members: dict[int, _Member] = {}
        self._grants: dict[Grant, _Key] = {}
        self._ends: dict[int, datetime] = {}

    def enter(self, name: str, time: timedelta) -> Holder:
        """See `domain.lease.LeaseTable.enter`."""
        asked_at = self._clock()
        lease = self._client.grant(_seconds(time))
        key, value = self._client.key("holders", f"{lease:x}"), json.dumps({"name": name}).encode()
        done = self._client.transact([absent(key)], [put(key, value, lease=lease)], [read(key)])
        changed = _written(done, key, value)
        if changed is None:
            raise StoreUnavailable("the holder was not registered")
        mine = _Key(key=key, value=value, changed=changed, until=asked_at + time.total_seconds(), time=time)
        self._members[lease] = _Member(name=name, key=mine)
        return Holder(id=lease, epoch=changed)

    def take(self, name: str, holder: Holder, time: timedelta, *, outside: bool = False) -> Grant | None:
        """See `domain.lease.LeaseTable.take`."""
        member = self._members.get(holder.id)
        if member is None:
            raise StoreUnavailable("this holder is none any more")
        key, asked_at = self._key_of(name), self._clock()
        found = self._client.transact([], [read(key), read(self._base_key)])
        if any(kept.key == key for kept in found.kept):
            return None
        base = self._base(found)
        told = {"holder": member.name, "outside": outside, "since": found.at.isoformat(), "base": base}
        value = json.dumps({**told, "nonce": uuid4().hex}).encode()
        changed = self._create(member, key, value, base, time)
        if changed is None:
            return None
        grant = Grant(name=name, holder=holder.id, epoch=base + changed)
        mine = _Key(key=key, value=value, changed=changed, until=asked_at + time.total_seconds(), time=time)
        return grant if self._fenced(grant, mine) else None

    def renew(self, holder: Holder, time: timedelta) -> frozenset[int] | None:
        """See `domain.lease.LeaseTable.renew`."""
        member = self._members.get(holder.id)
        if member is None:
            return None
        with member.lock:
            held = {grant: key for grant, key in self._grants.copy().items() if grant.holder == holder.id}
            kept = self._move([member.key, *held.values()], time)
        if member.key.key not in kept:
            self.forget(holder)
            return None
        for grant, key in held.items():
            if key.key not in kept:
                self._grants.pop(grant, None)
        return frozenset(grant.epoch for grant, key in held.items() if key.key in kept)

    def is_lit(self, holder: Holder) -> bool:
        """See `domain.lease.LeaseTable.is_lit`; there is no beacon, but a time after which nobody believes us."""
        member = self._members.get(holder.id)
        return member is not None and self._clock() < member.key.until

    def guard(self, transaction: Connection, grant: Grant) -> None:
        """See `domain.lease.LeaseTable.guard`; the transaction is a connection to Postgres with one open."""
        key = self._grants.get(grant)
        if key is None or grant.holder not in self._members or self._clock() >= key.until:
            raise LeaseLost(grant.name, grant.epoch)
        fences.guard(transaction, grant, key.time)

    def release(self, grant: Grant) -> bool:
        """See `domain.lease.LeaseTable.release`."""
        key = self._grants.pop(grant, None)
        return key is not None and self._clock() < key.until and self._delete(key)

    def leave(self, holder: Holder) -> None:
        """See `domain.lease.LeaseTable.leave`."""
        member = self._members.get(holder.id)
        mine = [grant for grant in self._grants.copy() if grant.holder == holder.id]
        try:
            if member is not None:
                keys = [member.key, *(self._grants.pop(grant) for grant in mine)]
                for start in range(0, len(keys), AT_ONCE):
                    parts = [nested(_delete_if_ours(key)) for key in keys[start : start + AT_ONCE]]
                    self._client.transact([], parts, deadline_s=GIVING_BACK_S)
        finally:
            self.forget(holder)

    def forget(self, holder: Holder) -> None:
        """See `domain.lease.LeaseTable.forget`."""
        self._members.pop(holder.id, None)
        for grant in [grant for grant in self._grants.copy() if grant.holder == holder.id]:
            self._grants.pop(grant, None)

    def rows(self) -> Sequence[LeaseRow]:
        """See `domain.lease.LeaseTable.rows`. What has run out is not there any more."""
        found = self._client.below(self._key_of(""))
        leases = {kept.lease for kept in found.kept}
        self._ends = {lease: self._ends.get(lease) or self._end_of(lease, found.at) for lease in leases}
        return [self._row(kept, self._ends[kept.lease]) for kept in found.kept]

    def _create(self, member: _Member, key: str, value: bytes, base: int, time: timedelta) -> int | None:
        """The revision at which the key came to be ours, with a lease of etcd to itself: it is to last its full time from now."""
        lease = self._client.grant(_seconds(time))
        conditions = [absent(key), present(member.key.key), equals(self._base_key, str(base).encode())]
        done = self._client.transact(conditions, [put(key, value, lease=lease)], [read(key)])
        return _written(done, key, value)

    def _fenced(self, grant: Grant, key: _Key) -> bool:
        """Ours from now on, for Postgres as well; else it is given back."""
        self._grants[grant] = key
        try:
            raised = self._fences.raise_to(grant.name, grant.epoch)
        except BaseException:
            self.release(grant)
            raise
        if raised is not True and self.release(grant) and raised is False:
            self._raise_base()
        return raised is True

    def _base(self, found: Answer) -> int:
        for kept in found.kept:
            return int(kept.value)
        value = str(self._fences.greatest()).encode()
        made = self._client.transact([absent(self._base_key)], [put(self._base_key, value)], [read(self._base_key)])
        return int(next((kept.value for kept in made.kept), value))

    def _raise_base(self) -> None:
        """The key was ours, and yet a greater epoch was given out before: this cluster has forgotten it."""
        greatest = self._fences.greatest()
        for kept in self._client.get(self._base_key).kept:
            if int(kept.value) < greatest:
                ours = put(self._base_key, str(greatest).encode())
                self._client.transact([unchanged(self._base_key, kept.changed)], [ours])

    def _move(self, keys: Sequence[_Key], time: timedelta) -> set[str]:
        """Put all that are still ours on a new lease; which these are. Once more for those that an answer that was lost had moved."""
        asked_at, deadline_s = self._clock(), time.total_seconds() / 2
        lease = self._client.grant(_seconds(time), deadline_s=deadline_s)
        kept: set[str] = set()
        for _ in range(2):
            todo = [key for key in keys if key.key not in kept]
            for start in range(0, len(todo), AT_ONCE):
                batch = todo[start : start + AT_ONCE]
                parts = [nested(_move_if_ours(key, lease)) for key in batch]
                done = self._client.transact([], parts, deadline_s=deadline_s)
                kept |= {key.key for key, part in zip(batch, done.parts, strict=True) if _moved(key, part, done)}
        for key in keys:
            if key.key in kept:
                key.until, key.time = asked_at + time.total_seconds(), time
        return kept

    def _delete(self, key: _Key) -> bool:
        """Soon or not at all: it runs out anyway, and whoever stops may have many to give back."""
        ours, then = [equals(key.key, key.value)], [delete(key.key)]
        done = self._client.transact(ours, then, deadline_s=GIVING_BACK_S)
        return done.held or (done.again and self._clock() < key.until)  # an earlier attempt must have done it

    def _key_of(self, name: str) -> str:
        return self._client.key("leases", name)

    def _end_of(self, lease: int, at: datetime) -> datetime:
        """Asked once for each: nobody renews a lease of etcd, and whoever shares out work looks at the rows twice a second."""
        return at + timedelta(seconds=self._client.left_s(lease))

    def _row(self, kept: Kept, expires_at: datetime) -> LeaseRow:
        told = json.loads(kept.value)
        return LeaseRow(
            name=kept.key.removeprefix(self._key_of("")),
            holder=told["holder"],
            epoch=told["base"] + kept.created,
            since=datetime.fromisoformat(told["since"]),
            expires_at=expires_at,
            outside=told["outside"],
            beacon=None,
            held=True,
        )


def _seconds(time: timedelta) -> int:
    """What etcd counts in; it makes it two at least."""
    return math.ceil(time.total_seconds())


def _written(done: Answer, key: str, value: bytes) -> int | None:
    """The revision at which our value was written, by this attempt or by an earlier one; None if it was not."""
    if done.held:
        return done.revision
    return next((kept.changed for kept in done.kept if (kept.key, kept.value) == (key, value)), None)


def _moved(key: _Key, part: Answer, done: Answer) -> bool:
    """Also learns when a key that is ours was written, if we did not know."""
    found = next((kept.changed for kept in part.kept if kept.value == key.value), key.changed)
    key.changed = done.revision if part.held else found
    return part.held


def _move_if_ours(key: _Key, lease: int) -> Json:
    """Not if it was written since: a late double of an earlier renewal must not move it back."""
    ours = [unchanged(key.key, key.changed), equals(key.key, key.value)]
    return if_then(ours, [put(key.key, key.value, lease=lease)], [read(key.key)])


def _delete_if_ours(key: _Key) -> Json:
    return if_then([equals(key.key, key.value)], [delete(key.key)])
