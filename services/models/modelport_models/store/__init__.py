"""The models service's database, one module a resource; `Stores` holds them together."""

from collections.abc import Callable
from datetime import datetime

from modelport_kit.database.engine import Database
from modelport_models.store.models import ModelStore
from modelport_models.store.probes import ProbeStore
from modelport_models.store.providers import ProviderStore
from modelport_models.store.snapshot import SnapshotStore
from modelport_models.store.virtual_models import VirtualModelStore
from modelport_models.store.workspaces import WorkspaceStore

Now = Callable[[], datetime]


class Stores:
    """Every store on one database. `now` returns naive UTC."""

    def __init__(self, database: Database, now: Now) -> None:
        self.workspaces = WorkspaceStore(database, now)
        self.providers = ProviderStore(database, now)
        self.models = ModelStore(database, now)
        self.virtual_models = VirtualModelStore(database, now)
        self.probes = ProbeStore(database, now)
        self.sync = SnapshotStore(database)
