"""Kubernetes quantities ("500m", "1.5Gi", 2), exactly: no float is ever involved.

Decides what a quantity is worth in base units and how the API server writes it; knows nothing of
resources. Grammar, rounding and canonical form follow apimachinery's resource.Quantity:
https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

_Family = Literal["binary", "decimal", "exponent"]

_GRAMMAR: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,4}|)"
)
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = dict(
    zip(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), range(-9, 19, 3), strict=True)
)
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = {exponent: suffix for suffix, exponent in _BINARY.items()} | {0: ""}
_LARGEST: Final = Fraction(2**63 - 1)
_NANO: Final = 10**9


# A cluster writes the same few amounts again and again, and exact arithmetic is slow. By type, too:
# True == 1, but only one of them is a quantity.
_remembered = lru_cache(maxsize=2048, typed=True)


@_remembered
def parse(quantity: str | int | float) -> Fraction:
    """The amount in base units (cores, bytes, units), at most 2^63 - 1, in steps of a nano.

    Raises ValueError naming what is not a quantity.
    """
    return _amount(_match(quantity)[1])[0]


def value(quantity: str | int | float) -> int:
    """Whole base units (bytes, devices), rounded up (away from zero)."""
    return _round_up(parse(quantity))


def milli(quantity: str | int | float) -> int:
    """Thousandths of the base unit (millicores), rounded up (away from zero)."""
    return _round_up(parse(quantity) * 1000)


@_remembered
def canonical(quantity: str | int | float) -> str:
    """The form in which the API server stores it in a pod's resources.

    "1000m" → "1", "0.5" → "500m", "1024Mi" → "1Gi", "1.5Gi" → "1536Mi", 2000 → "2k".
    The suffix family stays (binary, decimal, exponent), the number becomes an integer with the
    largest suffix that keeps it one. Binary amounts below 1024 or not whole become decimal.
    The server's shortcut, too: "1.125" is taken for canonical and stays as it is. Finer than a
    thousandth rounds up (core/v1's SetDefaults_ResourceList).
    """
    text, match = _match(quantity)
    amount, family = _amount(match)
    amount = Fraction(_round_up(amount * 1000), 1000)
    if amount == 0:
        return "0"
    if _is_kept(match, family):
        return text
    if family == "binary" and abs(amount) >= 1024 and amount.denominator == 1:
        number, exponent = amount.numerator, 0
        while number % 1024 == 0 and exponent < max(_BINARY_SUFFIX):
            number, exponent = number // 1024, exponent + 1
        return f"{number}{_BINARY_SUFFIX[exponent]}"
    number, exponent = int(amount * 1000), -3
    while number % 1000 == 0 and exponent < max(_DECIMAL_SUFFIX):
        number, exponent = number // 1000, exponent + 3
    if family == "exponent":
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{_DECIMAL_SUFFIX[exponent]}"


def _match(quantity: str | int | float) -> tuple[str, re.Match[str]]:
    # repr() of a float is the shortest decimal that reads back: what JSON carries, too.
    text = quantity if isinstance(quantity, str) else repr(quantity)
    match = None if isinstance(quantity, bool) else _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(f"{quantity!r} is not a Kubernetes quantity")
    return text, match


def _amount(match: re.Match[str]) -> tuple[Fraction, _Family]:
    number, suffix = Fraction(match["number"]), match["suffix"]
    family: _Family
    if suffix in _BINARY:
        amount, family = number * 1024 ** _BINARY[suffix], "binary"
    else:
        family = "decimal" if suffix in _DECIMAL else "exponent"
        amount = number * Fraction(10) ** _decimal_exponent(suffix)
    # Like the API server: finer than a nano rounds away from zero, huge amounts are capped.
    amount = Fraction(_round_up(amount * _NANO), _NANO)
    return max(-_LARGEST, min(amount, _LARGEST)), family


def _decimal_exponent(suffix: str) -> int:
    return _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])


def _is_kept(match: re.Match[str], family: _Family) -> bool:
    """Whether ParseQuantity's fast path keeps the text ("is in canonical form, reuse")."""
    whole, _, fraction = match["number"].lstrip("+-").partition(".")
    whole = whole.lstrip("0") or "0"
    if family == "binary":
        power = _BINARY[match["suffix"]]
        return not fraction and len(whole) + 3 * power <= 14 and int(whole) % 8 != 0
    scale = _decimal_exponent(match["suffix"]) - len(fraction)
    digits = whole + fraction
    return (
        len(digits) <= 18
        and scale >= -3
        and scale % 3 == 0
        and not digits.endswith("000")
        and not digits.startswith("0")
    )


def _round_up(amount: Fraction) -> int:
    """To an integer, away from zero, as Kubernetes rounds."""
    whole = -(-abs(amount.numerator) // amount.denominator)
    return -whole if amount < 0 else whole
