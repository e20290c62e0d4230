"""Which activators listen, and which ports services have on them."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.observe.activation import ActivationBook, Listening, hold_s
from conch.observe.types import Key

KEY = Key("team", "resnet")


def book(**reports: dict[str, Listening] | None) -> ActivationBook:
    made = ActivationBook(range(20000, 20010))
    made.looked = True
    for number, (uid, services) in enumerate(reports.items(), 1):
        made.seen(uid, f"10.0.0.{number}", leaving=False)
        if services is not None:
            made.told(uid, services)
    return made


def at(made: ActivationBook, key: Key = KEY) -> Any:
    found = made.of(key)
    assert found is not None
    return found


def listening(made: ActivationBook, held: int = 0, key: Key = KEY) -> dict[str, Listening]:
    port = at(made, key).port
    return {str(key): Listening((port, port + 1), held)}


def test_only_those_that_listen_on_both_ports_are_addresses() -> None:
    made = book(a=None, b={})
    assert (at(made).known, at(made).addresses, at(made).family) == (False, (), "IPv4")
    made.told("a", listening(made, held=2))
    assert (at(made).known, at(made).addresses, at(made).held) == (True, ("10.0.0.1",), 2)
    made.told("b", listening(made, held=1))
    assert (at(made).addresses, at(made).held) == (("10.0.0.1", "10.0.0.2"), 3)
    port = at(made).port
    made.told("b", {str(KEY): Listening((port,), 0)})
    assert at(made).addresses == ("10.0.0.1",)


def test_one_that_leaves_still_counts_what_it_holds() -> None:
    made = book(a=None)
    made.told("a", listening(made, held=2))
    made.seen("a", "10.0.0.1", leaving=True)
    assert (at(made).addresses, at(made).held) == ((), 2)
    made.gone("a")
    assert (at(made).held, at(made).family) == (0, "")


def test_a_pod_that_got_another_address_has_told_nothing() -> None:
    made = book(a=None)
    made.told("a", listening(made))
    made.seen("a", "10.0.0.7", leaving=False)
    assert (at(made).known, at(made).addresses) == (False, ())


def test_before_there_was_time_to_look_nothing_is_known() -> None:
    made = ActivationBook(range(20000, 20010))
    assert not at(made).known
    made.looked = True
    assert at(made).known


def test_ports_are_distinct_stable_and_end() -> None:
    made = book()
    keys = [Key("team", f"s{n}") for n in range(6)]
    found = [made.of(key) for key in keys]
    ports = [a.port for a in found if a is not None]
    assert sorted(ports) == [20000, 20002, 20004, 20006, 20008]
    assert found[5] is None
    made.forget(keys[0])
    assert at(made, keys[5]).port == ports[0]
    assert [at(made, key).port for key in keys[1:5]] == ports[1:]


def own_slice(port: object, name: str = "resnet") -> dict[str, Any]:
    labels = {names.LABEL_SLICE_MANAGER: names.SLICE_MANAGER}
    return {
        "metadata": {"name": name, "namespace": "team", "labels": labels},
        "ports": [{"name": "http", "port": port}, {"name": "grpc"}],
    }


def test_ports_survive_a_restart() -> None:
    usual = at(book()).port
    other = 20000 if usual != 20000 else 20002
    made = book()
    made.learn(KEY, own_slice(other))
    assert at(made).port == other


@pytest.mark.parametrize("port", [22, 20001, 20010, None, "20002", 30000])
def test_a_port_that_is_not_ours_to_give_is_replaced(port: object) -> None:
    made = book()
    made.learn(KEY, own_slice(port))
    assert at(made).port == at(book()).port


def test_of_two_with_one_port_the_first_keeps_it() -> None:
    made = book()
    other = Key("team", "another")
    for key in (KEY, other):
        made.learn(key, own_slice(20004, key.name))
    assert at(made, other).port == 20004
    assert at(made, KEY).port != 20004


@pytest.mark.parametrize(
    ("starts", "before", "expected"),
    [
        ((), "", 600),
        ((), "300", 300),
        ((6.0, 11.0), "600", 120),
        ((40.0, 61.0), "", 300),
        ((9999.0,), "", 3600),
    ],
)
def test_how_long_to_hold(starts: tuple[float, ...], before: str, expected: int) -> None:
    assert hold_s(starts, before) == expected
