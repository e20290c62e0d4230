from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from conch import __version__
from conch.errors import (
    ApiError,
    ApiUnreachable,
    ConchError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    SettingsError,
    Throttled,
    Unauthorized,
)
from conch.kube.credentials import Credentials
from conch.kube.transport import Api, path
from tests.kube.fake_api import FakeApi, status, until

PODS = "/api/v1/namespaces/ns/pods"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("v1", "nodes"), "/api/v1/nodes"),
        (("v1", "pods", "ns"), "/api/v1/namespaces/ns/pods"),
        (("apps/v1", "deployments", "ns", "a"), "/apis/apps/v1/namespaces/ns/deployments/a"),
        (
            ("conch.dev/v1alpha1", "inferenceservices", "ns", "a", "scale"),
            "/apis/conch.dev/v1alpha1/namespaces/ns/inferenceservices/a/scale",
        ),
        (("v1", "pods", "ns", "../secrets/x?y#z"), f"{PODS}/..%2Fsecrets%2Fx%3Fy%23z"),
    ],
)
def test_path(arguments: tuple[str, ...], expected: str) -> None:
    assert path(*arguments) == expected


async def test_reads(server: FakeApi, api: Api) -> None:
    server.put(PODS, "a", spec={"x": 1})
    got = await api.get(f"{PODS}/a")
    assert got["spec"] == {"x": 1}
    assert server.seen[0].headers["User-Agent"] == f"conch/{__version__}"


async def test_a_long_list_comes_in_chunks(server: FakeApi, api: Api) -> None:
    for number in range(7):
        server.put(PODS, f"p{number}")
    items = await api.list(PODS, label_selector="a in (b, c),d!=e", chunk=3)
    assert [item["metadata"]["name"] for item in items] == [f"p{n}" for n in range(7)]
    assert [request.query.get("limit") for request in server.seen] == ["3", "3", "3"]
    assert {request.query["labelSelector"] for request in server.seen} == {"a in (b, c),d!=e"}


async def test_apply_is_server_side(server: FakeApi, api: Api) -> None:
    await api.apply(f"{PODS}/a", {"kind": "Pod"}, manager="conch")
    await api.apply_status(f"{PODS}/a", {"status": {}}, manager="conch-status", force=False)
    first, second = server.seen
    assert first.headers["Content-Type"] == "application/apply-patch+yaml"
    assert first.query == {"fieldManager": "conch", "force": "true"}
    assert first.json == {"kind": "Pod"}
    assert second.path == f"{PODS}/a/status"
    assert second.query == {"fieldManager": "conch-status", "force": "false"}


async def test_other_writes(server: FakeApi, api: Api) -> None:
    created = await api.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}, "spec": 1})
    stale = {**created, "spec": 2}
    await api.put(f"{PODS}/a", stale)
    with pytest.raises(Conflict, match="has been modified"):
        await api.put(f"{PODS}/a", stale)
    with pytest.raises(Conflict) as conflict:
        await api.create(PODS, {"metadata": {"name": "a", "namespace": "ns"}})
    assert conflict.value.reason == "AlreadyExists"
    await api.merge_patch(f"{PODS}/a", {"spec": None})
    await api.delete(f"{PODS}/a", uid="u1", propagation="Foreground")
    merge, delete = server.seen[-2:]
    assert merge.headers["Content-Type"] == "application/merge-patch+json"
    assert delete.json["preconditions"] == {"uid": "u1"}
    assert delete.json["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, ApiError),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Invalid),
        (429, Throttled),
        (500, ApiError),
        (302, ApiError),
    ],
)
async def test_refusals(server: FakeApi, api: Api, code: int, kind: type[ApiError]) -> None:
    answer = status(code, "Why", "because of x", retry_after="7")
    server.answer("GET", answer, answer)
    with pytest.raises(kind, match="because of x") as raised:
        await api.get(PODS)
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.reason, error.retry_after_s) == (code, "Why", 7.0)


async def test_a_refusal_that_is_no_status_object(server: FakeApi, api: Api) -> None:
    server.answer("GET", lambda _: web.Response(status=502, text="<html>bad gateway"))
    with pytest.raises(ApiError, match="bad gateway"):
        await api.get(PODS)


async def test_nobody_listens() -> None:
    async with Api(Credentials.anonymous("http://127.0.0.1:1")) as api:
        with pytest.raises(ApiUnreachable):
            await api.get(PODS)


async def test_an_answer_that_never_comes(server: FakeApi) -> None:
    server.hold("GET")
    async with Api(Credentials.anonymous(server.url), timeout_s=0.05) as api:
        with pytest.raises(ApiUnreachable, match=r"GET .*pods"):
            await api.get(PODS)


@pytest.mark.parametrize("body", [b'{"a": ', b"[1]", b"\xff"])
async def test_an_answer_that_is_no_object(server: FakeApi, api: Api, body: bytes) -> None:
    server.answer("GET", lambda _: web.Response(body=body))
    with pytest.raises(ApiUnreachable, match="not a JSON object"):
        await api.get(PODS)


