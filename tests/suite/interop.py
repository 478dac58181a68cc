"""What DuckDB or pyarrow make of a store's segments, as JSON on stdout.

    python interop.py duckdb|pyarrow|duckdb-types|pyarrow-types STORE

Every value is text, as our CSV has it. The questions are those of interop.rs.
"""

import json
import sys
from pathlib import Path

TABLES = ("events", "audits", "dead_letters")


def with_duckdb(store):
    import duckdb

    db = duckdb.connect()
    # What a segment stores in UTC must not be moved by where the reader lives.
    db.execute("SET TimeZone = 'America/New_York'")
    common = {
        "rows": "count(*)",
        "seqs": "sum(seq)",
        "streams": "count(DISTINCT stream)",
        "timestamps": "count(timestamp)",
        "first_timestamp": "epoch_ns(min(timestamp))",
        "last_timestamp": "epoch_ns(max(timestamp))",
        "first_recorded": "epoch_ns(min(recorded_at))",
        "last_recorded": "epoch_ns(max(recorded_at))",
        "systems": "count(DISTINCT system_id)",
    }
    own = {
        "events": {
            "errors": "count(error)",
            "error_lengths": "sum(strlen(error))",
            "payload_lengths": "sum(strlen(payload))",
            "crashes": "count(*) FILTER (event_type = 'ActorCrashed')",
            "addresses": "count(DISTINCT actor_address)",
            "snow": "count(*) FILTER (actor_address = 'naïve ☃ 🏺')",
        },
        "audits": {
            "actors": "max(total_actors)",
            "alive": "sum(alive_actors)",
            "orphans": "sum(len(registry_orphans))",
            "dead": "sum(len(registry_dead))",
            "stock": "count(*) FILTER (list_contains(registry_orphans, 'stock'))",
        },
        "dead_letters": {
            "targets": "count(target)",
            "types": "count(DISTINCT message_type)",
            "empty_targets": "count(*) FILTER (target = '')",
        },
    }
    answers = {}
    for table in TABLES:
        questions = common | own[table]
        sql = f"SELECT {', '.join(questions.values())} FROM read_parquet('{store / table}/*.parquet')"
        row = db.execute(sql).fetchone()
        answers[table] = {name: str(value) for name, value in zip(questions, row)}
    return answers


def duckdb_types(store):
    import duckdb

    describe = "DESCRIBE SELECT * FROM read_parquet('{}/*.parquet')"
    return {table: {row[0]: row[1] for row in duckdb.execute(describe.format(store / table)).fetchall()} for table in TABLES}


def with_pyarrow(store):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    answers = {}
    for table in TABLES:
        rows = pa.concat_tables(pq.read_table(path) for path in sorted((store / table).glob("*.parquet")))
        nanos = {name: pc.cast(rows[name], pa.int64()) for name in ("timestamp", "recorded_at")}
        of = {
            "rows": rows.num_rows,
            "seqs": pc.sum(rows["seq"]),
            "streams": pc.count_distinct(rows["stream"]),
            "timestamps": pc.count(rows["timestamp"]),
            "first_timestamp": pc.min(nanos["timestamp"]),
            "last_timestamp": pc.max(nanos["timestamp"]),
            "first_recorded": pc.min(nanos["recorded_at"]),
            "last_recorded": pc.max(nanos["recorded_at"]),
            "systems": pc.count_distinct(rows["system_id"]),
        }
        if table == "events":
            of |= {
                "errors": pc.count(rows["error"]),
                "error_lengths": pc.sum(pc.binary_length(rows["error"].cast(pa.string()))),
                "payload_lengths": pc.sum(pc.binary_length(rows["payload"].cast(pa.string()))),
                "crashes": pc.sum(pc.equal(rows["event_type"], "ActorCrashed")),
                "addresses": pc.count_distinct(rows["actor_address"]),
                "snow": pc.sum(pc.equal(rows["actor_address"], "naïve ☃ 🏺")),
            }
        elif table == "audits":
            of |= {
                "actors": pc.max(rows["total_actors"]),
                "alive": pc.sum(rows["alive_actors"]),
                "orphans": pc.sum(pc.list_value_length(rows["registry_orphans"])),
                "dead": pc.sum(pc.list_value_length(rows["registry_dead"])),
                "stock": sum("stock" in names for names in rows["registry_orphans"].to_pylist()),
            }
        else:
            of |= {
                "targets": pc.count(rows["target"]),
                "types": pc.count_distinct(rows["message_type"]),
                "empty_targets": pc.sum(pc.equal(rows["target"], "")),
            }
        answers[table] = {name: str(value) for name, value in of.items()}
    return answers


def pyarrow_types(store):
    import pyarrow.parquet as pq

    schemas = {table: pq.read_schema(next((store / table).glob("*.parquet"))) for table in TABLES}
    return {table: {field.name: str(field.type) for field in schema} for table, schema in schemas.items()}


READERS = {
    "duckdb": with_duckdb,
    "pyarrow": with_pyarrow,
    "duckdb-types": duckdb_types,
    "pyarrow-types": pyarrow_types,
}

if __name__ == "__main__":
    _, reader, folder = sys.argv
    json.dump(READERS[reader](Path(folder)), sys.stdout, indent=1)
