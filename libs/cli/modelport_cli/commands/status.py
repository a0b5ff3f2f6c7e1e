"""`nemo status` and `nemo cluster-info`: what the platform says of itself."""

import sys
import time
from collections import Counter
from typing import Annotated, Any

import typer

from modelport_cli.command import command
from modelport_cli.failures import describe
from modelport_cli.output import record, show_item, show_value
from modelport_cli.session import OutputFormat, Session
from modelport_cli.text import FEW, note, printable

WATCH_INTERVAL_S = 2.0
_IN_ERROR = "ERROR"
_MESSAGE_LENGTH = 200
_CLEAR = "\x1b[H\x1b[2J"

Watch = Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")]
MAX_INTERVAL_S = 24 * 3600
Interval = Annotated[
    float,
    typer.Option(
        "--interval",
        min=0.1,
        max=MAX_INTERVAL_S,
        metavar="SECONDS",
        help="Between two looks; a day is the longest.",
    ),
]


def add_to(root: typer.Typer) -> None:
    """Add the commands to the command line."""
    command(root, "status")(status)
    command(root, "cluster-info")(cluster_info)


def status(session: Session, watch: Watch = False, interval: Interval = WATCH_INTERVAL_S) -> None:
    """Show which services are ready, the gateways, and the providers by state."""
    if not watch:
        _show(session, _look(session))
        return
    try:
        while True:
            try:
                seen = _look(session)
            except Exception as error:
                # A watch goes on while the platform restarts.
                note(f"{time.strftime('%H:%M:%S')} {describe(error, session)[0]}")
            else:
                if sys.stdout.isatty():
                    sys.stdout.write(_CLEAR)
                _show(session, seen)
            sys.stdout.flush()
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def cluster_info(session: Session) -> None:
    """Show the platform's address and version."""
    found = session.connection
    show_item(
        session,
        {"base_url": found.base_url, "workspace": found.workspace, **record(session.client.cluster_info())},
    )


def _look(session: Session) -> dict[str, Any]:
    from modelport import StatusError

    platform = session.client.status()
    seen = {"base_url": session.connection.base_url, **record(platform)}
    try:
        listed = list(session.client.inference.providers.list(workspace="-", page_size=1000, sort="name"))
        seen["providers"] = dict(sorted(Counter(str(one.status) for one in listed).items()))
        seen["providers_in_error"] = [
            {"name": f"{one.workspace}/{one.name}", "message": one.status_message}
            for one in listed
            if one.status == _IN_ERROR
        ][:FEW]
    except StatusError as error:
        seen |= {"providers": {}, "providers_in_error": []}
        note(f"Providers cannot be listed: {error.message}")
    return seen


def _show(session: Session, seen: dict[str, Any]) -> None:
    if session.output_format not in (OutputFormat.TABLE, OutputFormat.CSV):
        show_value(session, seen)
        return
    for line in _lines(seen):
        print(printable(line))


def _lines(seen: dict[str, Any]) -> list[str]:
    services = seen.get("services", {})
    waiting = services.get("not_ready", [])
    lines = [f"Platform   {seen['status']} at {seen['base_url']}"]
    lines += [f"Services   {', '.join(services.get('ready', [])) or 'none'} ready"]
    lines += [f"           {one['name']} not ready: {one.get('message', '')}" for one in waiting]
    gateways = seen.get("gateways") or []
    if gateways:
        lines.append(f"Gateways   {sum(one['live'] for one in gateways)} live")
        lines += [f"           {_gateway(one)}" for one in gateways]
    counts = [f"{count} {state}" for state, count in seen["providers"].items()]
    lines.append(f"Providers  {', '.join(counts) or 'none'}")
    lines += [f"           {one['name']}: {_brief(one['message'])}" for one in seen["providers_in_error"]]
    more = seen["providers"].get(_IN_ERROR, 0) - len(seen["providers_in_error"])
    if more:
        lines.append(
            f"           and {more} more: nemo inference providers list --workspace - --filter 'status:\"ERROR\"'"
        )
    shown = [f"{name} {where}" for name, where in seen.get("metrics", {}).items()]
    lines += [f"{'Metrics' if not number else '':<11}{one}" for number, one in enumerate(shown)]
    return lines


def _brief(message: str | None) -> str:
    text = " ".join((message or "no reason is known").split())
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _gateway(one: dict[str, Any]) -> str:
    """Say of a gateway what it acts on."""
    if not one["live"]:
        return f"{one['id']}: nothing was heard of it lately"
    if one.get("applied") is None:
        return f"{one['id']}: does not have the current routing table yet"
    lag = one.get("lag") or 0
    return f"{one['id']}: {f'{lag} changes behind' if lag else 'up to date'} (change {one['applied']})"
