"""The two clients."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from modelport import config
from modelport.calls import Call, parse_as
from modelport.errors import ArgumentError
from modelport.flows import Policy, exchange, perform
from modelport.platform import ClusterInfo, PlatformStatus
from modelport.resources.audit import AsyncAudit, Audit
from modelport.resources.gateway import parse_any
from modelport.resources.inference import AsyncInference, Inference
from modelport.resources.models import AsyncModels, Models
from modelport.resources.secrets import AsyncSecrets, Secrets
from modelport.resources.workspaces import AsyncWorkspaces, Workspaces
from modelport.runners import AsyncRunner, SyncRunner
from modelport.scope import Scope

DEFAULT_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
DEFAULT_MAX_RETRIES = 2
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_LOOPBACK: Mapping[str, None] = {f"all://{'[::1]' if ':' in host else host}": None for host in _LOOPBACK_HOSTS}
"""Addresses on this machine are never asked for through a proxy that the environment names."""


class Modelport:
    """A client of the platform.

    Arguments go before NMP_BASE_URL, NMP_WORKSPACE and NMP_ACCESS_TOKEN, those before the configuration file that
    `nemo config set` writes; the default is http://localhost:8080, workspace "default", no token. `timeout` is in
    seconds, for each phase of an exchange; connecting takes 5 s at most. Failures that may pass are retried
    `max_retries` times: connections refused, 408, 409, 429, 503, and for methods that may be repeated 500 and above
    and broken connections; `Retry-After` and `x-should-retry` are followed. Safe to use from several threads.
    """

    def __init__(
        self,
        base_url: str | None = None,
        workspace: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        max_retries: int = DEFAULT_MAX_RETRIES,
        *,
        http_client: httpx.Client | None = None,
    ) -> None:
        found = config.resolve(base_url=base_url, workspace=workspace, token=api_key)
        self._owns_http = http_client is None
        http = http_client or httpx.Client(
            timeout=_timeout(timeout), limits=_LIMITS, mounts=_LOOPBACK, verify=_trust(found.base_url)
        )
        scope = Scope(found.base_url, found.workspace)
        self._runner = SyncRunner(http, scope, Policy(found.base_url, max_retries), found.token)
        self.secrets = Secrets(self._runner)
        self.workspaces = Workspaces(self._runner)
        self.models = Models(self._runner)
        self.inference = Inference(self._runner)
        self.audit = Audit(self._runner)

    @property
    def base_url(self) -> str:
        """The platform's address, without a slash at its end."""
        return self._runner.scope.base_url

    @property
    def workspace(self) -> str:
        """The workspace of all calls that name none."""
        return self._runner.scope.workspace

    def status(self) -> PlatformStatus:
        """Return which services are ready, and the live gateways."""
        return self._runner.run(perform(_STATUS, self._runner.policy))

    def cluster_info(self) -> ClusterInfo:
        """Return the platform's version."""
        return self._runner.run(perform(_CLUSTER_INFO, self._runner.policy))

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """Send any request, with the client's token, retries and errors, and return the reply itself.

        `path` begins with a slash and is sent as it is. With `stream` the reply's body is yet to be read, and the
        reply to be closed.
        """
        call = _any_call(method, path, body, headers)
        return self._runner.run(exchange(call, self._runner.policy, stream=stream))

    def close(self) -> None:
        """Close the connections; of an `http_client` of the user's own they stay open."""
        if self._owns_http:
            self._runner.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Modelport {self.base_url} workspace={self.workspace}>"


class AsyncModelport:
    """Modelport for asyncio: the same resources and methods, to be awaited.

    `list()` is awaited for the first page or iterated over with `async for` for all items.
    """

    def __init__(
        self,
        base_url: str | None = None,
        workspace: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        max_retries: int = DEFAULT_MAX_RETRIES,
        *,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        found = config.resolve(base_url=base_url, workspace=workspace, token=api_key)
        self._owns_http = http_client is None
        http = http_client or httpx.AsyncClient(
            timeout=_timeout(timeout), limits=_LIMITS, mounts=_LOOPBACK, verify=_trust(found.base_url)
        )
        scope = Scope(found.base_url, found.workspace)
        self._runner = AsyncRunner(http, scope, Policy(found.base_url, max_retries), found.token)
        self.secrets = AsyncSecrets(self._runner)
        self.workspaces = AsyncWorkspaces(self._runner)
        self.models = AsyncModels(self._runner)
        self.inference = AsyncInference(self._runner)
        self.audit = AsyncAudit(self._runner)

    @property
    def base_url(self) -> str:
        """The platform's address, without a slash at its end."""
        return self._runner.scope.base_url

    @property
    def workspace(self) -> str:
        """The workspace of all calls that name none."""
        return self._runner.scope.workspace

    async def status(self) -> PlatformStatus:
        """Return which services are ready, and the live gateways."""
        return await self._runner.run(perform(_STATUS, self._runner.policy))

    async def cluster_info(self) -> ClusterInfo:
        """Return the platform's version."""
        return await self._runner.run(perform(_CLUSTER_INFO, self._runner.policy))

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """Send any request, with the client's token, retries and errors, and return the reply itself.

        `path` begins with a slash and is sent as it is. With `stream` the reply's body is yet to be read, and the
        reply to be closed.
        """
        call = _any_call(method, path, body, headers)
        return await self._runner.run(exchange(call, self._runner.policy, stream=stream))

    async def close(self) -> None:
        """Close the connections; of an `http_client` of the user's own they stay open."""
        if self._owns_http:
            await self._runner.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncModelport {self.base_url} workspace={self.workspace}>"


_STATUS = Call("GET", "/status", parse_as(PlatformStatus))
_CLUSTER_INFO = Call("GET", "/cluster-info", parse_as(ClusterInfo))


def _any_call(method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None) -> Call[Any]:
    if not path.startswith("/"):
        raise ArgumentError("path must begin with a slash")
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return Call(method.upper(), path, parse_any, body=body, headers=lowered)


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT_S))


def _trust(base_url: str) -> ssl.SSLContext | bool:
    """Return what TLS goes by: for a plain address on this machine, where there is none, a context that trusts nobody.

    Loading the usual certificates takes 50 ms, too much for a command that takes 300.
    """
    parts = urlsplit(base_url)
    if parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True
