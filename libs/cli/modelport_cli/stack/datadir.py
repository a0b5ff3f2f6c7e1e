"""The stack's data folder: its lock, its layout, and files that are private and written as a whole.

layout      the number of this layout
lock        held while a stack runs on the folder
keys/       key-encryption key, service tokens, passwords; 0600
run/        configuration and port files of the running servers, made anew at each start
logs/       what each part prints
nats/       JetStream's files
models/ secrets/ gateway-<n>/   the services' own folders, their SQLite files among them
"""

import fcntl
import os
import shutil
import time
from pathlib import Path

from modelport_cli.stack.errors import StackError

LAYOUT = 1
LOCK_WAIT_S = 3.0
"""So long the guard of a killed stack may need to end the children that still use the folder."""
LOG_LIMIT_BYTES = 5_000_000

_LOCK_POLL_S = 0.05


class DataFolder:
    """An opened data folder, locked for this process until it is closed."""

    def __init__(self, root: Path, lock_fd: int) -> None:
        self.root = root
        self.lock_fd = lock_fd

    @property
    def keys(self) -> Path:
        """Where keys, tokens and passwords are."""
        return self.root / "keys"

    @property
    def run(self) -> Path:
        """Where files of the running servers are."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """Where each part's log is."""
        return self.root / "logs"

    def folder(self, name: str) -> Path:
        """Return a part's own folder, made when it is not there.

        Raises:
            StackError: it cannot be made.

        """
        path = self.root / name
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(0o700)
        except FileExistsError:
            raise StackError(
                f"the data folder is damaged: {path} must be a folder; restore {self.root} from a backup,"
                " or choose another with --data-dir or MODELPORT_DATA_DIR"
            ) from None
        except OSError as error:
            raise _unusable(self.root, error) from None
        return path

    def close(self) -> None:
        """Give up this process's hold on the lock; the guard keeps its own while it runs."""
        os.close(self.lock_fd)


def is_new(root: Path) -> bool:
    """Tell whether no stack has ever made a data folder here."""
    try:
        return not _layout_file(root.expanduser()).exists()
    except OSError:
        # Opening it says what is wrong.
        return False


def open_data_folder(root: Path) -> DataFolder:
    """Make or open a data folder and lock it.

    A lock and not a file with a process id: the system drops it however its holders end.

    Raises:
        StackError: the folder is in use, is not ours, is newer than this program, or cannot be written.

    """
    try:
        root = root.expanduser().absolute()
    except FileNotFoundError:
        raise StackError(
            "the working directory does not exist any more: change to one that does, or name a folder by its whole"
            " path with --data-dir or MODELPORT_DATA_DIR"
        ) from None
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(root)
        lock_fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(root, error) from None
    folder = DataFolder(root, lock_fd)
    try:
        _lock(folder)
        _check_layout(root)
        for name in ("keys", "run", "logs"):
            folder.folder(name)
        _start_afresh(folder)
    except OSError as error:
        folder.close()
        raise _unusable(root, error) from None
    except BaseException:
        folder.close()
        raise
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _layout_file(root: Path) -> Path:
    return root / "layout"


def _check_ours(root: Path) -> None:
    if _layout_file(root).exists():
        return
    strangers = {entry.name for entry in root.iterdir()} - {"lock", ".layout.new"}
    if strangers:
        raise StackError(
            f"{root} holds other files ({min(strangers)}) and is not a Modelport data folder:"
            " choose an empty or new one with --data-dir or MODELPORT_DATA_DIR"
        )


def _check_layout(root: Path) -> None:
    path = _layout_file(root)
    if not path.exists():
        write_private(path, f"{LAYOUT}\n")
    text = path.read_text(errors="replace").strip()
    if not text.isdecimal():
        raise StackError(f"the data folder is damaged: {path} must hold a number; restore {root} from a backup")
    if int(text) > LAYOUT:
        raise StackError(
            f"{root} was made by a newer Modelport (layout {text}, this one knows {LAYOUT}): upgrade Modelport"
        )


def _lock(folder: DataFolder) -> None:
    end = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(folder.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise StackError(
                    f"{folder.root} is in use by a Modelport that runs already:"
                    " stop that one, or choose another folder with --data-dir or MODELPORT_DATA_DIR"
                ) from None
            time.sleep(_LOCK_POLL_S)
        else:
            return


def _start_afresh(folder: DataFolder) -> None:
    for entry in folder.run.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for log in folder.logs.glob("*.log"):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))


def _unusable(root: Path, error: OSError) -> StackError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StackError(f"{root} is a file, or lies below one: choose a folder with --data-dir or MODELPORT_DATA_DIR")
    where = f" ({error.filename})" if error.filename and Path(str(error.filename)) != root else ""
    return StackError(
        f"the data folder {root} cannot be used: {error.strerror}{where};"
        " mend that, or choose another with --data-dir or MODELPORT_DATA_DIR"
    )
