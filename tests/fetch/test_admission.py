from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.fetch.admission import shown, why_refused

ALL = ("s3://", "https://", "pvc://", "image://")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/models/resnet",
        "s3://my.bucket-1/a",
        "https://host.example:8443/a/b.tar.gz?sig=1",
        "https://[2606:4700::1]/m.zip",
        "pvc://claim/path",
        "pvc://claim",
        "image:///opt/models/resnet",
    ],
)
def test_good_uris(uri: str) -> None:
    assert why_refused(uri, ALL) is None


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("http://host/m.zip", "starts with none of"),
        ("file:///etc/passwd", "starts with none of"),
        ("https://user:pass@host/m.zip", "holds credentials"),
        ("https://host@evil/m.zip", "holds credentials"),
        ("https://host/a/../b", "'..' path segment"),
        ("https://host/a/%2e%2e/b", "'..' path segment"),
        ("https://host/a%2f..%2fb", "'..' path segment"),
        ("pvc://claim/../other", "'..' path segment"),
        ("image:///opt/../etc", "'..' path segment"),
        ("https://host\\@evil/m", "characters that do not belong"),
        ("https://host/ m", "characters that do not belong"),
        ("https://host/\nX: y", "characters that do not belong"),
        ("https://", "no valid host"),
        ("https:///path", "no valid host"),
        ("https://host:99999/m", "not a valid URI"),
        ("https://host:x/m", "not a valid URI"),
        ("https://[::1/m", "not a valid URI"),
        ("s3://bucket:80/m", "must read s3://name/path"),
        ("s3://bucket/m?versionId=1", "must read s3://name/path"),
        ("image://opt/models", "must read image:///path"),
        ("image:///", "must read image:///path"),
    ],
)
def test_bad_uris(uri: str, problem: str) -> None:
    refusal = why_refused(uri, ALL)
    assert refusal is not None
    assert problem in refusal


@pytest.mark.parametrize(
    ("uri", "prefix", "allowed"),
    [
        ("https://models.example/m", "https://models.example", True),
        ("https://models.example/m", "https://models.example/", True),
        ("https://models.example.evil/m", "https://models.example", False),
        ("https://models.example:8443/m", "https://models.example", False),
        ("s3://bucket/team/m", "s3://bucket/team", True),
        ("s3://bucket/team-b/m", "s3://bucket/team", False),
        ("s3://bucket", "s3://bucket", True),
        ("s3://bucket/m", "", False),
    ],
)
def test_prefixes_match_whole_segments(uri: str, prefix: str, allowed: bool) -> None:
    assert (why_refused(uri, [prefix]) is None) is allowed


def test_nothing_is_allowed_by_nothing() -> None:
    assert why_refused("s3://bucket/m", []) == (
        "is not below any prefix the administrator allows (none)"
    )


@given(st.text(max_size=60), st.sampled_from(["https://", "s3://", ""]))
def test_anything_is_judged_and_shown_without_an_exception(text: str, scheme: str) -> None:
    why_refused(scheme + text, ALL)
    shown(scheme + text)


def test_what_is_shown_holds_no_secrets() -> None:
    assert shown("https://canary:canary@host:8443/p?canary#canary") == "https://host:8443/p"
    assert shown("https://[canary") == "the model's URI"
