"""What other programs read of the files that hold an answer, as JSON on stdout.

    python answers.py FILE

A list of readers, each with its name, the columns' names, and the rows; NULL is null, all else is text.
"""

import csv
import json
import sys


def shown(value):
    return None if value is None else str(value)


def rows_of(columns, rows):
    return {"columns": list(columns), "rows": [[shown(value) for value in row] for row in rows]}


def with_duckdb(file, call):
    import duckdb

    relation = duckdb.sql(f"SELECT * FROM {call.format(file)}")
    return rows_of(relation.columns, relation.fetchall())


def with_pyarrow(file):
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.endswith(".parquet"):
        compressions = {
            pq.ParquetFile(file).metadata.row_group(0).column(at).compression
            for at in range(pq.ParquetFile(file).metadata.num_columns)
        }
        assert compressions == {"ZSTD"}, compressions
        table = pq.read_table(file)
    else:
        table = pa.ipc.open_file(file).read_all()
    return rows_of(table.column_names, zip(*(column.to_pylist() for column in table.columns)))


def with_csv(file):
    with open(file, newline="") as text:
        names, *rows = csv.reader(text)
    return rows_of(names, rows)


def postgres(text):
    """A cell of PostgreSQL's text format."""
    if text == r"\N":
        return None
    names = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "b": "\b", "f": "\f", "v": "\v"}
    out, rest = "", iter(text)
    for char in rest:
        out += names[next(rest)] if char == "\\" else char
    return out


def with_tabs(file):
    with open(file, newline="\n") as text:
        names, *rows = ([postgres(cell) for cell in line.rstrip("\n").split("\t")] for line in text)
    return rows_of(names, rows)


def with_json(file):
    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), names
        return dict(pairs)

    def no(constant):
        raise ValueError(constant)

    load = lambda text: json.loads(text, object_pairs_hook=once, parse_constant=no)
    with open(file) as text:
        rows = load(text.read()) if file.endswith(".json") else [load(line) for line in text]
    return {"columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}


READERS = {
    "parquet": {"duckdb": lambda file: with_duckdb(file, "read_parquet('{}')"), "pyarrow": with_pyarrow},
    "arrow": {"pyarrow": with_pyarrow},
    "csv": {"duckdb": lambda file: with_duckdb(file, "read_csv('{}', all_varchar=true, allow_quoted_nulls=false)"), "csv": with_csv},
    "tsv": {"postgres": with_tabs},
    "json": {"json": with_json},
    "ndjson": {"json": with_json},
}

if __name__ == "__main__":
    file = sys.argv[1]
    readers = READERS[file.rsplit(".", 1)[1]]
    json.dump({name: read(file) for name, read in readers.items()}, sys.stdout)
