"""The values of CEL, as device selectors use them: types, operators and functions.

What the language of the expressions is stands in ``observe.cel``; here is what they come to. What
the types of values do not allow raises CelError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from conch.kube import quantity

Value = Any


class CelError(ValueError):
    """The expression is not understood, or fails on this device."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """The amount of a capacity."""

    amount: Fraction


@dataclass(frozen=True, slots=True)
class Semver:
    """A semantic version; one before a release sorts before it."""

    major: int
    minor: int
    patch: int
    before: tuple[tuple[bool, int, str], ...] | None = None  # of a pre-release

    @property
    def order(self) -> tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]:
        """What versions compare by: semver.org §11."""
        return self.major, self.minor, self.patch, self.before is None, self.before or ()


_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)


def semver(text: str) -> Semver:
    """Raises CelError for what is no semantic version."""
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise CelError(f"{text!r} is no semantic version")
    before = None
    if match[4]:
        before = tuple(
            (not part.isdigit(), int(part) if part.isdigit() else 0, part)
            for part in match[4].split(".")
        )
    return Semver(int(match[1]), int(match[2]), int(match[3]), before)


def amount(text: str | int | float) -> Quantity:
    """Raises CelError for what is no quantity."""
    try:
        return Quantity(quantity.parse(text))
    except ValueError as error:
        raise CelError(str(error)) from None


def truth(value: Value) -> bool:
    """The value as a condition."""
    if not isinstance(value, bool):
        raise CelError(f"{value!r} is neither true nor false")
    return value


def number(value: Value) -> int | float:
    """The value as a number; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CelError(f"{value!r} is no number")
    return value


def index(target: Value, key: Value) -> Value:
    """What a map or list holds there."""
    try:
        if isinstance(target, Mapping) or (isinstance(target, list) and type(key) is int):
            return target[key]
    except (LookupError, TypeError):
        pass
    raise CelError(f"there is no {key!r}")


def _alike(left: Value, right: Value) -> bool:
    numbers = (int, float)
    return type(left) is type(right) or (type(left) in numbers and type(right) in numbers)


def _equal(left: Value, right: Value) -> bool:
    if left is not None and right is not None and not _alike(left, right):
        raise CelError(f"{left!r} and {right!r} cannot be compared")
    return bool(left == right)


def _ordered(left: Value, right: Value) -> int:
    """-1, 0 or 1."""
    if not _alike(left, right) or not isinstance(left, (int, float, str, Quantity, Semver)):
        raise CelError(f"{left!r} and {right!r} have no order")
    one, other = _order(left), _order(right)
    return int(one > other) - int(one < other)


def _order(value: Value) -> Value:
    if isinstance(value, Semver):
        return value.order
    return value.amount if isinstance(value, Quantity) else value


def _native(test: Callable[[int], bool]) -> Callable[[Value, Value], bool]:
    """< and its like: for numbers and strings; quantities and versions have methods for it."""

    def judge(left: Value, right: Value) -> bool:
        if isinstance(left, (Quantity, Semver)):
            raise CelError("quantities and versions are compared by compareTo")
        return test(_ordered(left, right))

    return judge


def _within(left: Value, right: Value) -> bool:
    if not isinstance(right, (list, Mapping)):
        raise CelError(f"nothing is in {right!r}")
    return left in right


def _added(left: Value, right: Value) -> Value:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return number(left) + number(right)


RELATIONS: Final[Mapping[str, Callable[[Value, Value], bool]]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _native(lambda order: order < 0),
    "<=": _native(lambda order: order <= 0),
    ">": _native(lambda order: order > 0),
    ">=": _native(lambda order: order >= 0),
    "in": _within,
}
SUMS: Final[Mapping[str, Callable[[Value, Value], Value]]] = {
    "+": _added,
    "-": lambda left, right: number(left) - number(right),
}
CONSTANTS: Final[Mapping[str, Value]] = {"true": True, "false": False, "null": None}


def _matches(text: str, pattern: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error as error:
        raise CelError(f"{pattern!r} is no pattern: {error}") from None


def _compared(left: Value, right: Value) -> int:
    if not isinstance(left, (Quantity, Semver)):
        raise CelError("compareTo is for quantities and versions")
    return _ordered(left, right)


# By name and the types of the arguments, the target of a method first.
FUNCTIONS: Final[Mapping[str, tuple[tuple[type, ...], Callable[..., Value]]]] = {
    "quantity": ((str,), amount),
    "semver": ((str,), semver),
    "compareTo": ((object, object), _compared),
    "isGreaterThan": ((object, object), lambda a, b: _compared(a, b) > 0),
    "isLessThan": ((object, object), lambda a, b: _compared(a, b) < 0),
    "major": ((Semver,), lambda version: version.major),
    "minor": ((Semver,), lambda version: version.minor),
    "patch": ((Semver,), lambda version: version.patch),
    "matches": ((str, str), _matches),
    "contains": ((str, str), lambda text, part: part in text),
    "startsWith": ((str, str), str.startswith),
    "endsWith": ((str, str), str.endswith),
    "lowerAscii": ((str,), lambda text: re.sub("[A-Z]", lambda m: m[0].lower(), text)),
    "upperAscii": ((str,), lambda text: re.sub("[a-z]", lambda m: m[0].upper(), text)),
}
