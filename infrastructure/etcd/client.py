"""Keys, transactions, leases and watches of etcd, as far as we need them. Reads are linearizable: they never tell the past."""

from collections.abc import Iterator, Sequence

from infrastructure.etcd.address import Access
from infrastructure.etcd.transport import Refused, Transport
from infrastructure.etcd.wire import Answer, Json, Reply, answer, end_of, number, text

NOT_FOUND = 5
DEADLINE_S = 5.0


class Etcd:
    """A client of one cluster. Thread-safe. Every call has a deadline and may raise `StoreUnavailable` or `Misconfigured`."""

    def __init__(self, access: Access, *, deadline_s: float = DEADLINE_S) -> None:
        self.prefix = access.prefix
        self.deadline_s = deadline_s
        self._transport = Transport(access)

    def key(self, *parts: str) -> str:
        """A key of ours."""
        return "/".join((self.prefix, *parts))

    def get(self, key: str) -> Answer:
        """The key, if there is one."""
        return self._range({"key": text(key)})

    def below(self, prefix: str, *, limit: int = 0, newest_before: str | None = None) -> Answer:
        """Keys that begin with the prefix, in order; with `newest_before` the last of those before that key, the last one first."""
        wanted: Json = {"key": text(prefix), "range_end": end_of(prefix), "limit": str(limit)}
        if newest_before is not None:
            wanted |= {"range_end": text(newest_before), "sort_order": "DESCEND", "sort_target": "KEY"}
        return self._range(wanted)

    def transact(
        self,
        compare: Sequence[Json],
        then: Sequence[Json],
        otherwise: Sequence[Json] = (),
        *,
        deadline_s: float | None = None,
    ) -> Answer:
        """All of `then` if the comparison holds, else all of `otherwise`. May be sent twice: see `transport`."""
        body = {"compare": list(compare), "success": list(then), "failure": list(otherwise)}
        return answer(self._call("/v3/kv/txn", body, deadline_s))

    def grant(self, seconds: int, *, deadline_s: float | None = None) -> int:
        """A lease that runs out after so many seconds."""
        reply = self._call("/v3/lease/grant", {"TTL": str(seconds)}, deadline_s)
        return number(reply.found, "ID")

    def revoke(self, lease: int) -> None:
        """End a lease now, and all keys with it."""
        try:
            self._call("/v3/lease/revoke", {"ID": str(lease)})
        except Refused as refused:
            if refused.code != NOT_FOUND:
                raise

    def left_s(self, lease: int) -> int:
        """Seconds until it runs out; 0 if it has."""
        reply = self._call("/v3/lease/timetolive", {"ID": str(lease)})
        return max(0, number(reply.found, "TTL"))

    def status(self) -> Json:
        """What the member that answers says of itself, from its own memory: also one that has no majority."""
        return self._call("/v3/maintenance/status", {}).found

    def alarms(self) -> Sequence[str]:
        """What the cluster complains of, such as NOSPACE. Asks the majority."""
        found = self._call("/v3/maintenance/alarm", {"action": "GET"}).found
        return sorted({str(one["alarm"]) for one in found.get("alarms", ())})

    def changes(self, key: str, after: int, *, silence_s: float) -> Iterator[int]:
        """The revision of each change of the key after a revision, as they come.

        Ends when nothing was heard for so long, when the member goes away or has forgotten that revision: then read, and watch again.
        """
        wanted = {"create_request": {"key": text(key), "start_revision": str(after + 1)}}
        for found in self._transport.stream("/v3/watch", wanted, silence_s=silence_s):
            result = found.get("result", {})
            if "error" in found or result.get("canceled"):
                return
            if result.get("events"):
                yield number(result.get("header", {}), "revision")

    def close(self) -> None:
        self._transport.close()

    def _range(self, wanted: Json) -> Answer:
        return answer(self._call("/v3/kv/range", wanted))

    def _call(self, path: str, body: Json, deadline_s: float | None = None) -> Reply:
        return self._transport.call(path, body, deadline_s=min(deadline_s or self.deadline_s, self.deadline_s))
