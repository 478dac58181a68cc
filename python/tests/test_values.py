"""Values on their way into SQL and out of it: each is right, or refused."""

from __future__ import annotations

import decimal
import pickle
import threading
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import ostracon

numpy = pytest.importorskip("numpy")
pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

START = 1_795_404_290.25
AT = datetime.fromtimestamp(START, timezone.utc)


@pytest.fixture
def store(path: Path) -> ostracon.Store:
    store = ostracon.open(path)
    for n, error in enumerate(["KeyError: 'a'", "ValueError: b", None]):
        payload = {"error": error} if error else {}
        store.record(
            {
                "kind": "event",
                "system_id": "shop",
                "actor_address": f"shop:{n}",
                "event_type": "ActorCrashed",
                "payload": payload,
                "timestamp": START + n * 86_400,
            }
        )
    return store


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        7,
        -(2**63),
        2**63,
        -(10**37),
        10**60,
        1.5,
        float("inf"),
        "é",
        b"\x00\xff",
        datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=timezone.utc),
        datetime(1, 1, 1, tzinfo=timezone.utc),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
        datetime(2026, 11, 23, 8),
        date(2026, 11, 23),
        date(1, 1, 1),
        date(9999, 12, 31),
        time(23, 59, 59, 999999),
        timedelta(days=1, microseconds=1),
        timedelta(days=-400_000),
        Decimal("123.4500"),
        Decimal("-0.000000000000000000001"),
        Decimal("12345678901234567890123456789012345678901.5"),
        Decimal("1E+5"),
        [1, 2],
        ["a", None],
        [2**63, 1],
        [AT, AT],
    ],
    ids=repr,
)
def test_a_parameter_comes_back_as_it_was(store: ostracon.Store, value: Any) -> None:
    with decimal.localcontext(decimal.Context(prec=100)):
        back = store.sql("SELECT $value AS value", {"value": value}).one()
        assert back == value
        if not isinstance(value, (int, list)) or isinstance(value, bool):
            assert type(back) is type(value)
    if isinstance(value, list):
        assert [type(item) for item in back] == [
            Decimal if value[0] == 2**63 else type(item) for item in value
        ]


def test_parameters_mean_what_they_say(store: ostracon.Store) -> None:
    def count(where: str, **params: Any) -> int:
        found: int = store.sql(f"SELECT count(*) FROM events WHERE {where}", params).one()
        return found

    berlin = timezone(timedelta(hours=1))
    for _ in ("in the buffer", "in segments"):
        assert count("at = $at", at=AT) == 1
        assert count("at >= $at", at=(AT + timedelta(days=1)).astimezone(berlin)) == 2
        assert count("at < $at", at=AT.replace(tzinfo=None) + timedelta(days=1)) == 1
        # An instant that no nanosecond of 64 bits is: an error, and no wrong answer.
        with pytest.raises(ostracon.QueryError, match="exceeds"):
            count("at < $far", far=datetime(9999, 1, 1, tzinfo=timezone.utc))
        assert count("at >= $day", day=AT.date() + timedelta(days=1)) == 2
        assert count("at - $age < $at", age=timedelta(days=1), at=AT + timedelta(seconds=1)) == 2
        assert count("$at - at > $age", age=timedelta(days=1), at=AT + timedelta(days=3)) == 2
        assert count("error = $error", error=None) == 0 and count("$error IS NULL", error=None) == 3
        assert count("error_type = ANY($types)", types=["KeyError", "ValueError"]) == 2
        assert count("array_has($types, error_type)", types=("KeyError",)) == 1
        assert count("seq = ANY($seqs)", seqs={1, 3}) == 2
        assert count("seq = ANY($seqs)", seqs=[]) == 0 and count("error = ANY($none)", none=[]) == 0
        assert count("at = ANY($ats)", ats=[AT, AT + timedelta(days=1)]) == 2
        assert count("seq < $much", much=2**63) == 3 and count("seq > $little", little=-(2**70)) == 3
        assert count("seq < $some", some=Decimal("2.5")) == 2
        assert count("actor_address = $id", id=uuid.UUID(int=0)) == 0
        store.flush()


