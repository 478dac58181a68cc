//! SQL that must not be, or cannot end well.

use std::time::{Duration, Instant};

use ostracon::{ErrorKind, QueryOptions, Store};

use super::super::command::Folder;
use super::super::support::{crash, number};

/// Asks until the last row, and returns what went wrong.
fn failure(store: &Store, sql: &str, options: QueryOptions) -> ostracon::Error {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let frame = store.sql_with(sql, options).await?;
        frame.collect().await
    });
    runtime.shutdown_background();
    match answer {
        Err(error) => error,
        Ok(batches) => panic!("{} was answered: {batches:?}", sql.get(..80).unwrap_or(sql)),
    }
}

#[test]
fn sql_that_does_anything_but_read_is_refused() {
    let folder = Folder::with_known_facts();
    folder.write("secret.csv", "a,b\n1,2\n");
    let before = folder.tree();
    for sql in [
        "INSERT INTO events SELECT * FROM events",
        "INSERT INTO events (system_id) VALUES ('x')",
        "UPDATE events SET error = 'none'",
        "DELETE FROM events",
        "TRUNCATE TABLE events",
        "MERGE INTO events USING events e ON true WHEN MATCHED THEN DELETE",
        "DROP TABLE events",
        "DROP VIEW crashes",
        "ALTER TABLE events ADD COLUMN x int",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'secret.csv'",
        "CREATE FUNCTION f(int) RETURNS int RETURN $1 + 1",
        "COPY events TO 'out.parquet'",
        "COPY (SELECT * FROM events) TO 'out.csv' STORED AS CSV",
        "COPY events FROM 'secret.csv'",
        "EXPLAIN ANALYZE COPY events TO 'out.parquet' STORED AS PARQUET",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "SET datafusion.execution.batch_size = 1",
        "SET datafusion.runtime.memory_limit = '1K'",
        "SET TIME ZONE 'Europe/Berlin'",
        "RESET datafusion.execution.batch_size",
        "BEGIN",
        "COMMIT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "VACUUM",
        "ATTACH 'other.db' AS other",
        "LOAD 'library'",
        "CALL something()",
        "SELECT 1; DROP TABLE events",
        "SELECT 1 INTO t",
        "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM 'secret.csv'",
        "SELECT * FROM \"secret.csv\"",
        "SELECT * FROM 'facts/events/*.parquet'",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM 'http://localhost/x.parquet'",
        "SELECT * FROM read_csv('secret.csv')",
        "SELECT * FROM read_parquet('facts/events/*.parquet')",
        "SELECT * FROM parquet_metadata('facts/events/x.parquet')",
        "SELECT * FROM metadata_cache()",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT load_extension('x')",
    ] {
        let error = folder.run(&["sql", "facts", "-c", sql]).failed();
        assert!(error.len() > 20 && !error.contains("internal error"), "{sql}: {error}");
        assert!(!error.contains("bug in ostracon"), "{sql}: {error}");
        assert!(folder.tree() == before, "{sql} has changed something");
    }
}

#[test]
fn explain_is_only_reading() {
    let folder = Folder::with_known_facts();
    for sql in ["EXPLAIN SELECT * FROM crashes", "EXPLAIN ANALYZE SELECT count(*) FROM crashes"] {
        assert!(folder.run(&["sql", "facts", "-c", sql]).ok().out.contains("plan"), "{sql}");
    }
}

/// Nesting and chaining of all sorts, a hundred thousand times.
fn endless() -> Vec<String> {
    const N: usize = 100_000;
    let nest =
        |open: &str, inner: &str, close: &str| format!("SELECT {}{inner}{}", open.repeat(N), close.repeat(N));
    vec![
        nest("(", "1", ")"),
        nest("abs(", "1", ")"),
        nest("[", "1", "]"),
        nest("CASE WHEN true THEN ", "1", " END"),
        nest("NOT ", "true", ""),
        nest("- ", "1", ""),
        nest("-", "1", ""),
        nest("(SELECT ", "1", ")"),
        nest("", "1", "::int"),
        nest("", "payload", "->'a'"),
        nest("", "make_array(1)", "[1]"),
        format!("SELECT * FROM {}events{}", "(SELECT * FROM ".repeat(N), ")".repeat(N)),
        format!("SELECT 1{}", " + 1".repeat(N)),
        format!("SELECT 'a'{}", " || 'a'".repeat(N)),
        format!("SELECT * FROM events WHERE seq = 1{}", " OR seq = 2".repeat(N)),
        format!("SELECT * FROM events WHERE seq = 1{}", " AND seq = 2".repeat(N)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(N)),
        format!("SELECT 1{}", " EXCEPT SELECT 1".repeat(N)),
        format!("SELECT * FROM events{}", ", events".repeat(N)),
        format!("SELECT * FROM events{}", " NATURAL JOIN events".repeat(N)),
        format!(
            "WITH a0 AS (SELECT 1){} SELECT 1",
            (0..N).map(|n| format!(", a{} AS (SELECT * FROM a{n})", n + 1)).collect::<String>()
        ),
        format!("SELECT {}", "/*".repeat(N)),
        "(".repeat(N),
        "SELECT ".repeat(N),
        "EXPLAIN ".repeat(N),
        format!("{}SELECT 1", "EXPLAIN ".repeat(1_000)),
        ";".repeat(N),
    ]
}

