"""A certificate authority of a test's own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificate:
    """Where a certificate, its key, and that of the authority that signed it are."""

    certificate: Path
    key: Path
    authority: Path


def certify(folder: Path, *hosts: str, days: int = 1) -> Certificate:
    """Write a new authority and a certificate for these hosts (names or addresses) into a folder."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    names = [_name(host) for host in hosts]
    signed = {}
    for what, owner, subject, basic in (
        ("authority", authority_key, issuer, x509.BasicConstraints(ca=True, path_length=0)),
        ("certificate", key, x509.Name([]), x509.BasicConstraints(ca=False, path_length=None)),
    ):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(owner.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(basic, critical=True)
        )
        if what == "certificate":
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        signed[what] = folder / f"{what}.pem"
        signed[what].write_bytes(builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_file = folder / "key.pem"
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(signed["certificate"], key_file, signed["authority"])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
