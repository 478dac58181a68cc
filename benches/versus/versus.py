#!/usr/bin/env python3
"""Ask Ostracon, DuckDB and SQLite the same questions about the same facts, and print one table of ratios.

    python3 benches/versus/versus.py [--facts 1000000 | --full] [--runs 5] [--ostracon target/release/ostracon]

What is compared, and how:

- The facts come from generate.py. They are made once and kept in the cache folder, with a virtual environment
  in which DuckDB is installed (the standard library brings SQLite).
- **Import**: `ostracon import STORE FILE`, the whole process; DuckDB's `CREATE TABLE facts AS SELECT … FROM
  read_json(…)` into a database file, from connect to close; SQLite's `executemany` of parsed lines, one transaction.
  Two threads for DuckDB. Everyone starts from nothing and ends with a file on disk.
- **Questions**, each in the form that is natural in the engine. DuckDB is asked twice: of tables as the import leaves
  them, with a JSON payload, and of tables with columns of their own for error, error_type and reason. SQLite has the
  payload as text, and no index.
- **Times**: the table gives the time of the query itself. Ostracon's is what `ostracon sql` says on stderr
  (`N rows in X ms`); DuckDB's and SQLite's run from `execute` to the last row, on a connection opened for that one
  question, so nobody has pages or footers in a cache of its own. The operating system's cache is warm for all.
  `whole` is what a person waits: for Ostracon the process from start to end, for DuckDB connect + query + close
  (no start of an interpreter, so the comparison is unfair to Ostracon by its start).
- Engines take turns, each figure is the median of the runs. Answers are compared; a difference is reported.

A ratio is Ostracon's time (or size) divided by the other's: below 1 Ostracon is faster (or smaller).
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = ["duckdb", "numpy"]

CRASH = "event_type = 'ActorCrashed'"


class Question:
    """One question in the words of each engine. `needs` is the highest ratio to DuckDB that is asked for."""

    def __init__(self, name, needs, ostracon, duckdb, promoted=None, sqlite=None):
        self.name, self.needs = name, needs
        self.sql = {"ostracon": ostracon, "duckdb": duckdb, "promoted": promoted or duckdb, "sqlite": sqlite or duckdb}


def questions(actor):
    """The crash suite. `actor` is the address whose history is asked for. `at` is quoted: DuckDB keeps the word."""
    by_error = "SELECT {e} AS error, count(*) AS n FROM events WHERE " + CRASH + " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"
    by_class = "SELECT {c} AS error_type, count(*) AS n FROM events WHERE " + CRASH + " GROUP BY 1 ORDER BY 2 DESC, 1"
    like = "SELECT count(*) FROM events WHERE {e} LIKE '%sku-12%'"
    last = "SELECT actor_address, {e} AS error FROM events WHERE " + CRASH + " ORDER BY \"at\" DESC LIMIT 100"
    loops = (
        "SELECT actor_address, count(*) AS n FROM ("
        'SELECT actor_address, "at", lag("at", 4) OVER (PARTITION BY actor_address ORDER BY "at") AS began_at '
        f"FROM events WHERE {CRASH}) AS t WHERE began_at >= {{ago}} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"
    )
    history = f"SELECT event_type, {{e}} AS error FROM events WHERE actor_address = '{actor}' ORDER BY \"at\" DESC LIMIT 1000"
    json_error, text_class = "payload->>'error'", "split_part(payload->>'error', ':', 1)"
    sqlite_class = "substr(payload->>'error', 1, instr(payload->>'error', ':') - 1)"

    def each(template, needs, name):
        return Question(name, needs, template.format(e="error"), template.format(e=json_error),
                        template.format(e="error"), template.format(e=json_error))

    return [
        Question("count(*) of events", 3, "SELECT count(*) FROM events", "SELECT count(*) FROM events"),
        Question("count of crashes", 3, f"SELECT count(*) FROM events WHERE {CRASH}",
                 f"SELECT count(*) FROM events WHERE {CRASH}"),
        Question("errors by class", 0.5, by_class.format(c="error_type"), by_class.format(c=text_class),
                 by_class.format(c="error_type"), by_class.format(c=sqlite_class)),
        each(by_error, 0.5, "errors by text"),
        Question("errors by text, from the payload", 0.5, by_error.format(e=json_error), by_error.format(e=json_error),
                 by_error.format(e="error")),
        each(like, 0.5, "error LIKE '%sku-12%'"),
        Question("crashes by day", 3,
                 f"SELECT CAST(\"at\" AS DATE) AS day, count(*) AS n FROM events WHERE {CRASH} GROUP BY 1 ORDER BY 1",
                 f"SELECT CAST(\"at\" AS DATE) AS day, count(*) AS n FROM events WHERE {CRASH} GROUP BY 1 ORDER BY 1", None,
                 f"SELECT date(\"at\" / 1000000, 'unixepoch') AS day, count(*) AS n FROM events WHERE {CRASH} GROUP BY 1 ORDER BY 1"),
        Question("top crashers", 3,
                 f"SELECT actor_address, count(*) AS n FROM events WHERE {CRASH} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
                 f"SELECT actor_address, count(*) AS n FROM events WHERE {CRASH} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"),
        each(last, 3, "last 100 crashes"),
        Question("crash loops (window)", 3, loops.format(ago="\"at\" - INTERVAL '10 minutes'"),
                 loops.format(ago="\"at\" - INTERVAL '10 minutes'"), None, loops.format(ago="\"at\" - 600000000")),
        each(history, 3, "one actor's history"),
        Question("dead letters by target", 3,
                 "SELECT target, count(*) AS n FROM dead_letters GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
                 "SELECT target, count(*) AS n FROM dead_letters GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"),
    ]


class Ostracon:
    """The command line: each call is a process of its own."""

    def __init__(self, binary, store):
        self.binary, self.store = str(binary), store

    def call(self, *args):
        began = time.perf_counter()
        done = subprocess.run([self.binary, *map(str, args)], capture_output=True, text=True, check=False)
        whole = time.perf_counter() - began
        if done.returncode != 0:
            raise SystemExit(f"ostracon {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}")
        return done, whole

    def load(self, facts):
        shutil.rmtree(self.store, ignore_errors=True)
        return self.call("import", self.store, facts)[1]

    def ask(self, sql):
        done, whole = self.call("sql", self.store, "-c", sql, "--format", "csv")
        said = re.search(r"rows? in ([\d.,]+)\s*(µs|us|ms|s)\b", done.stderr)
        if not said:
            raise SystemExit(f"ostracon sql gave no `N rows in X ms` on stderr, but: {done.stderr!r}")
        unit = {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}[said[2]]
        rows = list(csv.reader(io.StringIO(done.stdout, newline="")))[1:]
        return float(said[1].replace(",", "")) * unit, whole, rows

    def size(self):
        return sum(f.stat().st_size for f in self.store.rglob("*") if f.is_file())


class DuckDb:
    """Two database files: the tables as imported, and with promoted columns."""

    COLUMNS = (
        "{kind: 'VARCHAR', system_id: 'VARCHAR', actor_address: 'VARCHAR', event_type: 'VARCHAR', payload: 'JSON', "
        "timestamp: 'DOUBLE', target: 'VARCHAR', message_type: 'VARCHAR', total_actors: 'BIGINT', alive_actors: 'BIGINT', "
        "stopping_actors: 'BIGINT', restarting_actors: 'BIGINT', registry_size: 'BIGINT', registry_orphans: 'VARCHAR[]', "
        "registry_dead: 'VARCHAR[]', dead_letters_count: 'BIGINT'}"
    )

    def __init__(self, folder):
        self.imported = folder / "duckdb-imported.db"
        self.files = {"duckdb": folder / "duckdb.db", "promoted": folder / "duckdb-promoted.db"}

    @staticmethod
    def connect(path):
        import duckdb

        return duckdb.connect(str(path), config={"threads": 2})

    def load(self, facts):
        remove(self.imported)
        began = time.perf_counter()
        with self.connect(self.imported) as db:
            db.execute(
                "CREATE TABLE facts AS SELECT *, make_timestamp(CAST(round(timestamp * 1e6) AS BIGINT)) AS \"at\" "
                f"FROM read_json(?, format = 'newline_delimited', columns = {self.COLUMNS})",
                [str(facts)],
            )
        return time.perf_counter() - began

    def arrange(self):
        """The tables that are asked: one a kind, as in Ostracon, in the order of recording."""
        audit = (
            "total_actors, alive_actors, stopping_actors, restarting_actors, registry_size, registry_orphans, "
            "registry_dead, dead_letters_count"
        )
        error = (
            ", payload->>'error' AS error, split_part(payload->>'error', ':', 1) AS error_type, payload->>'reason' AS reason"
        )
        for name, extra in (("duckdb", ""), ("promoted", error)):
            remove(self.files[name])
            with self.connect(self.files[name]) as db:
                db.execute(f"ATTACH '{self.imported}' AS source (READ_ONLY)")
                common = '"at", timestamp, system_id'
                for table, columns, kind in (
                    ("events", f"{common}, actor_address, event_type, payload{extra}", "event"),
                    ("audits", f"{common}, {audit}", "audit"),
                    ("dead_letters", f"{common}, target, message_type, payload", "dead_letter"),
                ):
                    db.execute(f"CREATE TABLE {table} AS SELECT {columns} FROM source.facts WHERE kind = '{kind}'")

    def ask(self, sql, which):
        began = time.perf_counter()
        with self.connect(self.files[which]) as db:
            asked = time.perf_counter()
            rows = db.execute(sql).fetchall()
            answered = time.perf_counter()
        return answered - asked, time.perf_counter() - began, rows

    def size(self, which):
        return self.files[which].stat().st_size


class Sqlite:
    """One file, a table a kind, no index."""

    def __init__(self, folder):
        self.file = folder / "sqlite.db"

    def load(self, facts):
        remove(self.file)
        began = time.perf_counter()
        db = sqlite3.connect(self.file, isolation_level=None)
        db.executescript(
            "CREATE TABLE events (at INTEGER, timestamp REAL, system_id TEXT, actor_address TEXT, event_type TEXT, payload TEXT);"
            "CREATE TABLE dead_letters (at INTEGER, timestamp REAL, system_id TEXT, target TEXT, message_type TEXT, payload TEXT);"
            "CREATE TABLE audits (at INTEGER, timestamp REAL, system_id TEXT, total_actors INTEGER, alive_actors INTEGER,"
            " stopping_actors INTEGER, restarting_actors INTEGER, registry_size INTEGER, registry_orphans TEXT,"
            " registry_dead TEXT, dead_letters_count INTEGER);"
            "BEGIN"
        )
        waiting = {"event": [], "dead_letter": [], "audit": []}
        places = {"event": ("events", 6), "dead_letter": ("dead_letters", 6), "audit": ("audits", 11)}

        def put(kind):
            table, width = places[kind]
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", waiting[kind])
            waiting[kind].clear()

        with open(facts, encoding="utf-8") as lines:
            for line in lines:
                fact = json.loads(line)
                kind, t = fact["kind"], fact["timestamp"]
                row = [round(t * 1e6), t, fact["system_id"]]
                if kind == "event":
                    row += [fact["actor_address"], fact["event_type"], json.dumps(fact["payload"], ensure_ascii=False)]
                elif kind == "dead_letter":
                    row += [fact["target"], fact["message_type"], json.dumps(fact["payload"], ensure_ascii=False)]
                else:
                    row += [fact[key] for key in ("total_actors", "alive_actors", "stopping_actors", "restarting_actors")]
                    row += [fact["registry_size"], json.dumps(fact["registry_orphans"]), json.dumps(fact["registry_dead"])]
                    row.append(fact["dead_letters_count"])
                waiting[kind].append(row)
                if len(waiting[kind]) == 10_000:
                    put(kind)
        for kind in waiting:
            put(kind)
        db.execute("COMMIT")
        db.close()
        return time.perf_counter() - began

    def ask(self, sql):
        began = time.perf_counter()
        db = sqlite3.connect(self.file)
        asked = time.perf_counter()
        rows = db.execute(sql).fetchall()
        answered = time.perf_counter()
        db.close()
        return answered - asked, time.perf_counter() - began, rows

    def size(self):
        return self.file.stat().st_size


def remove(path):
    for suffix in ("", ".wal", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def own_python(cache):
    """The interpreter of the virtual environment, which is made when it is missing."""
    python = cache / "venv" / "bin" / "python"
    marker = cache / "venv" / "complete"
    if not marker.exists():
        tell(f"making a virtual environment with {', '.join(PACKAGES)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", cache / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        marker.touch()
    return python


def facts_file(cache, n):
    """The generated facts; a changed generator makes new ones."""
    version = hashlib.sha256((HERE / "generate.py").read_bytes()).hexdigest()[:8]
    path = cache / f"facts-{n}-{version}.ndjson"
    if not path.exists():
        tell(f"generating {n:,} facts")
        partial = path.with_suffix(".partial")
        subprocess.run([sys.executable, HERE / "generate.py", "--facts", str(n), "--out", partial], check=True)
        partial.rename(path)
    return path


def tell(text):
    print(text, file=sys.stderr, flush=True)


def plain(rows):
    """An answer in a form in which engines can be compared: text, and no order among ties."""
    return sorted(tuple("" if value is None else str(value) for value in row) for row in rows)


def span(seconds):
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"


def ratio(mine, other):
    return "-" if mine is None or not other else f"{mine / other:.2f}"


def verdict(mine, needed):
    return "" if mine is None else ("met" if mine <= needed else f"MISSED by {mine / needed:.1f}x")


def show(rows):
    head = ["", "ostracon", "duckdb", "duckdb, own columns", "sqlite", "o/duckdb", "o/own columns", "o/sqlite",
            "whole: o", "whole: duckdb", "required", ""]
    used = [i for i in range(len(head)) if i == 0 or any(row[i] not in ("", "-") for row in rows)]
    table = [[row[i] for i in used] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(used))]
    for k, row in enumerate(table):
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip())
        if k == 0:
            print("  ".join("-" * w for w in widths))


def compare(args, cache, facts, folder):
    engines = args.engines.split(",")
    ostracon = Ostracon(args.ostracon, folder / "store") if "ostracon" in engines else None
    duckdb = DuckDb(folder) if "duckdb" in engines else None
    sqlite = Sqlite(folder) if "sqlite" in engines else None
    rows = []

    loads = {"ostracon": [], "duckdb": [], "sqlite": []}
    for run in range(args.import_runs):
        for name, engine in (("ostracon", ostracon), ("duckdb", duckdb), ("sqlite", sqlite)):
            # SQLite's takes a minute a million, and no requirement hangs on it.
            if engine and not (name == "sqlite" and run > 0):
                tell(f"import, run {run + 1}: {name}")
                loads[name].append(engine.load(facts))
    if duckdb:
        duckdb.arrange()

    def middle(values):
        return statistics.median(values) if values else None

    o, d, s = (middle(loads[name]) for name in ("ostracon", "duckdb", "sqlite"))
    rows.append(["import", span(o), span(d), "-", span(s), ratio(o, d), "-", ratio(o, s), "-", "-", "<= 1.0 x duckdb",
                 verdict(o / d, 1.0) if o and d else ""])

    actor = busy_actor(facts)
    differences = []
    for question in questions(actor):
        tell(f"asking: {question.name}")
        inside = {key: [] for key in ("ostracon", "duckdb", "promoted", "sqlite")}
        whole = {key: [] for key in inside}
        answers = {}
        for _ in range(args.runs):
            for key in inside:
                engine = {"ostracon": ostracon, "sqlite": sqlite}.get(key, duckdb)
                if not engine:
                    continue
                asked = engine.ask(question.sql[key], key) if engine is duckdb else engine.ask(question.sql[key])
                inside[key].append(asked[0])
                whole[key].append(asked[1])
                answers[key] = plain(asked[2])
        if len({repr(answer) for answer in answers.values()}) > 1:
            differences.append(question.name)
        o, d, p, s = (middle(inside[key]) for key in inside)
        rows.append([question.name, span(o), span(d), span(p), span(s), ratio(o, d), ratio(o, p), ratio(o, s),
                     span(middle(whole["ostracon"])), span(middle(whole["duckdb"])), f"<= {question.needs} x duckdb",
                     verdict(o / d, question.needs) if o and d else ""])

    if ostracon:
        rows.append(alone(ostracon, args.runs, "inspect events --limit 100", 0.005,
                          "inspect", ostracon.store, "events", "--limit", 100))
        rows.append(alone(ostracon, args.runs, "sql -c 'select 1', cold", 0.060,
                          "sql", ostracon.store, "-c", "select 1"))
        rows.append(alone(ostracon, args.runs, "--version (a process's start)", None, "--version"))

    def each_fact(size):
        return "-" if size is None else f"{size / args.facts:.1f} B"

    o, d, p, s = (ostracon and ostracon.size(), duckdb and duckdb.size("duckdb"), duckdb and duckdb.size("promoted"),
                  sqlite and sqlite.size())
    rows.append(["bytes a fact", each_fact(o), each_fact(d), each_fact(p), each_fact(s), ratio(o, d), ratio(o, p),
                 ratio(o, s), "-", "-", "<= 16 B", verdict(o / args.facts, 16) if o else ""])
    print(f"\n{args.facts:,} facts, {facts.stat().st_size / 1e6:,.0f} MB of lines; medians of {args.runs} runs "
          f"(import: {args.import_runs}); history of {actor}\n")
    show(rows)
    if ostracon:
        print("\nlist_events(limit=100) is required within 5 ms in the process; the figure above includes a process's start.")
    for name in differences:
        print(f"\nThe engines' answers differ: {name}")
    return 1 if differences else 0


def alone(ostracon, runs, name, needed, *command):
    """A row about Ostracon's process only."""
    whole = statistics.median(ostracon.call(*command)[1] for _ in range(max(runs, 5)))
    return [name, "-", "-", "-", "-", "-", "-", "-", span(whole), "-", f"<= {needed * 1000:.0f} ms" if needed else "-",
            verdict(whole, needed) if needed else ""]


