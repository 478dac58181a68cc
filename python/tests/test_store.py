"""The analyst's side: a store in a script."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import ostracon

START = 1_795_404_290.0


def crash(n: int, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "event",
        "system_id": "shop",
        "actor_address": f"shop:{n}",
        "event_type": "ActorCrashed",
        "payload": {"error": f"KeyError: 'sku-{n}'"},
        "timestamp": START + n,
        **fields,
    }


@pytest.fixture
def store(path: Path) -> ostracon.Store:
    store = ostracon.open(path)
    for n in range(10):
        store.record(crash(n))
        if n == 4:
            store.flush()
    return store


def test_what_was_recorded_can_be_asked_for(store: ostracon.Store) -> None:
    answer = store.sql(
        "SELECT seq, at, actor_address FROM crashes WHERE seq <= $most ORDER BY seq", {"most": 2}
    )
    first = datetime.fromtimestamp(START, timezone.utc)
    assert answer.columns == ["seq", "at", "actor_address"]
    assert answer.rows() == [(1, first, "shop:0"), (2, first + timedelta(seconds=1), "shop:1")]
    assert answer.to_dicts()[1]["actor_address"] == "shop:1" and len(answer) == 2
    assert store.sql("SELECT count(*) FROM events").one() == 10
    assert store.sql("SELECT 1 WHERE false") and not store.sql("SELECT 1 WHERE false").rows()


def test_a_window_in_time(store: ostracon.Store) -> None:
    count = "SELECT count(*) FROM events"
    assert store.sql(count, since=START + 8).one() == 2
    assert store.sql(count, until=datetime.fromtimestamp(START + 3, timezone.utc)).one() == 3
    assert store.sql(count, as_of=0).one() == 0
    with pytest.raises(ValueError, match="no time zone"):
        store.sql(count, since=datetime(2026, 1, 1))


def test_saved_queries(store: ostracon.Store) -> None:
    names = [query.name for query in ostracon.queries()]
    assert "crash_loops" in names and len(names) == 20
    answer = store.query("top_crashers", limit=3)
    assert len(answer) == 3 and "actor_address" in answer.columns
    with pytest.raises(ostracon.QueryError, match="no parameter"):
        store.query("top_crashers", nonsense=1)


def test_other_libraries_take_an_answer_as_it_is(store: ostracon.Store) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    answer = store.sql("SELECT seq, at, actor_address, payload FROM events ORDER BY seq")
    table = pyarrow.table(answer)
    assert table.num_rows == 10 and table.column("seq").to_pylist() == list(range(1, 11))
    assert table.column("at").to_pylist()[0] == datetime.fromtimestamp(START, timezone.utc)
    assert json.loads(table.column("payload")[9].as_py()) == {"error": "KeyError: 'sku-9'"}
    # An answer can be handed over more than once, and an empty one has its columns.
    assert pyarrow.table(answer) == table
    assert pyarrow.table(store.sql("SELECT seq FROM events WHERE false")).column_names == ["seq"]


def test_every_type_has_a_value(store: ostracon.Store) -> None:
    answer = store.sql(
        "SELECT true, 1, 1.5, 'é', NULL, [1, 2], named_struct('a', 'x'), "
        "arrow_cast('y', 'Dictionary(Int8, Utf8)'), DATE '2026-11-25'"
    )
    assert answer.rows() == [(True, 1, 1.5, "é", None, [1, 2], {"a": "x"}, "y", date(2026, 11, 25))]


def test_an_answer_is_shown_harmlessly(store: ostracon.Store) -> None:
    store.record(crash(11, actor_address="<b>\x1b[2J日本"))
    text = repr(store.sql("SELECT actor_address, NULL AS nothing, 7 AS n FROM crashes WHERE seq IN (1, 11)"))
    assert text.splitlines()[-1] == "2 rows" and "NULL" in text and "\\x1b[2J日本" in text
    assert len({line.rindex("7") for line in text.splitlines()[2:4]}) <= 2
    html = store.sql("SELECT actor_address FROM crashes ORDER BY seq DESC")._repr_html_()
    assert "&lt;b&gt;" in html and "<b>" not in html
    many = repr(store.sql("SELECT 1 FROM events a, events b"))
    assert many.endswith("121 rows, the first 20 shown")


def test_facts_are_followed_from_a_cursor(store: ostracon.Store) -> None:
    facts = list(store.tail())
    assert [fact["seq"] for fact in facts] == list(range(1, 11)) and facts[0].kind == "event"
    assert [fact["seq"] for fact in store.tail(facts[7].cursor)] == [9, 10]
    following = store.tail(facts[-1].cursor, follow=True)
    store.record(crash(12))
    assert next(following)["actor_address"] == "shop:12"


def test_errors_have_classes_of_their_own(store: ostracon.Store, tmp_path: Path) -> None:
    with pytest.raises(ostracon.QueryError, match="no_such"):
        store.sql("SELECT no_such FROM events")
    with pytest.raises(ostracon.QueryError):
        store.sql("DELETE FROM events")
    with pytest.raises(ostracon.InvalidFactError):
        store.record('{"kind": "event"}')
    with pytest.raises(ostracon.NotAStoreError):
        ostracon.open(tmp_path / "nothing", "read")
    with pytest.raises(ostracon.QueryTimeoutError):
        store.sql("SELECT count(*) FROM generate_series(1, 10000000000)", timeout=0.2)
    store.close()
    store.close()
    with pytest.raises(ostracon.ClosedError):
        store.record(crash(1))
    with pytest.raises(ostracon.ClosedError):
        ostracon.open(store.path, "read").record(crash(1))
    assert store.sql("SELECT count(*) FROM events").one() == 10
    kinds = [
        error for error in vars(ostracon).values() if inspect.isclass(error) and issubclass(error, Exception)
    ]
    assert len(kinds) == 19 and all(issubclass(error, ostracon.OstraconError) for error in kinds)


def test_maintenance(store: ostracon.Store, path: Path) -> None:
    store.flush()
    report = store.compact()
    assert (report.before.segments, report.after.segments, report.after.facts) == (2, 1, 10)
    assert store.scan().is_clean and store.scan(deep=True).is_clean
    sheet = store.verify()
    assert sheet.kinds[0].live == 10
    segment = next(path.glob("events/*.parquet"))
    segment.write_bytes(segment.read_bytes()[:-7])
    found = store.scan()
    assert not found.is_clean and found.anomalies[0].kind == "segment_size"
    recovered = store.recover("repair")
    assert recovered.is_clean and store.scan().is_clean
    with pytest.raises(AttributeError, match="has no part 'nonsense'"):
        _ = recovered.nonsense
    with pytest.raises(ValueError, match="no mode"):
        store.recover("magic")


def test_a_backup_is_a_store_of_its_own(store: ostracon.Store, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert store.backup(backup).unflushed == 5
    store.record(crash(10))
    again = store.backup(backup, incremental=True, verify=True).to_dict()
    assert again["commit"] >= 1 and again["verified"] and again["left_out"] == []
    copied = ostracon.open(backup, "read")
    assert copied.sql("SELECT count(*) FROM events").one() == 11 and copied.scan(deep=True).is_clean
    with pytest.raises(ostracon.OstraconError):
        store.backup(backup)


def test_a_file_is_imported_once(store: ostracon.Store, tmp_path: Path) -> None:
    file = tmp_path / "facts.ndjson"
    file.write_text("".join(json.dumps(crash(n)) + "\n" for n in range(20)) + "torn {\n")
    report = store.import_file(file)
    assert (report.facts, report.rejected) == (20, 1) and report.reasons[0][0] == 21
    assert store.import_file(file).facts == 0
    assert store.sql("SELECT count(*) FROM events").one() == 30


@pytest.mark.anyio
async def test_the_same_from_an_event_loop(path: Path) -> None:
    async with await ostracon.open_async(path) as store:
        await store.record(crash(1))
        assert (await store.sql("SELECT count(*) FROM events")).one() == 1
        assert [fact["seq"] async for fact in store.tail()] == [1]
        assert (await store.scan()).is_clean
        assert len(await store.query("last_crashes")) == 1
    assert ostracon.open(path, "read").sql("SELECT count(*) FROM store.segments").one() == 1


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [
        (ostracon.Store, ostracon.AsyncStore),
        (ostracon.Stream, ostracon.AsyncStream),
        (ostracon.ConsumerGroup, ostracon.AsyncConsumerGroup),
    ],
)
def test_asynchronous_methods_have_the_parameters_of_the_blocking_ones(
    blocking: type, asynchronous: type
) -> None:
    def parameters(of: type) -> dict[str, Any]:
        methods = inspect.getmembers(of, inspect.isfunction)
        return {name: inspect.signature(method).parameters for name, method in methods if name[0] != "_"}

    expected, found = parameters(blocking), parameters(asynchronous)
    shared = expected.keys() & found.keys()
    assert shared
    for name in shared:
        assert found[name] == expected[name], name


def test_open_async_has_the_parameters_of_open() -> None:
    assert inspect.signature(ostracon.open_async).parameters == inspect.signature(ostracon.open).parameters


def test_the_command_line_is_the_real_one(store: ostracon.Store) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "ostracon", *args], capture_output=True, text=True)

    done = run("sql", store.path, "-c", "SELECT count(*) AS n FROM crashes", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [{"n": 10}])
    wrong = run("sql", store.path, "-c", "SELECT")
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: ")
    assert run("--version").stdout.split() == ["ostracon", ostracon.__version__]


def test_a_store_that_is_read_is_not_changed(path: Path) -> None:
    with ostracon.open(path) as store:
        store.record(crash(1))
    (path / "ostracon.toml").write_text("[retention]\nmax_records = 0\n")
    reading = ostracon.open(path, "read")
    for change in (reading.compact, lambda: reading.recover("repair")):
        with pytest.raises(ostracon.ClosedError, match="maintain"):
            change()
    assert reading.compact(dry_run=True).to_dict()["dropped"][0]["facts"] == 1
    assert len(list((path / "events").iterdir())) == 1
    maintaining = ostracon.open(path, "maintain")
    with pytest.raises(ostracon.ClosedError):
        maintaining.record(crash(2))
    assert maintaining.compact().to_dict()["dropped"][0]["facts"] == 1
    assert list((path / "events").iterdir()) == []
