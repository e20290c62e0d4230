from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conch.errors import FetchError
from conch.fetch.archive import unpack
from conch.fetch.limits import Limits
from tests.fetch.archives import MODEL, special, tar, zipped
from tests.fetch.conftest import roomy

Make = Callable[..., bytes]

LEADS_OUT = [
    "../evil",
    "a/../../evil",
    "/etc/evil",
    "//etc/evil",
    "..",
    "a\\..\\evil",
    "./../evil",
]


def _unpacked(content: bytes, directory: Path, limits: Limits) -> dict[str, bytes]:
    archive = directory / "archive"
    archive.write_bytes(content)
    target = directory / "content"
    unpack(archive, target, limits)
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def _refusal(content: bytes, directory: Path, limits: Limits) -> FetchError:
    with pytest.raises(FetchError) as caught:
        _unpacked(content, directory, limits)
    # Whatever was refused, nothing is outside of the target.
    assert {path.name for path in directory.iterdir()} <= {"archive", "content"}
    return caught.value


@pytest.mark.parametrize("name", LEADS_OUT)
def test_no_member_leads_out(name: str, tmp_path: Path, limits: Limits) -> None:
    room = tmp_path / "tar"
    room.mkdir()
    assert _refusal(tar({name: b"x"}), room, limits).reason == "ModelInvalid"
    room = tmp_path / "zip"
    room.mkdir()
    error = _refusal(zipped({}, (zipfile.ZipInfo(name), b"x")), room, limits)
    assert error.reason == "ModelInvalid"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_tar_are_refused(kind: bytes, tmp_path: Path, limits: Limits) -> None:
    error = _refusal(tar(MODEL, special("1/extra", kind, "/etc/passwd")), tmp_path, limits)
    assert str(error) == "'1/extra' is neither a file nor a directory"


def test_a_file_is_never_written_through_a_link(tmp_path: Path, limits: Limits) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(special("1", tarfile.SYMTYPE, str(tmp_path)))
        info = tarfile.TarInfo("1/evil")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    _refusal(stream.getvalue(), tmp_path, limits)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_zip_are_refused(kind: int, tmp_path: Path, limits: Limits) -> None:
    info = zipfile.ZipInfo("1/link")
    info.external_attr = (kind | 0o777) << 16
    error = _refusal(zipped(MODEL, (info, b"/etc/passwd")), tmp_path, limits)
    assert str(error) == "'1/link' is neither a file nor a directory"


@pytest.mark.slow
def test_bombs_stop_at_the_limit(tmp_path: Path) -> None:
    makers: tuple[Make, Make] = (tar, zipped)
    for number, make in enumerate(makers):
        room = tmp_path / str(number)
        room.mkdir()
        bomb = make({"1/zeros": bytes(50_000_000)})
        assert len(bomb) < 100_000
        error = _refusal(bomb, room, roomy(max_bytes=1_000_000))
        assert str(error).startswith("it is larger than 1000000 bytes")
        assert sum(path.stat().st_size for path in (room / "content").rglob("*")) < 2_000_000


def test_the_total_counts_and_not_each_file(tmp_path: Path) -> None:
    files = {f"1/{number}": bytes(400) for number in range(10)}
    assert "larger than 3999" in str(_refusal(tar(files), tmp_path, roomy(max_bytes=3999)))


@pytest.mark.parametrize("make", [tar, zipped])
def test_too_many_files(make: Make, tmp_path: Path) -> None:
    content = make({f"1/{number}": b"" for number in range(101)})
    assert "more than 100 files" in str(_refusal(content, tmp_path, roomy(max_files=100)))


def test_a_huge_header_is_not_read_into_memory(tmp_path: Path, limits: Limits) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type = tarfile.XHDTYPE
    header.size = 1 << 32
    content = gzip.compress(header.tobuf() + bytes(1 << 20))
    error = _refusal(content, tmp_path, limits)
    assert str(error) == "it has a header larger than any model needs"


def test_an_encrypted_zip_is_refused(tmp_path: Path, limits: Limits) -> None:
    content = bytearray(zipped(MODEL))
    central = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, central + 8, 1)
    assert "is encrypted" in str(_refusal(bytes(content), tmp_path, limits))


@pytest.mark.parametrize("make", [tar, zipped])
def test_executables_stay_executable_and_nothing_else_does(
    make: Make, tmp_path: Path, limits: Limits
) -> None:
    stub, setuid = tarfile.TarInfo("1/stub"), tarfile.TarInfo("1/setuid")
    stub.mode, setuid.mode = 0o755, 0o4777
    if make is tar:
        content = tar(MODEL, stub, setuid)
    else:
        entries = []
        for member in (stub, setuid):
            info = zipfile.ZipInfo(member.name)
            info.external_attr = (stat.S_IFREG | member.mode) << 16
            entries.append((info, b""))
        content = zipped(MODEL, *entries)
    _unpacked(content, tmp_path, limits)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "content/1").iterdir()
    }
    assert modes == {"model.py": 0o644, "stub": 0o755, "setuid": 0o755}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a tar, tar.gz or zip archive"),
        (b"<html>login</html>", "not a tar, tar.gz or zip archive"),
        (tar(MODEL)[:-40], "damaged"),
        (zipped(MODEL)[:-40], "damaged"),
        (gzip.compress(b"hello" * 1000), "damaged"),
        (b"PK\x03\x04nonsense", "damaged"),
    ],
)
def test_what_is_no_archive(content: bytes, text: str, tmp_path: Path, limits: Limits) -> None:
    error = _refusal(content, tmp_path, limits)
    assert error.reason == "ModelInvalid"
    assert text in str(error)


def test_two_things_of_one_name(tmp_path: Path, limits: Limits) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("1"))
        archive.addfile(tarfile.TarInfo("1/model.py"))
    assert "two things of one name" in str(_refusal(stream.getvalue(), tmp_path, limits))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_an_error_of_ours_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = data.draw(st.sampled_from([tar(MODEL), tar(MODEL, compressed=False), zipped(MODEL)]))
    content = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    room = tmp_path_factory.mktemp("damage")
    with suppress(FetchError):
        _unpacked(bytes(content), room, roomy())
    assert {path.name for path in room.iterdir()} <= {"archive", "content"}
