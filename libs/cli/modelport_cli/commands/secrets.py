"""`nemo secrets`."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelport_cli.command import command, group
from modelport_cli.failures import CommandError
from modelport_cli.inputs import Description, FromFile, ListFlags, Value, secret_value, valid_name
from modelport_cli.output import show_item, show_list
from modelport_cli.session import Session
from modelport_cli.text import FEW, few, note

if TYPE_CHECKING:
    from modelport import Modelport

app = group("API keys and the like: stored once, named by providers, never shown again.")
admin = group("What concerns the secrets of all workspaces.")
app.add_typer(admin, name="admin")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name.", callback=valid_name)]
_MOST_AT_ONCE = 1000
_COLUMNS = {"NAME": "name", "WORKSPACE": "workspace", "DESCRIPTION": "description", "UPDATED": "updated_at"}


@command(app, "create")
def create(
    session: Session,
    name: Name,
    from_file: FromFile = None,
    value: Value = None,
    description: Description = None,
) -> None:
    """Store a secret: from a file, from stdin, or typed at a hidden prompt. Whitespace around it is dropped.

    echo "$OPENAI_API_KEY" | nemo secrets create openai-api-key --from-file -
    """
    text = secret_value(value, from_file, required=True)
    show_item(session, session.client.secrets.create(name=name, value=text, description=description))


@command(app, "list")
def list_secrets(session: Session, wanted: ListFlags) -> None:
    """List secrets, without their values; --workspace - lists those of all workspaces."""
    show_list(session, session.client.secrets.list(**wanted.query()), _COLUMNS, all_pages=wanted.all_pages)


@command(app, "get")
def get(session: Session, name: Name) -> None:
    """Show what is known of a secret: never its value."""
    show_item(session, session.client.secrets.retrieve(name))


@command(app, "update")
def update(
    session: Session,
    name: Name,
    from_file: FromFile = None,
    value: Value = None,
    description: Description = None,
) -> None:
    """Change a secret's value or description. A new value is in use everywhere within a second."""
    from modelport import UNSET

    text = secret_value(value, from_file, required=description is None)
    changed = session.client.secrets.update(
        name, value=text, description=UNSET if description is None else description or None
    )
    show_item(session, changed)


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a secret. Providers that name it answer 424 from then on."""
    session.client.secrets.delete(name)
    note(f"Secret {name} is deleted.")
    mend = "store it again, or give another with `nemo inference providers update`"
    users, count = _users(session.client, name)
    if users:
        note(f"Warning: {_who(users, count)} it: {mend}")
    believers = _believers(session.client, name)
    if believers:
        note(f"Warning: {_who(believers, len(believers))} it as options.ca_secret_name: {mend}")


@command(admin, "rotate-encryption-keys")
def rotate_encryption_keys(session: Session) -> None:
    """Wrap every secret's data key under the newest key-encryption key. Values stay as they are.

    It may be interrupted, and goes on when it is called again. How keys are rotated: docs/encryption.md.
    """
    total = 0
    while True:
        done = session.client.secrets.admin.rotate_encryption_keys()
        total += done.rotated_secrets
        if done.success or not done.rotated_secrets:
            break
        note(f"{total} so far.")
    show_item(session, {"rotated_secrets": total, "success": done.success})
    if not done.success:
        raise CommandError(
            "some secrets are not under the newest key yet", "the secrets service's log says why; then call this again"
        )


def _who(users: list[str], count: int) -> str:
    return f"provider {users[0]} names" if count == 1 else f"providers {few(users, count)} name"


def _users(client: "Modelport", secret: str) -> tuple[list[str], int]:
    """Return a few of the providers that name a secret, and how many there are; none where nobody can say."""
    from modelport import ModelportError

    try:
        found = client.inference.providers.list(filter={"api_key_secret_name": secret}, sort="name", page_size=FEW)
    except ModelportError:
        return [], 0
    return [one.name for one in found.data], found.pagination.total_results


def _believers(client: "Modelport", secret: str) -> list[str]:
    """Return the providers whose certificate authority a secret holds; none where nobody can say.

    Options are no field to filter by, so this looks at every provider of the workspace.
    """
    from modelport import ModelportError

    try:
        listed = list(client.inference.providers.list(sort="name", page_size=_MOST_AT_ONCE))
    except ModelportError:
        return []
    return [one.name for one in listed if one.options is not None and one.options.ca_secret_name == secret]