def test_other_libraries_values_are_taken(store: ostracon.Store) -> None:
    def one(value: Any) -> Any:
        return store.sql("SELECT $v AS v", {"v": value}).one()

    assert one(numpy.int64(7)) == 7 and one(numpy.float32(1.5)) == 1.5 and one(numpy.bool_(True)) is True
    assert one(numpy.str_("x")) == "x" and one(numpy.array([1, 2])) == [1, 2]
    assert one(numpy.datetime64("2026-11-23T08:00:00.5")) == datetime(2026, 11, 23, 8, 0, 0, 500_000)
    assert one(numpy.timedelta64(90, "s")) == timedelta(seconds=90)
    assert one(pandas.Timestamp("2026-11-23T08:00:00Z")) == datetime(2026, 11, 23, 8, tzinfo=timezone.utc)
    assert one(pandas.NaT) is None and one(pandas.NA) is None and one(numpy.datetime64("NaT")) is None
    assert one(pandas.Series(["a", "b"])) == ["a", "b"]
    assert one(uuid.UUID(int=5)) == str(uuid.UUID(int=5)) and one(bytearray(b"x")) == b"x"


def test_nanoseconds_stay(store: ostracon.Store) -> None:
    def nanos(value: Any) -> Any:
        return store.sql("SELECT $v AS v", {"v": value}).to_arrow()["v"][0].value

    at = 1_795_420_800_123_456_789
    assert nanos(numpy.datetime64(at, "ns")) == at
    assert nanos(pandas.Timestamp(at, unit="ns")) == nanos(pandas.Timestamp(at, unit="ns", tz="UTC")) == at
    assert nanos(numpy.timedelta64(-1, "ns")) == -1 and nanos(numpy.timedelta64(3, "25s")) == 75_000_000_000
    assert nanos(pandas.Timedelta(1_500, "ns")) == 1_500 and nanos(pandas.Timedelta(-1, "ns")) == -1
    assert nanos(numpy.datetime64("2026-11", "M")) == nanos(datetime(2026, 11, 1))
    far = store.sql("SELECT $v AS v", {"v": numpy.datetime64("9999-12-31T00:00:00")})
    assert far.one() == datetime(9999, 12, 31)
    for wrong in (numpy.timedelta64(1, "Y"), numpy.timedelta64(5), numpy.timedelta64(1, "ps")):
        with pytest.raises(ValueError, match="whole number of nanoseconds"):
            nanos(wrong)
    with pytest.raises(ValueError, match="outside the range"):
        nanos(numpy.datetime64(2**62, "s"))
    with pytest.raises(ValueError, match="microseconds"):
        nanos([numpy.datetime64(at, "ns"), datetime(9999, 1, 1)])
    window = store.sql("SELECT count(*) FROM events", since=pandas.Timestamp(AT) + pandas.Timedelta(1, "ns"))
    assert window.one() == store.sql("SELECT count(*) FROM events WHERE at > $at", {"at": AT}).one()
    with pytest.raises(ValueError, match="no time zone"):
        store.sql("SELECT 1", since=numpy.datetime64(at, "ns"))


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        object(),
        1j,
        10**80,
        Decimal("NaN"),
        Decimal("1E+90"),
        time(1, tzinfo=timezone.utc),
        [1, "a"],
        [1, 1.5],
        "\ud800",
    ],
    ids=repr,
)
def test_what_sql_cannot_hold_is_refused(store: ostracon.Store, value: Any) -> None:
    with pytest.raises((ValueError, ostracon.OstraconError)):
        store.sql("SELECT $value", {"value": value})


def test_a_misspelt_parameter_is_refused(store: ostracon.Store) -> None:
    with pytest.raises(ostracon.QueryError, match=r"no parameter \$lim; its parameters: \$limit"):
        store.sql("SELECT 1 LIMIT $limit", {"limit": 1, "lim": 2})
    with pytest.raises(ostracon.QueryError, match="its parameters: none"):
        store.sql("SELECT 1", {"limit": 1})


FAR = "arrow_cast(253402300799, 'Timestamp(Second, Some(\"UTC\"))')"


def test_rows_are_pythons_own_values(store: ostracon.Store) -> None:
    one = lambda what: store.sql(f"SELECT {what} AS v").one()  # noqa: E731
    assert one(FAR) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert one("arrow_cast(-62135596800, 'Timestamp(Second, None)')") == datetime(1, 1, 1)
    assert "10000" in str(one("arrow_cast(253402300800, 'Timestamp(Second, Some(\"UTC\"))')"))
    assert one("arrow_cast(9223372036854775807, 'Timestamp(Second, None)')") is not None
    assert one("DATE '9999-12-31'") == date(9999, 12, 31)
    assert one("arrow_cast(1500, 'Duration(Millisecond)')") == timedelta(seconds=1.5)
    assert one("INTERVAL '36 hours'") == timedelta(hours=36)
    assert isinstance(one("INTERVAL '1 month'"), str)
    assert one("arrow_cast('1.50', 'Decimal256(50, 2)')") == Decimal("1.50")
    assert one("arrow_cast('ab', 'Binary')") == b"ab"
    assert one("TIME '08:00:00.5'") == time(8, 0, 0, 500_000)
    assert one(f"named_struct('at', {FAR}, 'n', 1)") == {
        "at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc),
        "n": 1,
    }
    latest = store.sql("SELECT named_struct('at', max(at)) AS v FROM events").one()
    assert latest == {"at": AT + timedelta(days=2)}
    assert store.sql("SELECT array_agg(at ORDER BY at) AS v FROM events").one()[0] == AT


