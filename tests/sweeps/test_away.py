"""A database that is away for a while: nothing is lost, and nobody acts without the lock."""

import sqlite3
from contextlib import closing
from urllib.parse import quote_plus

import pytest
from sqlalchemy.exc import OperationalError

from recsys_lab.sweeps.storage.backends import StorageAway, study_lock
from recsys_lab.sweeps.storage.retry import is_away, storage_fault
from tests.support.postgres import PASSWORD, USER, postgres_server
from tests.support.proxy import Proxy
from tests.sweeps.claimers import study


def test_a_server_that_is_away_for_a_while_costs_no_trial(tmp_path):
    with postgres_server(tmp_path) as port, closing(Proxy(port)) as proxy:
        url = f"postgresql://{USER}:{quote_plus(PASSWORD)}@127.0.0.1:{proxy.port}/postgres"
        with closing(study(url, "random")) as shared:
            first = shared.claim(3)
            proxy.leave()
            proxy.patience = 1
            shared.complete(first.trial, [1.0])  # waits for it
            assert proxy.turned_away == 1
            proxy.leave()
            with pytest.raises(StorageAway):
                study(url)  # a new command is told at once
            proxy.patience = proxy.turned_away + 1
            with closing(study(url, "random", worker="w0")) as other:  # a worker waits
                assert other.claim(3).trial.number == 1
            with study_lock(url, "shared") as assure:
                assure()
                proxy.leave()
                with pytest.raises(StorageAway):
                    assure()
            proxy.away = False
            assert [trial.state.name for trial in shared.trials()] == ["COMPLETE", "RUNNING"]


def test_a_file_of_sqlite_that_cannot_be_used_is_not_waited_for(tmp_path):
    broken = {}
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as one:
        one.execute("CREATE TABLE t (a)")
        one.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(tmp_path / "s.db", timeout=0)) as two:
            for name, text in (("busy", "INSERT INTO t VALUES (1)"), ("gone", "SELECT * FROM u")):
                with pytest.raises(sqlite3.OperationalError) as error_tail:
                    two.execute(text)
                broken[name] = OperationalError(text, {}, error_tail.value)
                one.execute("COMMIT") if name == "busy" else None
    assert is_away(broken["busy"])
    assert not is_away(broken["gone"])
    said = "the study's storage cannot be used: no such table: u"
    assert storage_fault(broken["gone"]) == said
    wrapped = RuntimeError("perhaps the data are invalid")
    wrapped.__cause__ = broken["gone"]
    assert storage_fault(wrapped) == said
    assert storage_fault(broken["busy"]) == (
        "the study's storage does not answer: database is locked"
    )
    assert storage_fault(ValueError("x")) is None
