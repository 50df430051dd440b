"""PostgreSQL: events and views in a schema of a database, shared by processes; needs asyncio.

From top to bottom: `events` and `views` are the two stores. `append` turns a batch into the arguments of a procedure,
`reading` holds the queries. `connections` are opened when needed and bounded; `schema` creates the tables, by the
numbered files in `migrations`, where each column and procedure is described. `urls` says what a URL means, `errors`
what a failure means.
"""

from adapters.postgres.events import PostgresEventStore
from adapters.postgres.views import PostgresViewStore

__all__ = ["PostgresEventStore", "PostgresViewStore"]