def test_two_columns_of_one_name_are_both_there(store: ostracon.Store) -> None:
    answer = store.sql(
        "SELECT a.seq, b.seq, 5 AS seq_2 FROM events a JOIN events b ON b.seq = a.seq + 1 ORDER BY 1"
    )
    assert answer.to_dicts() == [
        {"seq": 1, "seq_3": 2, "seq_2": 5},
        {"seq": 2, "seq_3": 3, "seq_2": 5},
    ]
    assert answer.to_polars().columns == ["seq", "seq_3", "seq_2"]
    assert list(answer.to_pandas().columns) == ["seq", "seq_3", "seq_2"]


ODD = (
    "INTERVAL '36 hours'",
    "INTERVAL '1 month'",
    "arrow_cast('1.5', 'Decimal256(70, 30)')",
    "arrow_cast('1.5', 'Decimal256(40, 2)')",
    "arrow_cast('1.5', 'Decimal32(5, 1)')",
    "arrow_cast(1.5, 'Float16')",
    "TIME '08:00:00.123456789'",
    "named_struct('i', INTERVAL '1 day', 't', TIME '08:00:00.000000001')",
    "[INTERVAL '1 day']",
    "arrow_cast('x', 'Dictionary(Int8, Utf8)')",
    "arrow_cast('x', 'FixedSizeBinary(1)')",
    "arrow_cast('x', 'BinaryView')",
    "MAP {'a': 1}",
    "NULL",
    "arrow_cast(5, 'Time32(Second)')",
    "DATE '2026-11-23'",
    "arrow_cast(1500, 'Duration(Millisecond)')",
    FAR,
    "[named_struct('a', [1])]",
)


@pytest.mark.parametrize("what", ODD)
def test_every_type_goes_to_other_libraries(store: ostracon.Store, what: str) -> None:
    try:
        with_rows = store.sql(f"SELECT {what} AS v FROM events")
    except ostracon.QueryError as error:
        pytest.skip(f"SQL has no such value: {error}")
    for answer in (with_rows, store.sql(f"SELECT {what} AS v WHERE false")):
        assert answer.to_arrow().num_rows == len(answer)
        assert answer.to_polars().height == polars.DataFrame(answer).height == len(answer)
        assert polars.DataFrame(store.stream(f"SELECT {what} AS v FROM events")).height == 3
        assert len(answer.to_pandas()) == len(answer)
        assert len(answer.rows()) == len(answer) == len(pickle.loads(pickle.dumps(answer)).rows())
        assert repr(answer) and answer._repr_html_()


def test_polars_gets_lengths_of_time_and_decimals(store: ostracon.Store) -> None:
    frame = store.sql(
        "SELECT INTERVAL '36 hours' AS i, arrow_cast('1.5', 'Decimal256(40, 2)') AS d"
    ).to_polars()
    assert frame.row(0) == (timedelta(hours=36), Decimal("1.50"))
    assert isinstance(frame.schema["i"], polars.Duration)


def test_an_answer_is_fetched_in_parts(store: ostracon.Store) -> None:
    sql = "SELECT value FROM generate_series(1, 30000) ORDER BY value"
    for rows in (store.sql(sql), store.stream(sql)):
        assert rows.fetchone() == (1,) and rows.fetchmany(2) == [(2,), (3,)]
        assert [row[0] for row in rows.fetchall()] == list(range(4, 30001))
        assert rows.fetchone() is None and rows.fetchmany() == []
    for rows in (store.sql(sql), store.stream(sql)):
        parts = list(rows.batches())
        assert len(parts) > 1 and sum(map(len, parts)) == 30000
    for rows in (store.sql(sql), store.stream(sql)):
        reader = rows.reader()
        assert isinstance(reader, pyarrow.RecordBatchReader) and reader.read_all().num_rows == 30000
    assert polars.DataFrame(store.stream(sql)).height == 30000
    assert [row[0] for row in store.stream(sql)][-1] == 30000


