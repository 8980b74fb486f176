"""The way in: a client, or a clear word about the package that is missing."""

from typing import TYPE_CHECKING

from domain.errors import Misconfigured
from infrastructure.etcd.address import Access
from infrastructure.plain import warn_of

if TYPE_CHECKING:
    from infrastructure.etcd.client import Etcd


def connect(access: Access) -> "Etcd":
    """A client; nothing is sent yet. Says so, loudly, if other machines are to be reached in the open. Raises `Misconfigured` where urllib3 is not installed."""
    try:
        from infrastructure.etcd.client import Etcd
    except ModuleNotFoundError as error:
        raise Misconfigured(f"coordination_url needs {error.name}: pip install 'orderwright[etcd]'") from None
    if not access.tls:
        warn_of("coordination_url", (endpoint.host for endpoint in access.endpoints), "use etcds:// and etcd_ca")
    return Etcd(access)