#[test]
fn sql_without_end_is_refused_and_the_process_lives() {
    let folder = Folder::with_known_facts();
    for sql in endless() {
        let begun = Instant::now();
        folder.write("q.sql", &sql);
        let said = folder.run(&["sql", "facts", "-f", "q.sql", "--timeout", "20s"]);
        // A process that was killed by its own stack has no exit code.
        let Some(code) = said.code else { panic!("{}…: {}", &sql[..60], said.err) };
        assert!(begun.elapsed().as_secs() < 40, "{}…: {:?}", &sql[..60], begun.elapsed());
        assert!(code == 1 && said.err.starts_with("error: "), "{}…: {code} {}", &sql[..60], said.err);
        assert!(said.err.len() < 3_000, "{}…: {} bytes of error", &sql[..60], said.err.len());
    }
}

#[test]
fn what_is_just_within_the_limits_is_answered_or_refused_and_the_process_lives() {
    let folder = Folder::with_known_facts();
    let store = Store::builder().access(ostracon::Access::Read).open(folder.path("facts")).unwrap();
    for n in [50, 99, 300] {
        for sql in [
            format!("SELECT seq{} FROM events", " + seq".repeat(n)),
            format!("SELECT payload{} FROM events", "->'a'".repeat(n / 9 + 1)),
            format!("SELECT payload{} FROM events", " || 'a'".repeat(n)),
            format!("SELECT payload{} FROM events", "[1]".repeat(n)),
            format!("SELECT seq{} FROM events", "::int::bigint".repeat(n / 2)),
            format!("SELECT {}true", "NOT ".repeat(n)),
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n / 4), " END".repeat(n / 4)),
            format!("SELECT count(*) FROM events WHERE seq = 1{}", " OR stream = 2".repeat(n / 2)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n / 10)),
            format!("SELECT 1{}", " EXCEPT SELECT 2".repeat(n / 10)),
            format!("SELECT count(*) FROM events e{}", " JOIN events USING (seq)".repeat(n / 50)),
            format!("{}SELECT 1", "EXPLAIN ".repeat(n)),
        ] {
            // On a thread like those of an async runtime, whose stack is of 2 MiB.
            std::thread::scope(|scope| {
                let ask = || {
                    let runtime = tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(1)
                        .enable_all()
                        .build()
                        .unwrap();
                    let options = QueryOptions::new().timeout(Duration::from_secs(20));
                    let answer =
                        runtime.block_on(async { store.sql_with(&sql, options).await?.collect().await });
                    runtime.shutdown_background();
                    answer
                        .map(|_| ())
                        .or_else(|error| if error.to_string().is_empty() { Err(()) } else { Ok(()) })
                };
                let thread =
                    std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, ask).unwrap();
                assert_eq!(thread.join().unwrap(), Ok(()), "{}… of {n}", &sql[..40]);
            });
        }
    }
    assert_eq!(number(&store, "SELECT count(*) FROM events"), 65);
}

#[test]
fn a_long_list_of_values_is_no_endless_sql() {
    let folder = Folder::with_known_facts();
    let values: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    folder.write("q.sql", format!("SELECT count(*) AS n FROM events WHERE seq IN ({})", values.join(", ")));
    assert_eq!(folder.run(&["sql", "facts", "-f", "q.sql", "--format", "csv"]).ok().out, "n\n65\n");
}