def busy_actor(facts):
    """An actor from the upper middle: the hundredth by events among the first 100,000 facts."""
    counts = {}
    with open(facts, encoding="utf-8") as lines:
        for line, _ in zip(lines, range(100_000)):
            fact = json.loads(line)
            if fact["kind"] == "event":
                counts[fact["actor_address"]] = counts.get(fact["actor_address"], 0) + 1
    ranked = sorted(counts, key=lambda address: (-counts[address], address))
    return ranked[min(99, len(ranked) - 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--full", action="store_true", help="10,000,000 facts")
    parser.add_argument("--runs", type=int, default=5, help="of each question (default 5)")
    parser.add_argument("--import-runs", type=int, help="of the import (default 3; 1 with --full)")
    parser.add_argument("--ostracon", type=Path, help="the binary; without it, `cargo build --release` makes one")
    parser.add_argument("--engines", default="ostracon,duckdb,sqlite", help="which of them to run")
    default_cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ostracon-versus"
    parser.add_argument("--cache", type=Path, default=default_cache, help="facts, databases and packages")
    parser.add_argument("--keep", action="store_true", help="keep the store and the databases")
    args = parser.parse_args()
    args.facts = 10_000_000 if args.full else args.facts
    args.import_runs = args.import_runs or (1 if args.full else 3)
    args.cache.mkdir(parents=True, exist_ok=True)

    python = own_python(args.cache.resolve())
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execv(python, [str(python), __file__, *sys.argv[1:]])

    if "ostracon" in args.engines.split(",") and args.ostracon is None:
        tell("building ostracon")
        subprocess.run(["cargo", "build", "--release", "--manifest-path", ROOT / "Cargo.toml"], check=True)
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        args.ostracon = target / "release" / "ostracon"
    facts = facts_file(args.cache, args.facts)
    folder = args.cache / f"run-{os.getpid()}"
    folder.mkdir()
    try:
        return compare(args, args.cache, facts, folder)
    finally:
        if args.keep:
            tell(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
