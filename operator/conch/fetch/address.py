"""Which network addresses the puller may talk to.

A host name is resolved once, every address it has is judged, and the connection goes to an address
that was judged: a name that resolves differently a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import threading

from conch.api.conditions import Reason
from conch.errors import FetchError

RESOLVE_TIMEOUT_S = 4.0
CONNECT_TIMEOUT_S = 3.0

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# What routers translate: for everybody (RFC 6052), and within one network (RFC 8215).
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
# Metadata services beside the link-local ones: AWS and Google over IPv6, Azure's wire server (its
# address is a public one), Alibaba.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200"),
    )
)


class Unresolved(OSError):
    """A host name has no address, or no name server answered in time."""


def resolve(host: str, port: int, allow_private: bool) -> list[str]:
    """The addresses of ``host``, each one allowed.

    Raises FetchError (SourceNotAllowed) if any is not; Unresolved when there is none.
    """
    addresses = _lookup(host.strip("[]"), port)
    for address in addresses:
        forbidden = why_forbidden(address, allow_private)
        if forbidden is not None:
            raise FetchError(
                Reason.SOURCE_NOT_ALLOWED.value,
                f"host {host} resolves to {address}, {forbidden}",
            )
    return addresses


def first_that_answers(addresses: list[str], port: int) -> socket.socket:
    """A connection to one of the addresses. Raises OSError."""
    failure: OSError = OSError()
    for candidate in addresses[:2]:  # one of each family; more would only take longer to fail
        try:
            return socket.create_connection((candidate, port), timeout=CONNECT_TIMEOUT_S)
        except OSError as error:
            failure = error
    raise failure


def why_forbidden(address: str, allow_private: bool) -> str | None:
    """Why nothing may be fetched from ``address``; None when it may.

    The clouds' metadata services, most of them link-local, are never allowed.
    """
    parsed = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    if parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified or parsed in _METADATA:
        return "an address that models are never fetched from"
    if allow_private:
        return None
    # Python takes what nobody has assigned yet, and the site-local of old, for global.
    site_local = isinstance(parsed, ipaddress.IPv6Address) and parsed.is_site_local
    if not parsed.is_global or parsed.is_reserved or site_local:
        return "a private address; the administrator can set allowPrivateHosts"
    return None


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one that routers translate."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if any(address in network for network in _NAT64):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _lookup(host: str, port: int) -> list[str]:
    """getaddrinfo with a time limit: without a name server it would take half a minute."""
    found: list[str] = []
    done = threading.Event()

    def look() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError):
            pass  # an empty list says it
        finally:
            done.set()

    threading.Thread(target=look, name="resolve", daemon=True).start()
    if not done.wait(RESOLVE_TIMEOUT_S):
        raise Unresolved(f"no name server answered for host {host}")
    if not found:
        raise Unresolved(f"host {host} does not exist")
    return found
