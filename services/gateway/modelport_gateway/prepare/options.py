"""A provider's `options`, compiled (docs/wire.md, 3.2)."""

from dataclasses import replace

from modelport_contracts.records import RecordedOptions
from modelport_gateway.admit.concurrency import DEFAULT_QUEUE_S
from modelport_gateway.admit.timeouts import Timeouts
from modelport_gateway.prepare.ca import PinnedCa


class TargetOptions:
    """What one provider sets for itself. A target without any has none, so that a request pays one comparison."""

    __slots__ = ("_default", "_record", "_timeouts", "ca", "max_concurrency", "max_queue_s")

    def __init__(self, record: RecordedOptions, workspace: str, *, is_tls: bool) -> None:
        self._record = record
        self._default: Timeouts | None = None
        self._timeouts = Timeouts()
        self.ca: PinnedCa | None = None
        """None also where there is no TLS for which it would count."""
        if record.ca_secret_name is not None and is_tls:
            self.ca = PinnedCa(workspace, record.ca_secret_name)
        self.max_concurrency = record.max_concurrency
        self.max_queue_s = DEFAULT_QUEUE_S if record.max_queue_s is None else record.max_queue_s

    def timeouts(self, default: Timeouts) -> Timeouts:
        """Return the provider's own timeouts, `default` where it names none. Built once."""
        if self._default is not default:
            record = self._record
            own = {
                "connect_s": record.connect_timeout_s,
                "first_byte_s": record.first_byte_timeout_s,
                "idle_s": record.idle_timeout_s,
                "total_s": record.total_timeout_s,
            }
            self._timeouts = replace(default, **{name: value for name, value in own.items() if value is not None})
            self._default = default
        return self._timeouts


def compiled_options(record: RecordedOptions | None, workspace: str, *, is_tls: bool) -> TargetOptions | None:
    """Return None where a record sets nothing."""
    if record is None or all(value is None for value in record.model_dump().values()):
        return None
    return TargetOptions(record, workspace, is_tls=is_tls)
