"""The test authority: its certificates are taken by strict clients, and those of the impostors are not."""

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.certificates import Certificates, Pair

PATIENCE_S = 10


def test_a_server_and_a_client_of_the_same_authority_trust_each_other(certificates: Certificates) -> None:
    assert _handshake(certificates, certificates.server(), host="127.0.0.1") == "worker"
    assert _handshake(certificates, certificates.server(), host="localhost") == "worker"


def test_a_server_is_not_trusted_under_another_name(certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _handshake(certificates, certificates.server(), host="elsewhere.example")


def test_a_self_signed_server_is_not_trusted(certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="self.signed"):
        _handshake(certificates, certificates.stranger(), host="localhost")


def test_an_authority_of_the_same_name_is_not_trusted(certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(certificates, certificates.impostor().server(), host="localhost")


def _handshake(certificates: Certificates, pair: Pair, *, host: str) -> str:
    """Who the server says the client is."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(PATIENCE_S)
        seen = pool.submit(_serve, listener, certificates, pair)
        context = ssl.create_default_context(cafile=certificates.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(*certificates.client("worker"))
        with (
            socket.create_connection(listener.getsockname(), timeout=PATIENCE_S) as raw,
            context.wrap_socket(raw, server_hostname=host),
        ):
            return seen.result(PATIENCE_S)


def _serve(listener: socket.socket, certificates: Certificates, pair: Pair) -> str:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.load_cert_chain(*pair)
    context.verify_mode = ssl.CERT_REQUIRED
    accepted, _ = listener.accept()
    accepted.settimeout(PATIENCE_S)
    with accepted, context.wrap_socket(accepted, server_side=True) as secured:
        return str(secured.getpeercert()).partition("'commonName', '")[2].partition("'")[0]
