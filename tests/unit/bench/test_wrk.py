import pytest

from modelport_bench.wrk import LoadError, parse

OUTPUT = """Running 2s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.00ms    1.00ms  20.00ms   90.00%%
Requests/sec:  50000.00
measured: {"requests":100000,"duration_us":2000000,"bytes":3,"p50_us":27,"p90_us":80,"p99_us":900,"max_us":20000,%s}
"""
NO_ERRORS = '"connect":0,"read":0,"write":0,"status":0,"timeout":0'


def test_figures_are_read() -> None:
    load = parse(OUTPUT % NO_ERRORS)

    assert (load.requests, load.rate, load.p50_us, load.p99_us, load.max_us) == (100_000, 50_000, 27, 900, 20_000)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "status", "timeout"])
def test_a_failed_request_fails_the_load(kind: str) -> None:
    with pytest.raises(LoadError, match=f"3 {kind}"):
        parse(OUTPUT % NO_ERRORS.replace(f'"{kind}":0', f'"{kind}":3'))


def test_no_request_at_all_fails_the_load() -> None:
    with pytest.raises(LoadError, match="no request answered"):
        parse((OUTPUT % NO_ERRORS).replace('"requests":100000', '"requests":0'))


def test_output_without_figures_is_shown() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1")
