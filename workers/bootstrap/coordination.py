"""Where leases and live settings are, and in etcd's case how to get there: Postgres, or etcd if a `coordination_url` is set."""

from contextlib import closing
from typing import TYPE_CHECKING

from domain.configuration import SettingsStore
from domain.lease import LeaseTable
from infrastructure.cluster import Cluster, Going
from infrastructure.postgres.leases import PostgresLeases
from infrastructure.postgres.settings_store import PostgresSettings
from infrastructure.settings import Settings

if TYPE_CHECKING:
    from contextlib import ExitStack

    from infrastructure.etcd.address import Access
    from infrastructure.etcd.client import Etcd
    from infrastructure.etcd.settings_store import EtcdSettings


def lease_table(settings: Settings, direct: str, opened: "ExitStack") -> LeaseTable:
    """The table of leases of this installation. What it opens is put on `opened`."""
    if settings.coordination_url is None:
        return PostgresLeases(direct)
    client = etcd(settings)
    opened.callback(client.close)
    from infrastructure.etcd.leases import EtcdLeases
    from infrastructure.postgres.fences import Fences

    return EtcdLeases(client, Fences(direct))


def settings_store(settings: Settings, direct: str) -> SettingsStore:
    """Where the settings are that change while the program runs; whoever asks for it closes it."""
    if settings.coordination_url is None:
        return PostgresSettings(direct)
    return etcd_settings(settings)


def etcd_settings(settings: Settings) -> "EtcdSettings":
    """The settings in etcd; whoever asks for them closes them."""
    client = etcd(settings)
    from infrastructure.etcd.settings_store import EtcdSettings

    return EtcdSettings(client)


def etcd_place(settings: Settings) -> str:
    """Which keys of which members are meant, whatever the order of the members and with TLS or without."""
    from infrastructure.etcd.address import read_url

    endpoints, _ = read_url(settings.coordination_url or "")
    return f"{','.join(sorted(map(str, endpoints)))}/{settings.etcd_prefix}"


def etcd_cluster(settings: Settings) -> Cluster | None:
    """How the cluster is; None if the settings name none. Raises `Misconfigured`."""
    if settings.coordination_url is None:
        return None
    etcd(settings).close()  # says what is missing or dangerous
    from infrastructure.etcd.condition import examine

    return examine(_access(settings))


def epochs_going(settings: Settings, direct: str) -> Going | None:
    """Where the epochs of leases go on; None if the settings name no cluster. Reads only."""
    if settings.coordination_url is None:
        return None
    with closing(etcd(settings)) as client:
        from infrastructure.etcd.condition import reached
        from infrastructure.postgres.fences import Fences

        fenced = Fences(direct).highest()  # before the cluster is asked: what is given out meanwhile is no trouble
        return Going(reached=reached(client), fenced=fenced)


def etcd(settings: Settings) -> "Etcd":
    """A client of the cluster that the settings name. Raises `Misconfigured`."""
    from infrastructure.etcd.opening import connect

    return connect(_access(settings))


def _access(settings: Settings) -> "Access":
    from infrastructure.etcd.address import access

    password = settings.etcd_password
    return access(
        settings.coordination_url or "",
        prefix=settings.etcd_prefix,
        ca=settings.etcd_ca,
        cert=settings.etcd_cert,
        key=settings.etcd_key,
        user=settings.etcd_user,
        password=password.get_secret_value() if password else None,
    )
