"""Statements on views name columns by their place, never by what a projection calls them."""

from adapters.postgres.view_tables import Table

TABLE = Table(7, ("origin", 'x"; DROP TABLE y; --'))


def test_an_index_is_called_by_its_place() -> None:
    assert "DROP" not in TABLE.create()
    assert "CREATE INDEX ON {schema}.views_7(by_2, key);" in TABLE.create()
    assert "DROP" not in TABLE.fill()


def test_views_without_indexes_have_a_table_of_two_columns() -> None:
    plain = Table(1, ())
    assert 'views_1(key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL)' in plain.create()
    assert (
        plain.commit()
        == f"CALL {{schema}}.commit_views_1({', '.join([f'${number}' for number in range(1, 15)])}, NULL)"
    )
