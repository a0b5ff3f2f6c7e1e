"""The secrets service's database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, or_, select, tuple_, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from modelport_contracts.names import new_id
from modelport_contracts.pages import Pagination
from modelport_contracts.resources.secrets import BUILT_IN_SECRET, Secret
from modelport_contracts.sync import ChangesPage, Position, SnapshotPage, SyncRecord
from modelport_kit.database import restored
from modelport_kit.database.changes import changes_after, current_revision
from modelport_kit.database.engine import Database
from modelport_kit.database.query import fetch_page
from modelport_kit.database.write import WriteTransaction
from modelport_kit.errors import AlreadyExistsError, ApiError, NotFoundError
from modelport_kit.lists import PageRequest
from modelport_kit.origin import Origin
from modelport_kit.redaction import held
from modelport_secrets import domain
from modelport_secrets.keyring import Keyring
from modelport_secrets.sealing import DataKey, UnsealError, WrappedKey, seal, unseal
from modelport_secrets.tables import SECRET

logger = structlog.get_logger(__name__)

_SEALED = ("workspace", "workspace_id", "name", "revision", "kek_id", "wrapped_key", "ciphertext")
_REVEALED = select(*(SECRET.c[name] for name in _SEALED)).where(
    SECRET.c.workspace == bindparam("in_workspace"), SECRET.c.name == bindparam("named")
)
"""Made once: every gateway asks at the same moment, and making a statement costs more than running it."""
_FIELDS = {name: SECRET.c[name] for name in ("name", "workspace", "description", "created_at", "updated_at")}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Revealed:
    """A value, its version, and the workspace it was stored in (None: a built-in secret)."""

    value: str
    version: int
    workspace_id: str | None

    def __post_init__(self) -> None:
        held.hold(self, self.value)

    def __repr__(self) -> str:
        return f"Revealed(version={self.version})"


class SecretStore:
    """Secrets in SQL. `now` returns naive UTC.

    A `workspace_id` is the workspace's current one: rows of a former workspace of the same name are not there.
    """

    def __init__(self, database: Database, keyring: Keyring, now: Callable[[], datetime]) -> None:
        self._database = database
        self._keyring = keyring
        self._now = now

    async def create(
        self, workspace: str, workspace_id: str, name: str, value: str, description: str | None
    ) -> tuple[Secret, int]:
        """Store a new secret; returns it and its revision.

        Raises AlreadyExistsError, also for a former workspace's row.
        """
        key = await self._keyring.new_data_key()
        moment = self._now()
        row: dict[str, Any] = {
            "id": new_id("secret"),
            "workspace": workspace,
            "workspace_id": workspace_id,
            "name": name,
            "description": description,
            "created_at": moment,
            "updated_at": moment,
        }
        try:
            async with self._database.write() as write:
                await write.execute(insert(SECRET).values(row))
                version = await write.take_revision()
                await self._store_value(write, workspace, name, key, value)
                write.tell(domain.created(workspace, name, description, version))
        except IntegrityError:
            raise AlreadyExistsError("secret", f"{workspace}/{name}", "PATCH") from None
        return Secret.model_validate(row), version

    async def _store_value(self, write: WriteTransaction, workspace: str, name: str, key: DataKey, value: str) -> None:
        values = {
            "revision": write.revision,
            "kek_id": key.stored.kek_id,
            "wrapped_key": key.stored.wrapped,
            "ciphertext": seal(key.clear, value, workspace, name, write.revision),
        }
        await write.execute(update(SECRET).where(_is(workspace, name)).values(values))
        write.put(domain.marker_key(workspace, name), domain.marker(workspace, name, write.revision))

    async def get(self, workspace: str, workspace_id: str, name: str) -> tuple[Secret, int]:
        """Return a secret without its value, and its revision. Raises NotFoundError."""
        row = await self._row(workspace, name, _in(workspace, workspace_id))
        return _secret(row), row.revision

    async def _row(self, workspace: str, name: str, *conditions: ColumnElement[bool]) -> Row[Any]:
        rows = await self._database.fetch(select(SECRET).where(_is(workspace, name), *conditions))
        if not rows:
            raise NotFoundError("secret", f"{workspace}/{name}")
        return rows[0]

    async def list(
        self, workspace: str, workspace_id: str | None, request: PageRequest
    ) -> tuple[list[Secret], Pagination]:
        """Return a page of a workspace's secrets; without an id of every secret there is."""
        statement = select(SECRET)
        if workspace_id is not None:
            statement = statement.where(_in(workspace, workspace_id))
        async with self._database.read() as connection:
            rows, position = await fetch_page(
                connection, statement, request, filterable=_FIELDS, sortable=_FIELDS, tie=SECRET.c.id
            )
        return [_secret(row) for row in rows], position

    async def update(
        self,
        workspace: str,
        workspace_id: str,
        name: str,
        value: str | None,
        description: str | None,
        *,
        set_description: bool,
    ) -> tuple[Secret, int]:
        """Change a secret's value, its description, or both. Raises NotFoundError."""
        key = await self._keyring.new_data_key() if value is not None else None
        changes: dict[str, Any] = {"updated_at": self._now()}
        if set_description:
            changes["description"] = description
        async with self._database.write() as write:
            wanted = and_(_is(workspace, name), _in(workspace, workspace_id))
            before = (await write.execute(select(SECRET).where(wanted).with_for_update())).first()
            if before is None:
                raise NotFoundError("secret", f"{workspace}/{name}")
            await write.execute(update(SECRET).where(wanted).values(changes))
            if value is not None and key is not None:
                await write.take_revision()
                await self._store_value(write, workspace, name, key, value)
            row = (await write.execute(select(SECRET).where(wanted))).one()
            write.tell(domain.updated(before._asdict(), row._asdict()))
        return _secret(row), row.revision

    async def delete(self, workspace: str, workspace_id: str, name: str) -> int:
        """Remove a secret and its ciphertext; returns the revision. Raises NotFoundError."""
        async with self._database.write() as write:
            wanted = and_(_is(workspace, name), _in(workspace, workspace_id))
            removed = (await write.execute(delete(SECRET).where(wanted).returning(SECRET))).first()
            if removed is None:
                raise NotFoundError("secret", f"{workspace}/{name}")
            write.tell(domain.deleted(removed._asdict()))
            revision = await write.take_revision()
            write.delete(domain.marker_key(workspace, name))
        return revision

    async def reveal(self, workspace: str, name: str) -> Revealed:
        """Open a secret by its name, whichever workspace of that name it was stored in.

        Raises NotFoundError, also for a built-in secret whose value is not set.
        """
        rows = await self._database.fetch(_REVEALED, {"in_workspace": workspace, "named": name})
        if not rows:
            raise NotFoundError("secret", f"{workspace}/{name}")
        [row] = rows
        if row.ciphertext is None:
            raise NotFoundError("the value of secret", f"{workspace}/{name}", code="secret_not_set")
        try:
            return Revealed(await self._unseal(row), row.revision, row.workspace_id)
        except UnsealError as error:
            logger.error("a secret cannot be opened", secret_name=f"{workspace}/{name}", reason=str(error))
            raise ApiError(500, "secret_unreadable", f"secret {workspace}/{name} cannot be opened: {error}") from None

    async def _unseal(self, row: Row[Any]) -> str:
        clear_key = await self._keyring.unwrap(WrappedKey(row.kek_id, row.wrapped_key))
        return unseal(clear_key, row.ciphertext, row.workspace, row.name, row.revision)

    async def set_built_in(self, value: str | None) -> None:
        """Make the built-in secret what the environment says: present with this value, or without one."""
        try:
            await self._set_built_in(value)
        except IntegrityError:  # another replica made it at the same moment
            await self._set_built_in(value)

    async def _set_built_in(self, value: str | None) -> None:
        workspace, name = BUILT_IN_SECRET
        moment = self._now()
        async with self._database.read() as connection:
            row = (await connection.execute(select(SECRET).where(_is(workspace, name)))).first()
        current = None
        if row is not None and row.ciphertext is not None:
            try:
                current = await self._unseal(row)
            except UnsealError as error:
                # its value is known, so it is sealed anew
                logger.error("a secret cannot be opened", secret_name=f"{workspace}/{name}", reason=str(error))
        if row is not None and current == value and (value is not None or row.ciphertext is None):
            return
        key = await self._keyring.new_data_key() if value is not None else None
        async with self._database.write() as write:
            if row is None:
                await write.execute(
                    insert(SECRET).values(
                        id=new_id("secret"),
                        workspace=workspace,
                        name=name,
                        description="Built in. Its value is NGC_API_KEY of the secrets service's environment.",
                        created_at=moment,
                        updated_at=moment,
                    )
                )
            else:
                await write.execute(update(SECRET).where(_is(workspace, name)).values(updated_at=moment))
            version = await write.take_revision()
            if value is not None and key is not None:
                await self._store_value(write, workspace, name, key, value)
            else:
                empty = {"revision": version, "kek_id": None, "wrapped_key": None, "ciphertext": None}
                await write.execute(update(SECRET).where(_is(workspace, name)).values(empty))
                write.delete(domain.marker_key(workspace, name))
            write.tell(domain.set_from_environment(version, is_set=value is not None))

    async def workspaces(self, only: str | None = None) -> dict[str, set[str | None]]:
        """Return the workspaces that secrets are kept for, with the ids they had; `only` limits it to one name."""
        statement = select(SECRET.c.workspace, SECRET.c.workspace_id).distinct()
        if only is not None:
            statement = statement.where(SECRET.c.workspace == only)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        found: dict[str, set[str | None]] = {}
        for workspace, workspace_id in rows:
            found.setdefault(workspace, set()).add(workspace_id)
        return found

    async def delete_workspace(self, workspace: str, workspace_id: str | None) -> int:
        """Remove the secrets of a workspace that is gone; returns how many."""
        async with self._database.write() as write:
            result = await write.execute(
                delete(SECRET)
                .where(SECRET.c.workspace == workspace, SECRET.c.workspace_id == workspace_id)
                .returning(SECRET)
            )
            rows = result.all()
            if rows:
                await write.take_revision()
                for row in rows:
                    # whoever happened to ask at that moment did not remove it
                    write.tell(domain.deleted(row._asdict()), Origin(actor=domain.SOURCE))
                    write.delete(domain.marker_key(workspace, row.name))
        return len(rows)

    async def snapshot(self, cursor: str | None, limit: int) -> SnapshotPage:
        """Return one page of all markers. Raises ValueError for a cursor of another make."""
        statement = select(SECRET).where(SECRET.c.ciphertext.is_not(None))
        statement = statement.order_by(SECRET.c.workspace, SECRET.c.name).limit(limit)
        pinned: int | None = None
        if cursor is not None:
            revision_text, workspace, name = cursor.split("/")
            pinned = int(revision_text)
            statement = statement.where(tuple_(SECRET.c.workspace, SECRET.c.name) > tuple_(workspace, name))
        async with self._database.read() as connection:
            incarnation, revision = await current_revision(connection)
            rows = (await connection.execute(statement)).all()
        revision = revision if pinned is None else pinned
        records = [
            SyncRecord.of(domain.marker_change(incarnation, row.workspace, row.name, row.revision)) for row in rows
        ]
        following = f"{revision}/{rows[-1].workspace}/{rows[-1].name}" if len(rows) == limit else None
        return SnapshotPage(incarnation=incarnation, revision=revision, records=records, next=following)

    async def changes(self, after: int) -> ChangesPage:
        """Return what changed after a revision."""
        return await changes_after(self._database, after)

    async def seen(self, position: Position) -> Position:
        """Learn how far somebody has seen this source; return where it is."""
        return await restored.seen(self._database, position)


def _is(workspace: str, name: str) -> ColumnElement[bool]:
    return and_(SECRET.c.workspace == workspace, SECRET.c.name == name)


def _in(workspace: str, workspace_id: str) -> ColumnElement[bool]:
    """Select a workspace's rows: those of its id, and the built-in one, which has none."""
    return and_(
        SECRET.c.workspace == workspace, or_(SECRET.c.workspace_id == workspace_id, SECRET.c.workspace_id.is_(None))
    )


def _secret(row: Row[Any]) -> Secret:
    return Secret(
        name=row.name,
        workspace=row.workspace,
        description=row.description,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
