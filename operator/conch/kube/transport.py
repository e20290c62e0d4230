"""HTTP to the Kubernetes API server: raw JSON in, raw JSON out, one exception tree.

Decides how a request is sent, when credentials are read again and which error an answer is. It
must not retry (one exception: a 401 after new credentials), decide what to write, or know kinds.
A plain aiohttp session is used because it costs a quarter of the generated client's CPU per call.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from conch import __version__
from conch.errors import ApiError, ApiUnreachable, api_error
from conch.kube.credentials import Credentials

Object = dict[str, Any]
OnWrite = Callable[[str, str, int, float], None]
"""Called after every write: verb, path, HTTP status (0: no answer), seconds."""

USER_AGENT: Final = f"conch/{__version__}"
REQUEST_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10.0
_LONGEST_LINE: Final = 64 * 2**20  # far above etcd's limit for one object
_JSON: Final = "application/json"


def path(
    api_version: str,
    plural: str,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """The URL path of a collection or an object: ("apps/v1", "deployments", "ns", "web")."""
    root = "/apis/" if "/" in api_version else "/api/"
    parts = [api_version]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return root + "/".join(parts)


class Api:
    """One API server. Every non-2xx answer raises an ApiError, no answer raises ApiUnreachable."""

    def __init__(
        self,
        credentials: Credentials,
        on_write: OnWrite | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._credentials = credentials
        self._on_write = on_write
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None
        self._watches: set[aiohttp.ClientResponse] = set()

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | str | None = None,
        context: str | None = None,
        on_write: OnWrite | None = None,
    ) -> Self:
        """Find credentials (see `Credentials.find`); sends nothing yet."""
        return cls(await Credentials.find(kubeconfig, context), on_write)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection, watches included: they raise ApiUnreachable."""
        for response in self._watches:
            # aiohttp would leave the reader of a closed connection waiting for ever.
            response.content.set_exception(aiohttp.ClientConnectionError("the client was closed"))
        session, self._session = self._session, None  # nobody may take one that is closing
        if session is not None:
            await session.close()

    # --- reading ----------------------------------------------------------------------------------

    async def get_raw(self, path: str, **params: str | int | bool) -> bytes:
        """The answer's body as it is."""
        return await self._read("GET", path, params)

    async def get(self, path: str, **params: str | int | bool) -> Object:
        """One object, or a list object as the server sends it."""
        return _decode(path, await self.get_raw(path, **params))

    async def list(
        self, path: str, *, label_selector: str = "", field_selector: str = "", chunk: int = 500
    ) -> list[Object]:
        """All items of a collection, asked for in chunks. Raises Gone if it took too long."""
        params: dict[str, str | int | bool] = {"limit": chunk}
        if label_selector:
            params["labelSelector"] = label_selector
        if field_selector:
            params["fieldSelector"] = field_selector
        items: list[Object] = []
        while True:
            page = await self.get(path, **params)
            items += page.get("items") or []
            token = page.get("metadata", {}).get("continue")
            if not token:
                return items
            params["continue"] = token

    async def watch(
        self,
        path: str,
        resource_version: str,
        params: dict[str, str | int | bool],
        inactivity_s: float,
    ) -> AsyncGenerator[bytes]:
        """The lines of a watch until the server ends it; a cut-off last line is dropped.

        Raises ApiUnreachable when nothing came for `inactivity_s`: a stalled stream looks just
        like a quiet one, but bookmarks arrive every minute. Close it: `contextlib.aclosing`.
        """
        query = {**params, "watch": True, "resourceVersion": resource_version}
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=inactivity_s
        )
        response = await self._send("GET", path, query, None, _JSON, timeout)
        async with response:
            buffer = bytearray()
            self._watches.add(response)
            try:
                async for data in response.content.iter_any():
                    buffer += data
                    if b"\n" in data:
                        *lines, rest = buffer.split(b"\n")
                        buffer = rest
                        for line in lines:
                            if line:
                                yield bytes(line)
                    elif len(buffer) > _LONGEST_LINE:
                        raise ApiUnreachable(f"watch {path}: a line without end")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unreachable("watch", path, error) from error
            finally:
                self._watches.discard(response)
                if (connection := response.connection) is not None and connection.transport:
                    # Not ended by the server: a TLS connection that is closed in order stays open
                    # until the server has agreed.
                    connection.transport.abort()

    # --- writing ----------------------------------------------------------------------------------

    async def create(self, path: str, obj: Object, **params: str | int | bool) -> Object:
        """POST to a collection. Raises Conflict when it exists."""
        return await self._write("create", "POST", path, params, obj)

    async def put(self, path: str, obj: Object, **params: str | int | bool) -> Object:
        """Replace; optimistic when the object carries metadata.resourceVersion."""
        return await self._write("update", "PUT", path, params, obj)

    async def delete(
        self, path: str, uid: str | None = None, propagation: str | None = None
    ) -> Object:
        """Delete; only that very object when `uid` is given (else Conflict)."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        return await self._write("delete", "DELETE", path, {}, options)

    async def apply(
        self, path: str, obj: Object, manager: str, force: bool = True, **params: str | int | bool
    ) -> Object:
        """Server-side apply as field manager `manager`; `force` takes fields from others."""
        query = {**params, "fieldManager": manager, "force": force}
        return await self._write("apply", "PATCH", path, query, obj, "application/apply-patch+yaml")

    async def apply_status(
        self, path: str, obj: Object, manager: str, force: bool = True
    ) -> Object:
        """Server-side apply of the status subresource of the object at `path`."""
        return await self.apply(f"{path}/status", obj, manager, force)

    async def merge_patch(self, path: str, patch: Object, **params: str | int | bool) -> Object:
        """JSON merge patch (RFC 7386): null removes, lists are replaced."""
        content_type = "application/merge-patch+json"
        return await self._write("patch", "PATCH", path, params, patch, content_type)

    # --- the one way out --------------------------------------------------------------------------

    async def _write(
        self,
        verb: str,
        method: str,
        path: str,
        params: dict[str, Any],
        body: Any,
        content_type: str = _JSON,
    ) -> Object:
        started = time.monotonic()
        status = 0
        try:
            answer = await self._read(method, path, params, msgspec.json.encode(body), content_type)
            status = 200
            return _decode(path, answer)
        except ApiError as error:
            status = error.status
            raise
        finally:
            if self._on_write is not None:
                self._on_write(verb, path, status, time.monotonic() - started)

    async def _read(
        self,
        method: str,
        path: str,
        params: dict[str, Any],
        body: bytes | None = None,
        content_type: str = _JSON,
    ) -> bytes:
        response = await self._send(method, path, params, body, content_type, self._timeout)
        async with response:
            try:
                return await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unreachable(method, path, error) from error

    async def _send(
        self,
        method: str,
        path: str,
        params: dict[str, Any],
        body: bytes | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """A 2xx answer whose body is not read yet; new credentials are tried once after a 401."""
        credentials = self._credentials
        renewed = False
        while True:
            generation = credentials.generation
            headers = {"Content-Type": content_type, **await credentials.headers()}
            url = credentials.host + path + ("?" + urlencode(_plain(params)) if params else "")
            try:
                response = await self._connection().request(
                    method,
                    URL(url, encoded=True),
                    data=body,
                    headers=headers,
                    timeout=limits,
                    ssl=credentials.ssl,
                    server_hostname=credentials.server_hostname,
                    proxy=credentials.proxy,
                    allow_redirects=False,
                )
                if 200 <= response.status < 300:
                    return response
                async with response:
                    error = _api_error(response, await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as cause:
                raise _unreachable(method, path, cause) from cause
            if error.status != 401 or renewed or not await credentials.renew(generation):
                raise error
            renewed = True

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Watches hold a connection each; the number of requests is bounded by the callers.
                connector=aiohttp.TCPConnector(limit=0),
                headers={"User-Agent": USER_AGENT, "Accept": _JSON},
                read_bufsize=2**20,
                # trust_env would read ~/.netrc in a thread for every request, at three times the
                # CPU; Credentials looks at the proxy variables once.
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _plain(params: dict[str, Any]) -> dict[str, str]:
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in params.items()}


def _decode(path: str, body: bytes) -> Object:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiUnreachable(f"{path}: the answer is not a JSON object: {error}") from error


def _unreachable(method: str, path: str, error: BaseException) -> ApiUnreachable:
    return ApiUnreachable(f"{method} {path}: {str(error) or type(error).__name__}")


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""


def _api_error(response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    try:
        status = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy's page, or "404 page not found"
        status = _Status(response.reason or "", body[:300].decode(errors="replace").strip())
    return api_error(
        response.status,
        status.reason,
        status.message,
        _seconds(response.headers.get("Retry-After")),
    )


def _seconds(retry_after: str | None) -> float | None:
    # Kubernetes sends whole seconds, never a date.
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