async def test_every_write_is_counted_and_no_read(server: FakeApi) -> None:
    writes: list[tuple[str, str, int]] = []

    def on_write(verb: str, where: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        writes.append((verb, where, code))

    async with Api(Credentials.anonymous(server.url), on_write) as api:
        server.put(PODS, "a")
        await api.get(f"{PODS}/a")
        await api.apply(f"{PODS}/a", {}, "conch")
        server.answer("DELETE", status(403))
        with pytest.raises(Forbidden):
            await api.delete(f"{PODS}/a")
    dead = Api(Credentials.anonymous("http://127.0.0.1:1"), on_write)
    with pytest.raises(ApiUnreachable):
        await dead.create(PODS, {})
    await dead.close()
    assert writes == [
        ("apply", f"{PODS}/a", 200),
        ("delete", f"{PODS}/a", 403),
        ("create", PODS, 0),
    ]


# --- credentials ----------------------------------------------------------------------------------


def kubeconfig(folder: Path, url: str, token: str, current: str = "main") -> Path:
    file = folder / "config"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": current,
                "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": token}}],
            }
        )
    )
    return file


async def test_a_refused_token_is_read_again_and_the_request_sent_once_more(
    server: FakeApi, tmp_path: Path
) -> None:
    server.put(PODS, "a")
    file = kubeconfig(tmp_path, server.url, "old")
    async with await Api.connect(file) as api:
        kubeconfig(tmp_path, server.url, "new")
        server.answer("GET", *[status(401)] * 3)
        await asyncio.gather(*(api.get(f"{PODS}/a") for _ in range(3)))
    tokens = [request.headers["Authorization"] for request in server.seen]
    assert tokens[:3] == ["Bearer old"] * 3
    assert set(tokens[3:]) <= {"Bearer new"}


async def test_a_server_that_refuses_good_credentials_is_believed(
    server: FakeApi, tmp_path: Path
) -> None:
    async with await Api.connect(kubeconfig(tmp_path, server.url, "t")) as api:
        server.answer("GET", *[status(401)] * 3)
        for _ in range(2):
            with pytest.raises(Unauthorized):
                await api.get(PODS)
    assert len(server.seen) == 3  # the second was not tried again: it had just been


async def test_an_exec_plugin_is_asked_for_the_token(server: FakeApi, tmp_path: Path) -> None:
    server.put(PODS, "a")
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "from-plugin"}}\'\n'
    )
    plugin.chmod(0o755)
    file = kubeconfig(tmp_path, server.url, "")
    config = yaml.safe_load(file.read_text())
    config["users"][0]["user"] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}
    }
    file.write_text(yaml.safe_dump(config))
    async with await Api.connect(file, context="main") as api:
        await api.get(f"{PODS}/a")
    assert server.seen[0].headers["Authorization"] == "Bearer from-plugin"


async def test_proxy_variables_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "10.96.0.1,.internal")
    assert Credentials.anonymous("https://cluster.example:6443").proxy == "http://proxy:3128"
    assert Credentials.anonymous("http://cluster.example").proxy is None
    assert Credentials.anonymous("https://10.96.0.1:443").proxy is None
    assert Credentials.anonymous("https://api.internal").proxy is None


@pytest.mark.parametrize("text", ["", "{", "[]", "a: 1", None])
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "broken"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match="broken"):
        await Api.connect(file)


async def test_an_unknown_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConchError, match="elsewhere"):
        await Api.connect(kubeconfig(tmp_path, "http://127.0.0.1:1", "t"), context="elsewhere")


# --- watch ----------------------------------------------------------------------------------------


async def collect(api: Api, lines: list[bytes], inactivity_s: float = 5.0) -> None:
    stream = api.watch(PODS, "0", {"allowWatchBookmarks": True}, inactivity_s)
    async with contextlib.aclosing(stream):
        async for line in stream:
            lines.append(line)


async def test_watch_gives_lines_however_they_arrive(server: FakeApi, api: Api) -> None:
    lines: list[bytes] = []
    task = asyncio.create_task(collect(api, lines))
    await until(lambda: server.streams)
    big = b"x" * 3_000_000
    for part in (b"a\nb", b"b\n", b"\n", big, b"\ncut off"):
        server.send(part)
    server.cut()
    await task
    assert lines == [b"a", b"bb", big]
    assert server.seen[0].query == {
        "watch": "true",
        "resourceVersion": "0",
        "allowWatchBookmarks": "true",
    }


async def test_a_silent_watch_is_given_up(server: FakeApi, api: Api) -> None:
    with pytest.raises(ApiUnreachable):
        await collect(api, [], inactivity_s=0.05)
    await until(lambda: not server.streams)


async def test_a_refused_watch(server: FakeApi, api: Api) -> None:
    server.compact()
    with pytest.raises(Gone):
        await collect(api, [])


async def test_closing_ends_open_watches(server: FakeApi, api: Api) -> None:
    task = asyncio.create_task(collect(api, []))
    await until(lambda: server.streams)
    await api.close()
    with pytest.raises(ApiUnreachable, match="closed"):
        await task
    await until(lambda: not server.streams)


async def test_a_request_beside_a_close_meets_no_closing_session(server: FakeApi, api: Api) -> None:
    server.put(PODS, "a")
    await api.get(f"{PODS}/a")
    closing = asyncio.create_task(api.close())
    await asyncio.sleep(0)
    assert (await api.get(f"{PODS}/a"))["metadata"]["name"] == "a"
    await closing
