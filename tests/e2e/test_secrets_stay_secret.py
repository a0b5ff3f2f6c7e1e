"""No key that was ever given to a platform is in any of its files, its output, or an answer to anybody."""

from pathlib import Path

import httpx

from modelport import Modelport
from modelport_testing.canaries import Kind, Place, canary, hunt, spellings
from modelport_testing.journeys import GATEWAY, register, simulated_providers
from modelport_testing.polling import eventually_sync
from modelport_testing.stack import LocalStack
from modelport_testing.terminal import Terminal

ROTATED = canary(Kind.PROVIDER, "sk-rotated-")
IN_BAD_BODY = canary(Kind.PROVIDER, "sk-in-a-bad-body-")
NGC = canary(Kind.PROVIDER, "nvapi-of-the-environment-")


def files_holding(root: Path, secrets: list[str]) -> list[str]:
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found += [
                f"{path.relative_to(root)}: {one[:12]}" for one in secrets if any(s in content for s in spellings(one))
            ]
    return found


def use_everything(client: Modelport, terminal: Terminal) -> list[str]:
    """Create, use, rotate, misuse and delete secrets; return every value that was given to the platform."""
    given = [ROTATED, IN_BAD_BODY, NGC]
    answers = []

    def works(provider: str) -> bool:
        reply = httpx.get(f"{client.base_url}{GATEWAY}/default/provider/{provider}/-/v1/models")
        return reply.status_code == 200

    with simulated_providers() as upstreams:
        for upstream in upstreams.values():
            register(client, upstream)
            assert upstream.key is not None
            given.append(upstream.key)
            listed = client.inference.gateway.provider.get("v1/models", name=str(upstream.style))
            assert listed["data"]
            # A provider that is told a wrong key, and one that fails.
            right, upstream.key = upstream.key, ROTATED
            client.models.wait_for_gateway(str(upstream.style))
            refused = httpx.get(f"{client.base_url}{GATEWAY}/default/provider/{upstream.style}/-/v1/models")
            assert refused.status_code == 401
            answers.append(refused.text)
            client.secrets.update(f"{upstream.style}-key", value=ROTATED)
            eventually_sync(lambda: works(str(upstream.style)))  # noqa: B023 (called at once)
            upstream.die()
            broken = httpx.get(f"{client.base_url}{GATEWAY}/default/provider/{upstream.style}/-/v1/models")
            assert broken.status_code == 502
            answers.append(broken.text)
            upstream.revive()
            assert right != upstream.key
        # Characters that break a header: the value is refused where the header is built, without being shown.
        client.secrets.create(name="broken-key", value=f"{IN_BAD_BODY}\r\nx-injected: 1")
        host = upstream.host_url
        client.inference.providers.create(name="broken", host_url=host, api_key_secret_name="broken-key")
        eventually_sync(
            lambda: httpx.get(f"{client.base_url}{GATEWAY}/default/provider/broken/-/v1/models").status_code == 424
        )
        answers.append(httpx.get(f"{client.base_url}{GATEWAY}/default/provider/broken/-/v1/models").text)
        secrets = f"{client.base_url}/apis/secrets/v2/workspaces/default/secrets"
        answers += [
            httpx.post(secrets, json={"name": IN_BAD_BODY.upper(), "value": IN_BAD_BODY}).text,
            httpx.post(secrets, json={"name": "a-key", "value": [IN_BAD_BODY]}).text,
            httpx.post(secrets, content=f'{{"value": "{IN_BAD_BODY}').text,
            httpx.post(secrets, json={"name": "broken-key", "value": IN_BAD_BODY}).text,
            httpx.get(secrets).text,
            httpx.get(f"{secrets}/openai-key").text,
            httpx.get(f"{client.base_url}/apis/models/v2/workspaces/-/providers").text,
            httpx.get(f"{client.base_url}/status").text,
        ]
        stored = terminal.nemo("-v", "secrets", "create", "by-hand", "--from-file", "-", stdin=IN_BAD_BODY)
        again = terminal.nemo("-v", "secrets", "create", "by-hand", "--value", IN_BAD_BODY)
        assert (stored.code, again.code) == (0, 1)
        answers += [stored.out, stored.err, again.out, again.err]
        client.secrets.delete("openai-key")
        # What is still unanswered when the platform stops is logged, too.
        client.inference.providers.update("nvidia", host_url="http://127.0.0.1:9", api_key_secret_name="nvidia-key")
    leaks = [answer for answer in answers for one in given if one in answer.replace(IN_BAD_BODY.upper(), "")]
    assert leaks == []
    return given


def test_no_key_is_written_down_anywhere(tmp_path: Path) -> None:
    environment = {"NGC_API_KEY": NGC, "MODELPORT_LOG_LEVEL": "debug", "MODELPORT_LAME_DUCK_S": "0"}
    searched = hunt().searched[f"{Place.VALKEY} bytes"]
    stack = LocalStack(tmp_path / "data", tmp_path / "console.txt", environment=environment)
    try:
        stack.start()
        with Modelport(stack.base_url) as client:
            given = use_everything(client, Terminal(tmp_path / "home", stack.base_url))
        assert files_holding(stack.data_dir, given) == []
        stack.search_keys()
        assert hunt().searched[f"{Place.VALKEY} bytes"] > searched, "Valkey could not be looked into"
        assert stack.stop() == 0
    finally:
        stack.close()
    assert files_holding(stack.data_dir, given) == []
    assert [one for one in given if one in stack.console] == []
    # The search finds what is there: names are no secrets, and every part has written something.
    everything = b"".join(path.read_bytes() for path in stack.data_dir.rglob("*") if path.is_file())
    assert b"openai-key" in everything
    logs = {path.name for path in (stack.data_dir / "logs").iterdir()}
    assert logs >= {"modelport_gateway.log", "modelport_models.log", "modelport_secrets.log", "nats-server.log"}
