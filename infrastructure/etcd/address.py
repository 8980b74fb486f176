"""What leads to a cluster: `etcd://host:port,host:port` or `etcds://...`, and who we are there."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from domain.errors import Misconfigured

SCHEMES = {"etcd": "http", "etcds": "https"}
PORT = 2379
FORM = "coordination_url: is not of the form etcd://host:port,host:port"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One member, as clients reach it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The members of one cluster and how we show who we are. `prefix` is the first part of all our keys."""

    endpoints: tuple[Endpoint, ...]
    tls: bool = False
    prefix: str = "orderwright"
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str | None = None
    password: str | None = None


def read_url(url: str) -> tuple[tuple[Endpoint, ...], bool]:
    """The members, and whether to encrypt. Raises `Misconfigured`; nothing of the URL is repeated, it may hold what it should not."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise Misconfigured("coordination_url: must begin with etcd:// or etcds://")
    endpoints = tuple(_endpoint(place) for place in rest.rstrip("/").split(","))
    if len(set(endpoints)) != len(endpoints):
        raise Misconfigured("coordination_url: names a member twice")
    return endpoints, SCHEMES[scheme] == "https"


def _endpoint(place: str) -> Endpoint:
    if "@" in place:
        raise Misconfigured("coordination_url: no user here, use etcd_user and etcd_password")
    try:
        parts = urlsplit(f"//{place.strip()}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        raise Misconfigured(FORM) from None
    if not host or parts.path or parts.query or parts.fragment or any(c.isspace() for c in host):
        raise Misconfigured(FORM)
    return Endpoint(host=host, port=port)


def access(  # noqa: PLR0913 - one for each setting
    url: str,
    *,
    prefix: str = "orderwright",
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    user: str | None = None,
    password: str | None = None,
) -> Access:
    """Put together what the settings say. Raises `Misconfigured` for what does not go together."""
    endpoints, tls = read_url(url)
    if not tls and (ca or cert or key):
        raise Misconfigured("etcd_ca, etcd_cert and etcd_key need a coordination_url that begins with etcds://")
    if (cert is None) != (key is None):
        raise Misconfigured("etcd_cert and etcd_key belong together")
    if (user is None) != (password is None):
        raise Misconfigured("etcd_user and etcd_password belong together")
    return Access(endpoints=endpoints, tls=tls, prefix=prefix, ca=ca, cert=cert, key=key, user=user, password=password)
