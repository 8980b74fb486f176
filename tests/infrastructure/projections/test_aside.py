"""Tables on the side are never taken for those that people read, whatever the search path of a login says."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from domain.errors import Misconfigured
from infrastructure.postgres.projections import READ_MODELS, verify
from infrastructure.postgres.projections.aside import BUILD, TEMPORARY, Aside
from infrastructure.postgres.projections.models import StockLevels
from infrastructure.postgres.projections.pages import Pages
from infrastructure.postgres.projections.session import connect_alone
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import catch_up, execute, row_versions

LAST = "SET search_path = public, pg_temp, orderwright_build"


@pytest.fixture
def stored(database: str) -> str:
    store_events(database, company(34, 60).appended)
    catch_up(database)
    return database


def test_the_check_writes_to_none_of_the_real_tables_where_they_come_first(stored: str) -> None:
    login = make_conninfo(stored, options="-c search_path=public,pg_temp")
    execute(stored, "UPDATE stock_levels_v1 SET on_hand = on_hand + 1 WHERE sku = 'mug'")
    before = row_versions(stored)
    assert {difference.table for difference in verify(login)} == {"stock_levels_v1"}
    assert row_versions(stored) == before


@pytest.mark.parametrize("schema", [TEMPORARY, BUILD])
def test_nothing_is_filled_while_names_lead_to_the_real_tables(stored: str, schema: str) -> None:
    before = row_versions(stored)
    model = READ_MODELS["stock_levels"]
    with connect_alone(stored, application="test") as connection:
        connection.execute(LAST)
        aside = Aside(connection, model, schema=schema)
        aside.create()
        with pytest.raises(Misconfigured, match=r"stock_levels_v1, stock_backorders_v1: .*nothing was written"):
            aside.fill(Pages(size=100, categories=model.categories), up_to=10**9)
        aside.drop()
    assert row_versions(stored) == before


def test_the_check_lets_no_code_of_a_read_model_write_elsewhere(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrite(_model: StockLevels, connection: psycopg.Connection, _facts: object) -> None:
        connection.execute("UPDATE public.stock_levels_v1 SET on_hand = 0")

    before = row_versions(stored)
    monkeypatch.setattr(StockLevels, "apply", overwrite)
    (difference,) = verify(stored, ["stock_levels"])
    assert difference.side == "unreadable"
    assert "read-only transaction" in difference.row["reason"]
    assert row_versions(stored) == before
