"""The egress guard as a user of the local stack meets it (docs/wire.md, 3.6)."""

import httpx

from modelport import Modelport
from modelport_testing.polling import eventually_sync
from modelport_testing.terminal import Terminal


def test_an_address_that_is_refused_at_once(terminal: Terminal) -> None:
    done = terminal.nemo("inference", "providers", "create", "cloud", "--host-url", "http://169.254.169.254/latest")
    assert done.code == 1
    assert "169.254.169.254 is a link-local address (cloud metadata is there)" in done.err
    assert "MODELPORT_EGRESS_ALLOW" in done.err
    assert "Traceback" not in done.err


def test_discovery_tells_what_the_guard_refused(client: Modelport, base_url: str) -> None:
    url = f"http://localhost:{httpx.URL(base_url).port}"
    client.inference.providers.create(name="self", host_url=url)
    eventually_sync(lambda: client.inference.providers.retrieve("self").status == "ERROR", 10)
    message = client.inference.providers.retrieve("self").status_message
    assert message == f"{url} is this gateway itself; a provider's host_url must name another server"
