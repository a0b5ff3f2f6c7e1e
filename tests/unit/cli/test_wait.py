import pytest

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import Reply, Script, error, provider

PROVIDER = "/apis/models/v2/workspaces/default/providers/openai"
READY = "/apis/inference-gateway/v2/workspaces/default/provider/openai/ready"
WAIT = ["wait", "inference", "provider", "openai"]


def test_it_shows_what_happens_and_ends_well(script: Script) -> None:
    script.on("GET", PROVIDER, Reply(json=provider(status="CREATED")), Reply(json=provider()))
    ready = {"ready": True, "provider": "default/openai", "host_url": "http://x"}
    script.on("GET", READY, Reply(404), Reply(json=ready))
    done = nemo(*WAIT)
    assert (done.code, done.out) == (0, "Provider default/openai is ready.\n")
    assert done.err == "Waiting for provider default/openai ...\n  CREATED\n  READY\n"


def test_when_time_is_up_it_says_what_the_provider_says(script: Script) -> None:
    message = "the provider refused the key (401): check secret openai-api-key"
    script.on("GET", PROVIDER, Reply(json=provider(status="ERROR", status_message=message)))
    done = nemo(*WAIT, "--timeout", "0.1")
    assert (done.code, done.out) == (1, "")
    assert f"  ERROR: {message}\n" in done.err
    assert f"Error: provider openai is not READY after 0.1 s, it is ERROR: {message}\n" in done.err


def test_a_provider_that_does_not_exist(script: Script) -> None:
    script.on("GET", PROVIDER, Reply(404, json=error(404, "not_found", "no provider openai in default")))
    done = nemo(*WAIT)
    assert done.code == 1
    assert "no provider openai in default" in done.err


def test_a_platform_that_is_away() -> None:
    done = nemo(*WAIT, "--timeout", "0")
    assert done.code == 1
    assert "cannot reach the platform" in done.err


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e20", "604801", "-1"])
def test_a_timeout_that_no_clock_has(seconds: str) -> None:
    done = nemo(*WAIT, "--timeout", seconds)
    assert (done.code, done.out) == (2, "")
    assert "--timeout" in done.err


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e300", "0"])
def test_an_interval_that_no_clock_has(seconds: str) -> None:
    done = nemo("status", "--watch", "--interval", seconds)
    assert (done.code, done.out) == (2, "")
    assert "--interval" in done.err
