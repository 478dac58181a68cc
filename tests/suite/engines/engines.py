"""DuckDB and SQLite answer questions: a JSON line on stdin, a JSON line on stdout.

    {"tables": [{"name", "columns", "types", "rows"}, ...]}    forget all tables, have these
    ["SELECT ...", ...]    to [[DuckDB's answer, SQLite's answer], ...]; an answer is rows, or an error's text
"""

import decimal
import json
import sqlite3
import sys

import duckdb


def load(run, many, tables):
    for table in tables:
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(table["columns"], table["types"]))
        run(f"CREATE TABLE {table['name']} ({columns})")
        if table["rows"]:
            places = ", ".join("?" * len(table["columns"]))
            many(f"INSERT INTO {table['name']} VALUES ({places})", table["rows"])


def plain(value):
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def answer(database, sql):
    try:
        return [[plain(value) for value in row] for row in database.execute(sql).fetchall()]
    except Exception as error:  # whatever it is, the other side reports it
        return f"{type(error).__name__}: {error}"


def main():
    duck = lite = None
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            if duck:
                duck.close()
                lite.close()
            duck, lite = duckdb.connect(config={"threads": 1}), sqlite3.connect(":memory:")
            lite.execute("PRAGMA case_sensitive_like = ON")
            load(duck.execute, duck.executemany, asked["tables"])
            load(lite.execute, lite.executemany, asked["tables"])
            reply = True
        else:
            reply = [[answer(duck, sql), answer(lite, sql)] for sql in asked]
        print(json.dumps(reply), flush=True)


main()
