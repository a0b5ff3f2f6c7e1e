"""What users do with a platform, as far as several tests do it: workspaces of one's own, registered providers."""

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from modelport import Modelport, NotFoundError
from modelport_testing.canaries import Kind, canary
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack
from modelport_testing.upstreams import Upstream, start_upstream

GATEWAY = "/apis/inference-gateway/v2/workspaces"

_OWN_ADDRESS = re.compile(r"^\s*modelport_gateway\S* +ready .*?(http://\S+)", re.MULTILINE)
_ANTHROPIC: dict[str, Any] = {
    "auth_header_format": "X-Api-Key: {{ auth_secret }}",
    "default_extra_headers": {"anthropic-version": "2023-06-01"},
}


def gateway_urls(stack: LocalStack) -> list[str]:
    """Return the own addresses of a stack's gateways, in order."""
    return _OWN_ADDRESS.findall(stack.console)


@contextmanager
def simulated_providers() -> Iterator[dict[Style, Upstream]]:
    """Run a provider in each style, each with a key that nobody could guess and everybody can search for."""
    with ExitStack() as running:
        yield {
            style: running.enter_context(start_upstream(style, key=canary(Kind.PROVIDER, f"sk-{style}-")))
            for style in Style
        }


@contextmanager
def own_workspace(base_url: str) -> Iterator[str]:
    """Make a workspace, and remove it with all it holds."""
    name = f"ws-{secrets.token_hex(6)}"
    with Modelport(base_url) as client:
        client.workspaces.create(name=name)
        try:
            yield name
        finally:
            client.workspaces.delete(name)


def register(client: Modelport, upstream: Upstream, name: str | None = None, **fields: Any) -> str:
    """Store a provider's key as `<name>-key`, register it as its style needs, wait until it can be used."""
    name = name or str(upstream.style)
    client.secrets.create(name=f"{name}-key", value=upstream.key)
    settings = {**(_ANTHROPIC if upstream.style is Style.ANTHROPIC else {}), **fields}
    settings["api_key_secret_name"] = f"{name}-key"
    client.inference.providers.create(name=name, host_url=upstream.host_url, **settings)
    client.models.wait_for_provider(name)
    return name


def clear_workspace(client: Modelport, workspace: str = "default") -> None:
    """Remove what tests have made in a workspace that cannot itself be removed."""
    for provider in client.inference.providers.list(workspace=workspace):
        client.inference.providers.delete(provider.name, workspace=workspace)
    for secret in client.secrets.list(workspace=workspace):
        client.secrets.delete(secret.name, workspace=workspace)
    # Autoprovisioned ones go with their provider, perhaps while this runs.
    for virtual in client.inference.virtual_models.list(workspace=workspace):
        with suppress(NotFoundError):
            client.inference.virtual_models.delete(virtual.name, workspace=workspace)
    for model in client.models.list(workspace=workspace):
        with suppress(NotFoundError):
            client.models.delete(model.name, workspace=workspace)
