"""The settings of this installation that change while it runs: where they are, and following them."""

from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from hashlib import sha256
from operator import attrgetter
from uuid import uuid4

from domain.configuration import Revision, SettingsStore
from domain.errors import CommandRefused, StoreUnavailable
from infrastructure.kept_settings import KeptSettings
from infrastructure.live_settings import Effective, accepted, effective
from infrastructure.postgres.settings_store import PostgresSettings, place
from workers.announce import Announce
from workers.bootstrap.coordination import etcd_place, etcd_settings, settings_store
from workers.bootstrap.foundation import Foundation
from workers.live import Live
from workers.live_changes import LiveChanges


class Living(Foundation):
    """For whatever goes by settings that may change."""

    _live: Live | None = None

    def settings_store(self) -> SettingsStore:
        """Where they are."""
        self.migrated()
        store = settings_store(self.settings, self.direct())
        self.opened.callback(store.close)
        return store

    def live(self) -> Live:
        """What holds now, followed until everything is closed."""
        if self._live is None:
            self._live = Live(self.settings_store(), self.effective, self.kept_settings())
            self.opened.callback(self._live.stop)
            self._live.start()
        return self._live

    def in_force(self) -> Effective:
        """What the fleet goes by, for a command that is soon over: looked at once, and neither followed nor kept."""
        seen = [Revision(), self.kept_settings().load() or Revision()]
        with suppress(StoreUnavailable):
            seen.append(self.settings_store().read())
        for revision in sorted(seen, key=attrgetter("version"), reverse=True):
            with suppress(CommandRefused):
                return self.effective(revision)
        raise AssertionError("what a process was told at its start is always understood")

    def live_changes(self) -> LiveChanges:
        """The same for people, who change them."""
        return LiveChanges(self.settings_store(), partial(accepted, self.settings))

    def restore_settings(self, *, who: str, why: str) -> Revision:
        """Put in force again what this host has kept and a cluster of etcd has lost. Raises `CommandRefused`."""
        if self.settings.coordination_url is None:
            raise CommandRefused("PostgreSQL notices by itself that it was set back, and goes on beyond what was seen")
        kept = self.kept_settings().load()
        if kept is None:
            raise CommandRefused("no settings are kept on this host (data_dir)")
        with closing(etcd_settings(self.settings)) as store:
            return store.restore(kept, who=who, why=why, request=uuid4().hex)

    def settings_followers(self) -> Mapping[int, int]:
        """How many processes know which version; etcd sees only watches, so there nobody can tell."""
        if self.settings.coordination_url is not None:
            return {}
        with closing(PostgresSettings(self.direct())) as store:
            return store.followers()

    def effective(self, revision: Revision) -> Effective:
        """What a revision comes to in this process. Raises `CommandRefused`."""
        return effective(self.settings, revision)

    def kept_settings(self) -> KeptSettings:
        """The last good ones on this host; what is kept of one store says nothing about another."""
        name = sha256(self._store_name().encode()).hexdigest()[:12]
        return KeptSettings(self.settings.data_dir / f"settings-{name}.json")

    def _store_name(self) -> str:
        """The same however the way there is written: it must be found again after a password or TLS has changed."""
        if self.settings.coordination_url is not None:
            return etcd_place(self.settings)
        if self.settings.database_url is None:
            return "embedded"
        return place(self.direct())

    def announce_unpaused(self) -> Announce:
        """Announces nothing of a step that is paused: its rows wait, and the relay announces them afterwards."""
        announce, live = self.announce(), self.live()

        def unpaused(pairs: Iterable[tuple[str, str]]) -> None:
            paused = live.now().paused
            announce([pair for pair in pairs if pair[0] not in paused])

        return unpaused
