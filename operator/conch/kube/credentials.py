"""How to reach the API server and who we are there: kubeconfig, exec plugins or the pod's token.

Loading is the `kubernetes` package's; this module decides only which source is used and when it is
read again. Only `ApiClient`-free parts are imported: the typed models would cost tens of MiB.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from yaml import YAMLError

from conch.errors import SettingsError

Load = Callable[[], Awaitable[Configuration]]

# What the library's reader raises where it expects another shape of file.
_MALFORMED: Final = (AttributeError, TypeError, ValueError, LookupError)

# A server that refuses good credentials must not make us run an exec plugin per request.
_RENEW_INTERVAL_S: Final = 5.0


class Credentials:
    """Address, TLS and token of one cluster; read again when the server refuses them (401)."""

    def __init__(self, load: Load, configuration: Configuration) -> None:
        self._load = load
        self._lock = asyncio.Lock()
        self._renewed_at = float("-inf")
        self.generation = 0
        self._use(configuration)

    @classmethod
    async def find(
        cls, kubeconfig: Path | str | None = None, context: str | None = None
    ) -> Credentials:
        """From that kubeconfig; else from the pod we run in; else from the default kubeconfig.

        Raises SettingsError when there is none or it cannot be read.
        """

        async def load() -> Configuration:
            return await _load(kubeconfig, context)

        return cls(load, await load())

    @classmethod
    def anonymous(cls, host: str) -> Credentials:
        """No token, no TLS settings: for servers on the loopback that ask for none."""

        async def load() -> Configuration:
            return Configuration(host=host)

        return cls(load, Configuration(host=host))

    async def headers(self) -> dict[str, str]:
        """The Authorization header, if there is one; a pod's token is re-read every minute."""
        settings = await self._configuration.auth_settings()
        token = settings.get("BearerToken")
        if token is None or not token["value"]:
            return {}
        return {"Authorization": token["value"].strip()}

    async def renew(self, seen: int) -> bool:
        """Read everything again, unless somebody did since generation `seen`.

        False: it was tried a moment ago, the server means it.
        """
        async with self._lock:
            if self.generation != seen:
                return True
            if time.monotonic() - self._renewed_at < _RENEW_INTERVAL_S:
                return False
            self._renewed_at = time.monotonic()
            self._use(await self._load())
            self.generation += 1
            return True

    def _use(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.host: str = configuration.host.rstrip("/")
        self.proxy: str | None = configuration.proxy or _proxy(self.host)
        self.server_hostname: str | None = configuration.tls_server_name
        try:
            # The library's own reading of CA, client certificate and verification switches.
            self.ssl: ssl.SSLContext = RESTClientObject(configuration).ssl_context
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"the cluster's TLS files cannot be used: {error}") from error


def _proxy(host: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say about that host."""
    url = urlsplit(host)
    if proxy_bypass(url.hostname or ""):
        return None
    return getproxies().get(url.scheme)


async def _load(kubeconfig: Path | str | None, context: str | None) -> Configuration:
    configuration = Configuration()
    inside = kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if inside:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=None if kubeconfig is None else str(kubeconfig),
                context=context,
                client_configuration=configuration,
                persist_config=False,  # ours to read, not to write
            )
    except (config.ConfigException, YAMLError, OSError, *_MALFORMED) as error:
        where = "the pod's service account" if inside else f"kubeconfig {kubeconfig or 'default'}"
        raise SettingsError(f"{where} cannot be used: {error}") from error
    return configuration
