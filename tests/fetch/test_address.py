from __future__ import annotations

import threading

import pytest

from conch.errors import FetchError
from conch.fetch import address


@pytest.mark.parametrize("where", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses(where: str) -> None:
    assert address.why_forbidden(where, allow_private=False) is None


@pytest.mark.parametrize(
    "where",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "::127.0.0.1",
        "240.0.0.1",
    ],
)
def test_private_addresses_need_permission(where: str) -> None:
    assert address.why_forbidden(where, allow_private=False) is not None
    assert address.why_forbidden(where, allow_private=True) is None


@pytest.mark.parametrize(
    "where",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "fd00:ec2::254",
        "fd20:ce::254",
        "168.63.129.16",
        "::ffff:168.63.129.16",
        "100.100.100.200",
        "fe80::1%eth0",
        "0.0.0.0",
        "224.0.0.1",
        "::",
    ],
)
def test_metadata_services_are_never_reached(where: str) -> None:
    assert address.why_forbidden(where, allow_private=True) is not None


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_lookup", lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(FetchError, match=r"host x resolves to 10\.0\.0\.1, a private address"):
        address.resolve("x", 443, allow_private=False)


def test_a_silent_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        answered.wait(10)
        return []

    monkeypatch.setattr(address, "RESOLVE_TIMEOUT_S", 0.05)
    monkeypatch.setattr("socket.getaddrinfo", silent)
    with pytest.raises(address.Unresolved, match="no name server answered for host x"):
        address.resolve("x", 443, allow_private=False)
    answered.set()
