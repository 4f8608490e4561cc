"""What all workers of a server know: facts in a small database, and files, in one folder that goes with the server."""

import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from quartet.staging import folder_beside

BUSY = 30.0  # seconds that a change waits for those of other workers, which take microseconds

Expire = Callable[[sqlite3.Connection], object]


@dataclass(frozen=True)
class Worker:
    """Which of a server's processes this is."""

    number: int = 0
    count: int = 1
    folder: Path | None = None  # that all of them share; None: its own
    instead_of: int | None = None  # the process that had this number before, and died


ALONE = Worker()
SHARED_FIGURES = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's variable, read when that is imported


def folder_of_a_server() -> AbstractContextManager[Path]:
    """A new folder that goes with the server; what a server left that was killed is removed first."""
    return folder_beside(Path(tempfile.gettempdir()) / "quartet-serve")


class State:
    """A folder with a database, for threads and processes of one machine.

    Times in it are those of `time.monotonic`, which all processes of a machine share. A worker that is killed in the
    middle of a change has not made it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """folder: exists, and stays when this is closed; of this user alone. None: a new one, which goes then."""
        self._own = None if folder else tempfile.TemporaryDirectory(prefix="quartet-", ignore_cleanup_errors=True)
        self.folder = folder or Path(self._own.name if self._own else "")
        self._lock = threading.Lock()
        self._expiring: list[Expire] = []
        self._database = sqlite3.connect(
            self.folder / "state.db", timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA secure_delete = ON")  # names of files are overwritten
        self._database.execute("PRAGMA synchronous = OFF")  # when the machine goes down, the server has gone with it

    def table(self, name: str, columns: str, expire: Expire | None = None) -> None:
        """Have a table. expire: deletes what is out of date in it, and is called now and then."""
        with self.changing() as database:
            database.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        if expire is not None:
            self._expiring.append(expire)

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """The database, which nobody else changes inside the `with` statement; what raises has changed nothing."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def expire(self) -> None:
        """Delete what is out of date, from the disk too."""
        for expire in self._expiring:
            with self.changing() as database:
                expire(database)
        with self._lock:  # the log has it still
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database; the folder stays for other workers, where it was given."""
        with self._lock:
            self._database.close()
        if self._own:
            self._own.cleanup()
