"""TLS of DICOM and DICOMweb: peers' certificates are always checked, names of hosts too."""

from __future__ import annotations

import ssl

from recon.hospital.peers import Hospital, HospitalError


def to_peers(hospital: Hospital) -> ssl.SSLContext:
    """Return what we connect with; raises HospitalError for files that are none."""
    try:
        made = ssl.create_default_context(cafile=hospital.ca or None)
        _identify(made, hospital)
    except OSError as error:  # ssl.SSLError is one
        raise HospitalError(f"ca, certificate or key of hospital.toml: {error}") from error
    return made


def at_our_port(hospital: Hospital) -> ssl.SSLContext:
    """Return what our port speaks; a peer must show a certificate that ``ca`` knows."""
    if not (hospital.certificate and hospital.ca):
        raise HospitalError("port_tls of hospital.toml needs ca, certificate and key beside it")
    try:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=hospital.ca)
        made.verify_mode = ssl.CERT_REQUIRED
        _identify(made, hospital)
    except OSError as error:
        raise HospitalError(f"ca, certificate or key of hospital.toml: {error}") from error
    return made


def _identify(context: ssl.SSLContext, hospital: Hospital) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if hospital.certificate:
        context.load_cert_chain(hospital.certificate, hospital.key or None)
