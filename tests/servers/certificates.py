"""A small certificate authority for tests, made with the `openssl` command, and one that nobody should trust.

Every certificate is a pair of PEM files (certificate, key) under the given folder; the keys are readable by their owner only, as
PostgreSQL demands. Servers are called localhost and 127.0.0.1, whatever their name, unless a test wants them to be called otherwise.
"""

import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

PATIENCE_S = 30
LOOPBACK = ("localhost", "127.0.0.1")
KEY: Final[tuple[str, ...]] = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
DAYS = ("-days", "2", "-sha256")
CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash")
LEAF = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "subjectKeyIdentifier=hash")

Pair = tuple[Path, Path]


def find_openssl() -> str | None:
    return shutil.which("openssl")


class Certificates:
    """Certificates of one authority; asked twice for the same one, it gives the same files."""

    def __init__(self, folder: Path, *, authority: str = "Orderwright Test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = authority

    @property
    def ca(self) -> Path:
        """The authority's certificate: what the other side is told to trust."""
        return self._own[0]

    def server(self, name: str = "server", *, hosts: Sequence[str] = LOOPBACK) -> Pair:
        """For a server on these hosts. It may also present itself as a client, as members of a cluster do to each other."""
        return self._signed(name, "serverAuth,clientAuth", hosts)

    def client(self, name: str) -> Pair:
        """For a client whose common name is `name`."""
        return self._signed(name, "clientAuth", ())

    def nameless_client(self) -> Pair:
        """For a client without a common name, as etcd's gateway wants it where there are users."""
        return self._signed("nameless", "clientAuth", (), subject="/O=orderwright")

    def stranger(self, name: str = "stranger") -> Pair:
        """Self-signed, for localhost: of the right name, but vouched for by nobody."""
        extensions = (*LEAF, "extendedKeyUsage=serverAuth,clientAuth", _names(LOOPBACK))
        return self._self_signed(name, "localhost", extensions)

    def impostor(self) -> "Certificates":
        """Another authority that calls itself the same."""
        return Certificates(self._folder / "impostor", authority=self._authority)

    @cached_property
    def _own(self) -> Pair:
        return self._self_signed("ca", self._authority, CA)

    def _files(self, name: str) -> Pair:
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"

    def _self_signed(self, name: str, subject: str, extensions: Sequence[str]) -> Pair:
        certificate, key = self._files(name)
        if not certificate.exists():
            added = [part for extension in extensions for part in ("-addext", extension)]
            named = ("-config", str(self._config()), "-subj", f"/CN={subject}")
            _openssl("req", "-x509", *KEY, *named, *added, *DAYS, "-keyout", key, "-out", certificate)
            key.chmod(0o600)
        return certificate, key

    def _signed(self, name: str, usage: str, hosts: Sequence[str], *, subject: str = "") -> Pair:
        certificate, key = self._files(name)
        if not certificate.exists():
            request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
            lines = [
                *LEAF,
                "authorityKeyIdentifier=keyid",
                f"extendedKeyUsage={usage}",
                *([_names(hosts)] if hosts else []),
            ]
            named = ("-config", str(self._config()), "-subj", subject or f"/CN={name}")
            extensions.write_text("\n".join(lines) + "\n")
            _openssl("req", "-new", *KEY, *named, "-keyout", key, "-out", request)
            ca, ca_key = self._own
            signed = ("-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-extfile", str(extensions))
            _openssl("x509", "-req", "-in", request, *signed, *DAYS, "-out", certificate)
            key.chmod(0o600)
        return certificate, key

    def _config(self) -> Path:
        """An own configuration, because the system's adds extensions of its own."""
        config = self._folder / "openssl.cnf"
        if not config.exists():
            config.write_text("[req]\ndistinguished_name = subject\n[subject]\n")
        return config


def _names(hosts: Sequence[str]) -> str:
    kinds = [f"IP:{host}" if host[0].isdigit() else f"DNS:{host}" for host in hosts]
    return f"subjectAltName={','.join(kinds)}"


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=PATIENCE_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
