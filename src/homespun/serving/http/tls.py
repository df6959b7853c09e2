"""Certificate and key of a server that is asked over https."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from homespun.core import ConfigError


class TlsFiles(NamedTuple):
    """Attributes:
    certificate: PEM, the server's own first and those that vouch for it behind.
    key: PEM, the private key of the first, without a passphrase.
    """

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """To serve with. Raises ssl.SSLError and OSError."""
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Without a passphrase to hand, OpenSSL would ask for one at the terminal.
        found.load_cert_chain(self.certificate, self.key, password="")
        return found


def tls_files(certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """What to serve with; None where neither is given.

    Raises:
        ConfigError: one is missing, cannot be read, is not what it should be, or they do not
            belong together.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(
            "https needs a certificate and its key",
            got="the key alone" if certificate is None else "the certificate alone",
            remedy="give both: --tls-certificate FILE and --tls-key FILE",
        )
    for path, what in ((certificate, "certificate"), (key, "key")):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the TLS {what} {path} cannot be read",
                got=error.strerror,
                remedy="name a file that this user may read",
            ) from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=certificate)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{certificate} is no certificate",
            got=error.reason or "something else",
            remedy="it begins with -----BEGIN CERTIFICATE-----",
        ) from error
    files = TlsFiles(certificate, key)
    try:
        files.context()
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"the key {key} does not belong to the certificate {certificate}",
                remedy="name the key that the certificate was made for",
            ) from error
        raise ConfigError(
            f"{key} is no private key, or is locked with a passphrase",
            got=error.reason or "something else",
            remedy="unlock it with `openssl pkey -in KEY -out FILE`",
        ) from error
    return files
