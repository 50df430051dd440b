"""SQLite: events and views in files, embedded in the process; needs asyncio.

From top to bottom: `events` and `views` are the two stores. Each has a `thread` that owns the one connection that
writes, in a `transaction` for each call (`append` for events), and `readers` beside it, for whom the `log` is kept
short. `database` locks, creates and opens the file, which `header` recognises; its tables are in `event_schema` and
`view_schema`. `desk` looks at views, and leaves requests, beside their writer. `errors` says what a failure means.
"""

from adapters.sqlite.database import Synchronous
from adapters.sqlite.desk import SqliteViewDesk
from adapters.sqlite.events import SqliteEventStore
from adapters.sqlite.views import SqliteViewStore

__all__ = ["SqliteEventStore", "SqliteViewDesk", "SqliteViewStore", "Synchronous"]