def test_threads_share_a_streams_rows(store: ostracon.Store) -> None:
    sql = "SELECT value FROM generate_series(1, 50000)"
    for rows in (store.sql(sql), store.stream(sql)):
        fetched: list[tuple[Any, ...]] = []

        def fetch(rows: Any = rows, fetched: list[tuple[Any, ...]] = fetched) -> None:
            while some := rows.fetchmany(777):
                fetched.extend(some)

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(fetched) == [(n,) for n in range(1, 50_001)]


def test_a_stream_can_be_left(store: ostracon.Store) -> None:
    endless = "SELECT a.value FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
    with store.stream(endless) as rows:
        assert len(rows.fetchmany(10)) == 10
        with pytest.raises(ValueError, match="fetched"):
            next(rows.batches())
    assert rows.fetchmany() == []
    with pytest.raises(ostracon.QueryError):
        store.stream("SELECT no_such FROM events")
    failing = store.stream("SELECT 1 / (value - 20000) FROM generate_series(1, 30000)")
    with pytest.raises(ostracon.QueryError):
        failing.fetchall()


def test_a_stream_that_failed_has_no_end(store: ostracon.Store) -> None:
    failing = "SELECT 1 / (value - 20000) FROM generate_series(1, 30000)"
    with store.stream(failing) as rows:
        with pytest.raises(ostracon.QueryError) as first:
            rows.fetchall()
        # What came before is there, and what comes after is no end.
        assert len(rows.fetchmany(10)) == 10
        for _ in range(2):
            with pytest.raises(ostracon.QueryError, match="the rest of the answer is missing") as again:
                rows.fetchall()
            assert str(first.value) in str(again.value)
    with store.stream(failing) as rows:
        reader = rows.reader()
        for _ in range(2):
            with pytest.raises(Exception, match=r"(?i)divided? by zero"):
                while True:
                    reader.read_next_batch()
    with store.stream("SELECT count(*) FROM generate_series(1, 100000000000)", timeout=0.3) as rows:
        for _ in range(2):
            with pytest.raises(ostracon.QueryTimeoutError):
                rows.fetchone()


def test_a_loop_that_is_left_costs_no_row(store: ostracon.Store) -> None:
    with store.stream("SELECT value FROM generate_series(1, 3000)") as rows:
        for (value,) in rows:
            if value == 10:
                break
        assert rows.fetchone() == (11,) and next(iter(rows)) == (12,)
        assert len(rows.fetchall()) == 2988


def test_what_is_collected_counts_against_the_memory(path: Path) -> None:
    ostracon.open(path).close()
    (path / "ostracon.toml").write_text("[query]\nmemory_bytes = 20_000_000\n")
    with ostracon.open(path) as store:
        many = "SELECT repeat('x', 1000) || value AS v FROM generate_series(1, 100000)"
        with pytest.raises(ostracon.QueryMemoryError, match="the answer"):
            store.sql(many)
        assert sum(len(batch) for batch in store.stream(many).batches()) == 100_000
        assert len(store.sql("SELECT value FROM generate_series(1, 1000000)")) == 1_000_000


def test_the_window_is_also_the_saved_querys_own(store: ostracon.Store) -> None:
    day = AT.date() + timedelta(days=1)
    whole = store.query("crashes_by_day")
    assert len(whole) == 3
    for since in (day, day.isoformat(), datetime(day.year, day.month, day.day, tzinfo=timezone.utc)):
        assert len(store.query("crashes_by_day", since=since)) == 2
        assert store.sql("SELECT count(*) FROM events", since=since).one() == 2
        assert store.sql("SELECT count(*) FROM events", until=since).one() == 1
    assert len(store.query("crashes_by_day", {"since": day.isoformat()})) == 2
    for wrong in ("tomorrow", "2026-13-01", ""):
        with pytest.raises(ValueError, match="not an instant"):
            store.sql("SELECT 1", since=wrong)


def test_a_timedelta_that_is_too_long_for_sql_is_refused(path: Path) -> None:
    store = ostracon.open(path)
    for longest in (timedelta.max, timedelta.min, timedelta(days=106_751_992)):
        with pytest.raises(ValueError, match="too long for SQL"):
            store.sql("SELECT $x AS x", {"x": longest})
    assert store.sql("SELECT $x AS x", {"x": timedelta(days=1)}).one() is not None
