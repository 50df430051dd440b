"""Letters and requests in PostgreSQL: texts for the procedure, and what the procedure makes of them."""

import msgspec

from adapters.postgres.letters import letters_of, texts_of
from bus.core.stored import Checkpoint, ViewChanges
from tests.contracts.letters import letter
from tests.contracts.view_store import PLAIN


def test_letters_go_and_come_as_json() -> None:
    changes = ViewChanges(Checkpoint(), Checkpoint(), (), (), 0, (letter("k", 5, 'a "bug"'),), (("é", 3), ("l", 4)))
    gone, kept = texts_of(changes)
    assert msgspec.json.decode(gone) == [{"key": "é", "position": 3}, {"key": "l", "position": 4}]
    (row,) = msgspec.json.decode(kept)
    assert letters_of(PLAIN, [tuple(row.values())]) == [letter("k", 5, 'a "bug"')]
