"""Device selectors: what is true of a device, what fails, and what is refused."""

from __future__ import annotations

import pytest

from conch.observe.cel import compiled
from conch.observe.cel_values import CelError, amount, semver

GPU = "gpu.nvidia.com"
L4 = {
    "device": {
        "driver": GPU,
        "attributes": {
            GPU: {
                "type": "gpu",
                "productName": "NVIDIA L4",
                "cudaComputeCapability": semver("8.9.0"),
                "index": 3,
                "healthy": True,
            }
        },
        "capacity": {GPU: {"memory": amount("23034Mi")}},
    }
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # As NVIDIA's driver, its documentation and Kubernetes' own write them.
        (f"device.driver == '{GPU}' && device.attributes['{GPU}'].type == 'gpu'", True),
        (f"device.attributes['{GPU}'].productName.lowerAscii().matches('^.*l4.*$')", True),
        (f"device.capacity['{GPU}'].memory.compareTo(quantity('20Gi')) >= 0", True),
        (f"device.capacity['{GPU}'].memory.isGreaterThan(quantity('24Gi'))", False),
        (f"device.attributes['{GPU}'].cudaComputeCapability.isLessThan(semver('9.0.0'))", True),
        (f"device.attributes['{GPU}'].cudaComputeCapability.major() >= 8", True),
        (f'cel.bind(own, device.attributes["{GPU}"], own.index > 1 && own.healthy)', True),
        (f"has(device.attributes['{GPU}'].profile)", False),
        (f"'memory' in device.capacity['{GPU}']", True),
        (f"device.attributes['{GPU}'].productName in ['NVIDIA L4', 'NVIDIA L40S']", True),
        (f"device.attributes['{GPU}']['index'] + 1 == 4", True),
        ("!(1 < 2) || 2 - 3 == -1", True),
        ("!!true && !!!false", True),
        ("true ? 1 < 2 : false", True),
        (r"'a.b' + 'c' == 'a.bc' && 'a.b'.matches(r'^a\.b$')", True),
        ("'' == \"\" && 1 == 1.0", True),
        # One side decides, whichever fails.
        ("device.nothing == 1 || true", True),
        ("false && device.nothing == 1", False),
        ("device.nothing == 1 && false", False),
    ],
)
def test_of_an_l4(expression: str, expected: bool) -> None:
    assert compiled(expression)(L4) is expected


@pytest.mark.parametrize(
    "expression",
    [
        f"device.attributes['{GPU}'].profile == '1g.5gb'",
        "device.attributes['other.driver'].type == 'gpu'",
        "device.driver == 1",
        "device.driver",
        "device.driver < 1",
        f"device.capacity['{GPU}'].memory > 1",
        "device.driver.major() > 1",
        "quantity('lots').compareTo(quantity('1')) > 0",
        "semver('1').major() == 1",
        "'a'.matches('(')",
        "!device.driver",
        "device.nothing == 1 || false",
        "nobody == 1",
    ],
)
def test_what_fails_on_a_device(expression: str) -> None:
    judge = compiled(expression)
    with pytest.raises(CelError):
        judge(L4)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "(true",
        "true true",
        "device.attributes[",
        "device.exec('rm')",
        "__import__('os')",
        "device.attributes.all(a, a != '')",
        "cel.block([1], true)",
        "'open",
        "a # b",
        "(" * 200 + "true" + ")" * 200,
        "!" * 9_000 + "true",
        "true" + " " * 11_000,
        "device.driver.matches('a', 'b')",
    ],
)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(CelError):
        compiled(expression)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.2.3", "1.10.0"),
        ("1.0.0-alpha", "1.0.0"),
        ("1.0.0-alpha.2", "1.0.0-alpha.10"),
        ("1.0.0-2", "1.0.0-alpha"),
    ],
)
def test_versions_are_ordered_as_semver_says(older: str, newer: str) -> None:
    assert semver(older).order < semver(newer).order
