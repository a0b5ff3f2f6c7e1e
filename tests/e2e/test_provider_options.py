"""A provider's options, set by the SDK and by `nemo`, take effect at the gateway as soon as the change has arrived."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from modelport import Modelport
from modelport_testing.certificates import Authority
from modelport_testing.journeys import GATEWAY, gateway_urls, register
from modelport_testing.polling import eventually_sync
from modelport_testing.providers import Style
from modelport_testing.stack import LocalStack
from modelport_testing.terminal import Terminal
from modelport_testing.upstreams import Upstream, start_upstream


def asks(base_url: str, workspace: str, provider: str) -> httpx.Response:
    return httpx.get(f"{base_url}{GATEWAY}/{workspace}/provider/{provider}/-/v1/echo", timeout=30)


def outcome(reply: httpx.Response) -> str:
    return "ok" if reply.is_success else str(reply.json()["error"]["code"])


def test_timeouts_and_limits(
    terminal: Terminal, client: Modelport, shared_stack: LocalStack, workspace: str, openai_upstream: Upstream
) -> None:
    register(client, openai_upstream)
    base_url = gateway_urls(shared_stack)[0]  # the limit counts for each gateway process
    openai_upstream.faults.path_prefix = "/v1/echo"
    openai_upstream.faults.delay_s = 1.5
    update = ["inference", "providers", "update", "openai", "--options"]
    changed = terminal.nemo("-f", "json", *update, '{"first_byte_timeout_s": 0.3}').ok()
    assert json.loads(changed)["options"]["first_byte_timeout_s"] == 0.3
    eventually_sync(lambda: outcome(asks(base_url, workspace, "openai")) == "first_byte_timeout", 10)

    host_url = openai_upstream.host_url
    client.inference.providers.update(
        "openai", host_url=host_url, api_key_secret_name="openai-key", options={"max_concurrency": 1, "max_queue_s": 0}
    )

    def two_at_a_time() -> list[str]:
        with ThreadPoolExecutor(2) as both:
            replies = both.map(lambda _: asks(base_url, workspace, "openai"), range(2))
            return sorted(outcome(reply) for reply in replies)

    eventually_sync(lambda: two_at_a_time() == ["ok", "provider_busy"], 20)
    # a PUT that does not name the options keeps them, one that empties them ends them
    client.inference.providers.update("openai", host_url=host_url, api_key_secret_name="openai-key")
    assert two_at_a_time() == ["ok", "provider_busy"]
    terminal.nemo(*update, "{}").ok()
    eventually_sync(lambda: two_at_a_time() == ["ok", "ok"], 20)


def test_options_that_cannot_be(terminal: Terminal, client: Modelport, openai_upstream: Upstream) -> None:
    register(client, openai_upstream)
    for options, named in (
        ('{"idle_timeout_s": 0.01}', "idle_timeout_s"),
        ('{"max_concurrency": 0}', "max_concurrency"),
        ('{"connect_timeout": 3}', "connect_timeout"),
        ('{"ca_secret_name": "nobody"}', "options.ca_secret_name"),
    ):
        refused = terminal.nemo("inference", "providers", "update", "openai", "--options", options)
        assert refused.code == 1, options
        assert named in refused.err


def test_a_provider_behind_a_ca_of_its_own(
    terminal: Terminal, client: Modelport, base_url: str, workspace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(authority.pem)

    def message() -> str:
        return client.inference.providers.retrieve("private").status_message

    with start_upstream(Style.OPENAI, tls=authority.server()) as upstream:
        terminal.nemo("inference", "providers", "create", "private", "--host-url", upstream.host_url).ok()
        eventually_sync(lambda: "options.ca_secret_name" in message(), 15)
        terminal.nemo("secrets", "create", "company-ca", "--from-file", str(bundle)).ok()
        options = '{"ca_secret_name": "company-ca"}'
        terminal.nemo("inference", "providers", "update", "private", "--options", options).ok()
        assert client.models.wait_for_provider("private")
        assert outcome(asks(base_url, workspace, "private")) == "ok"
        client.secrets.delete("company-ca")
        eventually_sync(lambda: outcome(asks(base_url, workspace, "private")) == "ca_unusable", 10)
        eventually_sync(lambda: f"{workspace}/company-ca" in message(), 15)
        client.secrets.create(name="company-ca", value=authority.pem)
        eventually_sync(lambda: outcome(asks(base_url, workspace, "private")) == "ok", 10)
        client.inference.providers.delete("private")