#[test]
fn hostile_text_is_a_question_like_any_other() {
    let folder = Folder::with_known_facts();
    for sql in [
        "\u{feff}SELECT 1 FROM nothing",
        "SELECT '\u{202e}\u{0}\u{ffff}' FROM nothing",
        "SELECT \u{1f4a9}",
        "SELECT \u{0}",
        "S\u{0415}LECT 1",
        "SELECT 1 \u{37e} DROP TABLE events",
        "SELECT \"",
        "SELECT $tag$ never closed",
        "SELECT E'\\ud800'",
        "SELECT U&'\\D800'",
        "SELECT 1e999999999999999999 + '",
        "SELECT $1",
        "SELECT $unset",
        "\\d events",
        "-- only a comment",
        "/* only a comment */",
        "   ",
    ] {
        folder.write("q.sql", sql);
        let error = folder.run(&["sql", "facts", "-f", "q.sql"]).failed();
        assert!(!error.contains("bug in ostracon") && error.len() > 12, "{sql:?}: {error}");
    }
    folder.write("q.sql", b"SELECT '\xff\xfe'");
    let error = folder.run(&["sql", "facts", "-f", "q.sql"]).failed();
    assert!(error.contains("q.sql") && error.contains("UTF-8"), "{error}");
    let error = folder.run_with(&["sql", "facts", "-f", "-"], b"SELECT '\xff\xfe'").failed();
    assert!(error.contains("UTF-8"), "{error}");
}

#[test]
fn sorting_more_than_memory_is_an_error_and_the_store_lives() {
    let folder = Folder::new();
    let store = Store::builder().query_memory_bytes(1 << 20).open(folder.path("facts")).unwrap();
    for n in 0..60_000 {
        store.record(crash(n)).unwrap();
    }
    store.flush().unwrap();
    // What does not fit goes to temporary files; what has to be in memory at once cannot.
    for sql in [
        "SELECT count(*) FROM (SELECT payload, row_number() OVER (ORDER BY error) AS n FROM events GROUP BY payload, error)",
        "SELECT string_agg(payload, ',') OVER (PARTITION BY system_id) FROM events",
    ] {
        let error = failure(&store, sql, QueryOptions::new());
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{sql}: {error}");
    }
    assert_eq!(number(&store, "SELECT count(*) FROM events"), 60_000);
}

#[test]
fn an_out_of_memory_says_what_can_be_done() {
    let folder = Folder::new();
    let store = Store::open(folder.path("facts")).unwrap();
    for n in 0..60_000 {
        store.record(crash(n)).unwrap();
    }
    store.close().unwrap();
    folder.write("facts/ostracon.toml", "[query]\nmemory_bytes = 1_048_576\nspill_bytes = 0\n");
    let error =
        folder.run(&["sql", "facts", "-c", "SELECT * FROM events ORDER BY payload DESC, error"]).failed();
    assert!(error.contains("query.memory_bytes"), "{error}");
}

#[test]
fn a_query_stops_at_its_timeout_and_the_store_lives() {
    let folder = Folder::with_known_facts();
    let store = Store::builder().access(ostracon::Access::Read).open(folder.path("facts")).unwrap();
    for sql in [
        "SELECT count(*) FROM events a, events b, events c, events d, events e WHERE a.seq * b.seq <> c.seq + d.seq - e.seq",
        "SELECT sum(a.value) FROM generate_series(1, 100000000000) a",
        "SELECT a.payload FROM events a, events b, events c, events d, events e ORDER BY a.payload || b.payload || e.payload",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "SELECT count(*) FROM events a, events b, events c WHERE regexp_like(repeat(a.payload, 100), '(x+x+)+y' || b.payload || c.seq)",
    ] {
        let begun = Instant::now();
        let error = failure(&store, sql, QueryOptions::new().timeout(Duration::from_millis(300)));
        assert!([ErrorKind::TimedOut, ErrorKind::Query].contains(&error.kind()), "{sql}: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{sql}: {:?}", begun.elapsed());
    }
    assert_eq!(number(&store, "SELECT count(*) FROM events"), 65);
}

#[test]
fn the_settings_timeout_counts_for_the_command() {
    let folder = Folder::with_known_facts();
    folder.write("facts/ostracon.toml", "[query]\ntimeout_seconds = 1\n");
    let sql = "SELECT count(*) FROM events a, events b, events c, events d, events e, events f WHERE a.seq <> f.seq + b.seq";
    let error = folder.run(&["sql", "facts", "-c", sql]).failed();
    assert!(error.contains("stopped after 1s"), "{error}");
}
