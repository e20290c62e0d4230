from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.kube.quantity import canonical, milli, parse, value

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E2", "e-3", "e+1"]
quantities = st.builds(
    lambda sign, whole, fraction, suffix: sign + whole + fraction + suffix,
    st.sampled_from(["", "+", "-"]),
    st.integers(0, 10**7).map(str),
    st.one_of(st.just(""), st.just("."), st.integers(0, 10**4).map(lambda n: f".{n}")),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("0", 0),
        ("1", 1),
        (2, 2),
        (0.1, Fraction(1, 10)),
        ("100m", Fraction(1, 10)),
        ("1.5Gi", 3 * 2**29),
        ("1Ki", 1024),
        ("1k", 1000),
        ("12e6", 12_000_000),
        ("1E", 10**18),
        ("1E3", 1000),
        ("-2m", Fraction(-2, 1000)),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("0.1n", Fraction(1, 10**9)),
        (1e-7, Fraction(1, 10**7)),
        ("16Ei", 2**63 - 1),
    ],
)
def test_amounts_are_exact(quantity: str | int | float, amount: int | Fraction) -> None:
    assert parse(quantity) == amount


@pytest.mark.parametrize(
    "nonsense",
    ["", " ", "abc", "1 Gi", "1gi", "1KI", "Gi", "0x10", "1e", "1.2.3", "--1", "1_000", "٣", "inf"],
)
def test_nonsense_is_refused_by_name(nonsense: str) -> None:
    with pytest.raises(ValueError, match=r"is not a Kubernetes quantity"):
        parse(nonsense)


def test_what_equals_a_known_amount_is_still_judged_by_its_type() -> None:
    assert parse(1) == 1
    with pytest.raises(ValueError, match=r"True is not a Kubernetes quantity"):
        parse(True)


@pytest.mark.parametrize("number", [True, float("nan"), float("inf")])
def test_numbers_that_are_no_amounts_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match=r"is not a Kubernetes quantity"):
        parse(number)


def test_whole_units_round_up() -> None:
    assert value("100m") == 1
    assert value("1.0001Ki") == 1025
    assert milli("0.0001") == 1
    assert milli("250m") == 250
    assert milli(2) == 2000


@given(quantities)
def test_rounding_never_promises_less_than_was_asked(quantity: str) -> None:
    amount = parse(quantity)
    if amount >= 0:
        assert 0 <= value(quantity) - amount < 1
        assert 0 <= milli(quantity) - amount * 1000 < 1


@given(quantities)
def test_canonical_keeps_the_amount_and_is_a_fixed_point(quantity: str) -> None:
    form = canonical(quantity)
    assert parse(form) == Fraction(milli(quantity), 1000)
    assert canonical(form) == form


@given(st.integers(-(10**9), 10**9))
def test_numbers_and_their_text_are_the_same(number: int) -> None:
    assert canonical(number) == canonical(str(number))


# Answers of apimachinery v0.36.3 itself, finer amounts of a 1.36 API server.
@pytest.mark.parametrize(
    ("quantity", "stored"),
    [
        ("1.0001Ki", "1024103m"),
        ("100e-9", "1e-3"),
        ("1.123456", "1124m"),
        ("1n", "1m"),
        ("0", "0"),
        ("0.0", "0"),
        ("0Mi", "0"),
        ("1", "1"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.5", "1500m"),
        ("1.125", "1.125"),
        ("1.250", "1.250"),
        ("1.000", "1"),
        ("0.125", "125m"),
        ("2.50", "2500m"),
        ("+5", "+5"),
        ("01.5", "1500m"),
        ("007", "007"),
        ("100", "100"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1500", "1500"),
        ("2000", "2k"),
        ("1000000", "1M"),
        ("1k", "1k"),
        ("1024k", "1024k"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1e3", "1e3"),
        ("1E3", "1E3"),
        ("1e+3", "1e+3"),
        ("12e6", "12e6"),
        ("1.5e3", "1500"),
        ("1500e3", "1500e3"),
        ("1024Mi", "1Gi"),
        ("1Gi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("100Mi", "100Mi"),
        ("1536Mi", "1536Mi"),
        ("2048Ki", "2Mi"),
        ("8Ki", "8Ki"),
        ("1000Ki", "1000Ki"),
        ("1023Ki", "1023Ki"),
        ("512Ki", "512Ki"),
        ("0.1Ki", "102400m"),
        ("0.5Ki", "512"),
        ("16Gi", "16Gi"),
        ("1024Gi", "1Ti"),
        ("1Ti", "1Ti"),
        ("2.5Ti", "2560Gi"),
        ("129e6", "129e6"),
        ("129M", "129M"),
        ("10G", "10G"),
        ("80Gi", "80Gi"),
        ("81559Mi", "81559Mi"),
        ("-1.5", "-1500m"),
        ("-1024Ki", "-1Mi"),
        ("1.", "1."),
        ("3.5E", "3500P"),
        ("1Ei", "1Ei"),
    ],
)
def test_canonical_is_what_the_api_server_stores(quantity: str, stored: str) -> None:
    assert canonical(quantity) == stored
