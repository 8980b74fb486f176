"""`amqps://`: the broker must show a certificate of the right authority, for the host in the URL. There is no way to say "never mind".

The files are read at every connection, so a certificate that is renewed on disk needs no restart.
"""

import ssl
from urllib.parse import urlsplit

from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.untyped import Untyped


class Untrusted(ConnectionError):
    """Whoever listens there could not prove to be our broker; nothing was told to it."""


def tls_options(settings: BrokerSettings, url: str) -> dict[str, Untyped]:
    """What py-amqp is told. It checks the host name if, and only if, it is given one."""
    return {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": urlsplit(url).hostname,
        "ca_certs": None if settings.ca is None else str(settings.ca),
        "certfile": None if settings.certificate is None else str(settings.certificate),
        "keyfile": None if settings.key is None else str(settings.key),
    }


def place_of(url: str) -> str:
    """Host and port, without the password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def said_clearly(error: ssl.SSLError, url: str) -> Untrusted:
    """What a person can act on, for what TLS says in its own words."""
    place = place_of(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(
            f"{place} is not our broker: {error.verify_message}. broker_ca names the authority to be trusted"
        )
    return Untrusted(
        f"{place}: no TLS connection ({error.reason}): is it the TLS port, and does it ask for broker_cert?"
    )
