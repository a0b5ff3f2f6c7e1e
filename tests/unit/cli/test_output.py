import csv
import io
import json

import pytest
import yaml

from modelport_testing.nemo import run_here as nemo
from modelport_testing.scripted import Reply, Script, page, provider

PROVIDERS = "/apis/models/v2/workspaces/default/providers"
ITEMS = [
    provider("p1", enabled_models=["gpt-4"], status_message='fine, "quite"'),
    provider("p2", status="ERROR", status_message="key\x1b[2Jrefused\nnow", default_extra_body={"a": 1}),
]


@pytest.fixture(autouse=True)
def _listed(script: Script) -> None:
    script.on("GET", PROVIDERS, Reply(json=page(*ITEMS)))
    script.on("GET", f"{PROVIDERS}/p1", Reply(json=ITEMS[0]))


def lists(output_format: str) -> str:
    return nemo("inference", "providers", "list", "-f", output_format).out


def test_json_is_what_the_platform_sent() -> None:
    assert json.loads(lists("json")) == ITEMS
    assert json.loads(nemo("inference", "providers", "get", "p1").out) == ITEMS[0]


def test_yaml() -> None:
    assert yaml.safe_load(lists("yaml")) == ITEMS


def test_raw_is_one_item_a_line() -> None:
    assert [json.loads(line) for line in lists("raw").splitlines()] == ITEMS


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(lists("csv"))))
    assert [row["name"] for row in rows] == ["p1", "p2"]
    assert rows[0]["status_message"] == 'fine, "quite"'
    assert json.loads(rows[0]["enabled_models"]) == ["gpt-4"]
    assert (rows[0]["default_extra_body"], json.loads(rows[1]["default_extra_body"])) == ("", {"a": 1})
    one = list(csv.DictReader(io.StringIO(nemo("inference", "providers", "get", "p1", "-f", "csv").out)))
    assert one[0]["name"] == "p1"


def test_a_table_has_a_row_each_and_nothing_that_steers_a_terminal() -> None:
    lines = lists("table").splitlines()
    assert lines[0].split() == ["NAME", "WORKSPACE", "STATUS", "MODELS", "HOST", "URL", "MESSAGE"]
    assert lines[1].split()[:4] == ["p1", "default", "READY", "0"]
    assert "\x1b" not in lists("table")
    one = nemo("inference", "providers", "get", "p1", "-f", "table").out.splitlines()
    assert ["status", "READY"] in [line.split() for line in one]


def test_the_format_may_stand_first() -> None:
    assert yaml.safe_load(nemo("-f", "yaml", "inference", "providers", "list").out) == ITEMS
    assert json.loads(nemo("-f", "yaml", "inference", "providers", "list", "-f", "json").out) == ITEMS


def test_an_empty_list(script: Script) -> None:
    script.on("GET", PROVIDERS, Reply(json=page()))
    assert json.loads(lists("json")) == []
    assert lists("csv") == ""
    assert lists("raw") == ""
    assert lists("table").split()[0] == "NAME"
