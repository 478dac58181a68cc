//! SQL only reads, and reads nothing but the store.

use std::time::{Duration, Instant};

use ostracon::{ErrorKind, QueryOptions, Store};

use super::{column, failure, rows, ten_crashes as store, try_rows};

#[test]
fn whatever_writes_or_sets_is_refused() {
    let (folder, store) = store();
    let beside = folder.path().join("out");
    let out = beside.display();
    for sql in [
        "CREATE TABLE t (a INT)",
        "CREATE TABLE t AS SELECT * FROM events",
        "CREATE TEMPORARY TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT * FROM events",
        "CREATE OR REPLACE VIEW crashes AS SELECT 1",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "CREATE INDEX i ON events (seq)",
        "CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1 + 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://bucket/x'",
        "DROP TABLE events",
        "DROP VIEW crashes",
        "DROP SCHEMA facts CASCADE",
        "DROP FUNCTION error_group",
        "ALTER TABLE events ADD COLUMN x INT",
        "INSERT INTO events SELECT * FROM events",
        "INSERT INTO events (seq) VALUES (1)",
        "UPDATE events SET seq = 1",
        "DELETE FROM events",
        "TRUNCATE TABLE events",
        "MERGE INTO events USING audits ON true WHEN MATCHED THEN DELETE",
        &format!("COPY events TO '{out}'"),
        &format!("COPY (SELECT 1) TO '{out}.csv' STORED AS CSV"),
        &format!("COPY events FROM '{out}'"),
        &format!("EXPLAIN COPY (SELECT 1) TO '{out}.csv' STORED AS CSV"),
        &format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}.csv' STORED AS CSV"),
        "EXPLAIN INSERT INTO events SELECT * FROM events",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "EXPLAIN CREATE TABLE t AS SELECT 1",
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
        "EXPLAIN ANALYZE DROP TABLE events",
        "SET datafusion.execution.batch_size = 1",
        "SET datafusion.runtime.memory_limit = '1G'",
        "SET TIME ZONE = '+08:00'",
        "RESET datafusion.execution.batch_size",
        "RESET ALL",
        "PREPARE p AS SELECT 1",
        "PREPARE p(INT) AS SELECT $1",
        "EXECUTE p(1)",
        "DEALLOCATE p",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "VACUUM",
        "USE other",
        "GRANT SELECT ON events TO x",
        "CALL f()",
        "SELECT 1 INTO t",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE events",
        "",
        ";",
        "-- nothing",
    ] {
        let error = failure(&store, sql);
        assert_eq!(error.kind(), ErrorKind::Query, "{sql}: {error}");
        assert!(!error.to_string().is_empty());
    }
    assert!(!beside.exists() && !folder.path().join("out.csv").exists());
    // Nothing of that had an effect on the next query.
    assert_eq!(column(&store, "SELECT count(*) FROM events"), ["10"]);
    assert_eq!(column(&store, "SELECT count(*) FROM crashes"), ["10"]);
    assert_eq!(column(&store, "SELECT error_group('a 1')"), ["a <n>"]);
}

#[test]
fn nothing_outside_the_store_can_be_named() {
    let (folder, store) = store();
    let outside = folder.path().join("secret.csv");
    std::fs::write(&outside, "a,b\n1,secret\n").unwrap();
    let outside = outside.display();
    for sql in [
        &format!("SELECT * FROM '{outside}'"),
        &format!("SELECT * FROM \"{outside}\""),
        &format!("SELECT * FROM \"file://{outside}\""),
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM 'http://localhost:1/x.csv'",
        "SELECT * FROM \"ostracon://store/ostracon.toml\"",
        "SELECT * FROM \"ostracon://store/../secret.csv\"",
        "SELECT * FROM \"../secret.csv\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM other.public.t",
        "SELECT * FROM datafusion.public.events",
        "SELECT * FROM facts.nothing",
        "SELECT * FROM pg_catalog.pg_class",
    ] {
        let error = failure(&store, sql);
        assert_eq!(error.kind(), ErrorKind::Query, "{sql}: {error}");
        assert!(!error.to_string().contains("secret,") && !error.to_string().contains("root:"), "{error}");
    }
}

#[test]
fn the_hidden_columns_are_hidden() {
    let (_folder, store) = store();
    for column in ["wall_time", "timestamp_bits"] {
        assert_eq!(failure(&store, &format!("SELECT {column} FROM events")).kind(), ErrorKind::Query);
    }
    assert_eq!(
        column(
            &store,
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'dead_letters'"
        ),
        [
            "at",
            "system_id",
            "target",
            "message_type",
            "payload",
            "recorded_at",
            "timestamp",
            "stream",
            "seq",
            "extra"
        ]
    );
}

#[test]
fn the_store_tells_what_is_in_it() {
    let (_folder, store) = store();
    let tables = column(
        &store,
        "SELECT table_schema || '.' || table_name || ' ' || table_type FROM information_schema.tables
         WHERE table_schema <> 'information_schema' ORDER BY 1",
    );
    let wanted = [
        "facts.actors VIEW",
        "facts.audits BASE TABLE",
        "facts.crashes VIEW",
        "facts.dead_letters BASE TABLE",
        "facts.events BASE TABLE",
        "facts.restarts VIEW",
        "store.commits BASE TABLE",
        "store.consumers BASE TABLE",
        "store.metrics BASE TABLE",
        "store.segments BASE TABLE",
        "store.streams BASE TABLE",
        "store.unverified BASE TABLE",
    ];
    assert_eq!(tables, wanted);
    assert_eq!(
        rows(&store, "SHOW TABLES").into_iter().filter(|row| row[1] != "information_schema").count(),
        wanted.len()
    );
    let described = rows(&store, "DESCRIBE events");
    assert_eq!(described[0][..2], ["at", "Timestamp(ns, \"UTC\")"]);
    assert_eq!(described.len(), 13);
    assert_eq!(rows(&store, "DESCRIBE crashes"), described);
    assert_eq!(rows(&store, "SHOW COLUMNS FROM events").len(), 13);
    assert!(!rows(&store, "DESCRIBE store.segments").is_empty());
    assert!(rows(&store, "SELECT * FROM information_schema.views").len() >= 3);
    assert!(!rows(&store, "SHOW FUNCTIONS").is_empty());
    assert_eq!(column(&store, "SELECT count(*) FROM ostracon.facts.events"), ["10"]);
}

#[test]
fn a_plan_can_be_looked_at() {
    let (_folder, store) = store();
    let plan = rows(&store, "EXPLAIN SELECT * FROM crashes WHERE seq > 2").concat().concat();
    assert!(plan.contains("DeadlineExec") && plan.contains("TailExec"), "{plan}");
    let plan = rows(&store, "EXPLAIN VERBOSE SELECT count(*) FROM events").concat().concat();
    assert!(plan.contains("newest_first"), "{plan}");
    let plan = rows(&store, "EXPLAIN ANALYZE SELECT * FROM events WHERE seq > 2").concat().concat();
    assert!(plan.contains("output_rows=8"), "{plan}");
    assert!(!rows(&store, "EXPLAIN FORMAT TREE SELECT 1").is_empty());
}

#[test]
fn settings_can_be_read_but_a_query_has_no_say_in_them() {
    let (_folder, store) = store();
    let before = column(&store, "SHOW datafusion.execution.batch_size");
    assert_eq!(failure(&store, "SET datafusion.execution.batch_size = 3").kind(), ErrorKind::Query);
    assert_eq!(column(&store, "SHOW datafusion.execution.batch_size"), before);
}

#[test]
fn what_is_wrong_is_said() {
    let (_folder, store) = store();
    for (sql, says) in [
        ("SELEC 1", "SELEC"),
        ("SELECT nothing FROM events", "nothing"),
        ("SELECT * FROM event", "event"),
        ("SELECT no_such_function(1)", "no_such_function"),
        ("SELECT seq + 'x' FROM events", "x"),
        ("SELECT CAST(error AS INT) FROM events", "E: "),
        ("SELECT 1 / 0 FROM events", "zero"),
        ("SELECT * FROM events WHERE seq = $n", "n"),
        ("SELECT 'unterminated", "nterminated"),
        ("DROP TABLE events", "can only read"),
        ("INSERT INTO events SELECT * FROM events", "can only read"),
    ] {
        let error = failure(&store, sql);
        assert_eq!(error.kind(), ErrorKind::Query, "{sql}: {error}");
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
}

#[test]
fn parameters_are_values_and_never_text() {
    let (_folder, store) = store();
    let ask = |sql: &str, value: &str| try_rows(&store, sql, QueryOptions::new().param("x", value));
    let sql = "SELECT count(*) FROM events WHERE error = $x";
    assert_eq!(ask(sql, "E: 3").unwrap(), [["1"]]);
    assert_eq!(ask(sql, "' OR '1'='1").unwrap(), [["0"]]);
    assert_eq!(
        ask("SELECT payload->>'error' FROM events WHERE payload->>'error' = $x", "E: 4").unwrap(),
        [["E: 4"]]
    );
    let error = ask("DROP TABLE $x", "events").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Query);
}

/// Asks on a thread of its own, and waits no longer than the test may take.
fn within(
    limit: Duration,
    store: &std::sync::Arc<Store>,
    name: &str,
    sql: String,
    options: QueryOptions,
) -> Result<usize, ErrorKind> {
    let (tell, told) = std::sync::mpsc::channel();
    let store = std::sync::Arc::clone(store);
    // A planner's stack is the caller's: as small as a runtime's worker has it.
    let asking = std::thread::Builder::new().stack_size(2 << 20);
    let began = Instant::now();
    asking
        .spawn(move || {
            let answer = try_rows(&store, &sql, options);
            let _ = tell.send(answer.map(|rows| rows.len()).map_err(|error| {
                assert!(error.to_string().len() < 20_000, "an error of {} bytes", error.to_string().len());
                error.kind()
            }));
        })
        .unwrap();
    let answer = told
        .recv_timeout(limit)
        .unwrap_or_else(|error| panic!("{name}: {error} after {:?}", began.elapsed()));
    println!("{name}: {answer:?} after {:?}", began.elapsed());
    answer
}

/// A chain of `count` common table expressions, each made of the one before.
fn chain(
    first: &str,
    count: usize,
    next: impl Fn(String) -> String,
    last: impl Fn(String) -> String,
) -> String {
    let mut sql = format!("WITH c0 AS ({first})");
    for n in 1..=count {
        sql += &format!(", c{n} AS ({})", next(format!("c{}", n - 1)));
    }
    sql + " " + &last(format!("c{count}"))
}

#[test]
fn hostile_sql_ends_in_time_and_the_process_lives() {
    let (_folder, store) = store();
    let store = std::sync::Arc::new(store);
    let nested = |open: &str, inner: &str, close: &str, n: usize| open.repeat(n) + inner + &close.repeat(n);
    let mut hostile: Vec<(String, String)> = Vec::new();
    for n in [90, 300, 3_000, 100_000] {
        hostile.extend([
            (format!("{n} parentheses"), format!("SELECT {}", nested("(", "1", ")", n))),
            (format!("{n} subqueries"), nested("SELECT * FROM (", "SELECT 1", ")", n)),
            (format!("{n} scalar subqueries"), nested("SELECT (", "SELECT 1", ")", n)),
            (format!("{n} IN subqueries"), nested("SELECT 1 WHERE 1 IN (", "SELECT 1", ")", n)),
            (format!("{n} EXISTS"), nested("SELECT 1 FROM events WHERE EXISTS (", "SELECT 1", ")", n)),
            (
                format!("{n} CASE in CASE"),
                format!("SELECT {}", nested("CASE WHEN true THEN ", "1", " END", n)),
            ),
            (
                format!("{n} WHEN"),
                format!("SELECT CASE {} END FROM events", "WHEN seq = 1 THEN 2 ".repeat(n)),
            ),
            (format!("{n} arrays"), format!("SELECT {}", nested("[", "1", "]", n))),
            (format!("{n} ARRAYs"), format!("SELECT {}", nested("ARRAY[", "1", "]", n))),
            (format!("{n} functions"), format!("SELECT {}", nested("abs(", "1", ")", n))),
            (format!("{n} array elements"), format!("SELECT [{}]", vec!["1"; n].join(", "))),
            (format!("{n} casts"), format!("SELECT 1{}", "::INT".repeat(n))),
            (format!("{n} minus"), format!("SELECT {}1", "- ".repeat(n))),
            (format!("{n} NOT"), format!("SELECT {}true", "NOT ".repeat(n))),
            (format!("{n} OR"), format!("SELECT 1 FROM events WHERE seq = 1{}", " OR seq = 2".repeat(n))),
            (format!("{n} concatenations"), format!("SELECT 'a'{}", " || 'a'".repeat(n))),
            (format!("{n} arrows"), format!("SELECT payload{} FROM events", "->'a'".repeat(n))),
            (format!("{n} subscripts"), format!("SELECT [1]{}", "[1]".repeat(n))),
            (format!("{n} unions"), format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n))),
            (
                format!("{n} joins"),
                format!(
                    "SELECT 1 FROM events e{}",
                    (0..n).map(|n| format!(" JOIN events e{n} USING (seq)")).collect::<String>()
                ),
            ),
            (
                format!("{n} tables"),
                format!(
                    "SELECT count(*) FROM {}",
                    (0..n).map(|n| format!("events e{n}")).collect::<Vec<_>>().join(", ")
                ),
            ),
            (
                format!("{n} columns"),
                format!(
                    "SELECT {} FROM events",
                    vec!["seq"; n]
                        .iter()
                        .enumerate()
                        .map(|(n, c)| format!("{c} + {n} x{n}"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ),
            (format!("{n} values"), format!("VALUES {}", vec!["(1)"; n].join(", "))),
            (
                format!("{n} IN"),
                format!(
                    "SELECT count(*) FROM events WHERE seq IN ({})",
                    (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
                ),
            ),
            (
                format!("{n} IN texts"),
                format!(
                    "SELECT count(*) FROM events WHERE payload->>'error' IN ({})",
                    (0..n).map(|n| format!("'E: {n}'")).collect::<Vec<_>>().join(", ")
                ),
            ),
            (
                format!("{n} IN instants"),
                format!(
                    "SELECT count(*) FROM events WHERE at IN ({})",
                    (0..n).map(|n| format!("'2026-01-01T00:00:00.{n:09}Z'")).collect::<Vec<_>>().join(", ")
                ),
            ),
            (
                format!("{n} aliases"),
                chain("SELECT 1 AS x", n, |c| format!("SELECT * FROM {c}"), |c| format!("SELECT * FROM {c}")),
            ),
        ]);
    }
    all_end(&store, hostile);
}

#[test]
fn functions_that_make_much_of_little_are_bounded() {
    let (_folder, store) = store();
    for sql in [
        "SELECT repeat('x', 1000000000)",
        "SELECT repeat(payload, 500000000) FROM events",
        "SELECT lpad('x', 2000000000)",
        "SELECT rpad(payload, CAST(seq AS INT) * 100000000) FROM events",
        "SELECT array_repeat('x', 1000000000)",
        "SELECT range(1, 1000000000)",
        "SELECT range(1000000000)",
        "SELECT generate_series(1, seq * 100000000) FROM events",
        "SELECT length(replace(repeat('a', 1000000), 'a', repeat('b', 2000000)))",
        "SELECT length(regexp_replace(repeat('a', 1000000), 'a', repeat('b', 2000000), 'g'))",
        "SELECT length(replace(repeat(payload, 1000), '{', repeat('b', 20000000))) FROM events",
        "SELECT array_resize([repeat('x', 1000000)], 1000000, repeat('x', 1000000))",
        "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))",
        "SELECT length(concat(x, x)) FROM (SELECT repeat('x', value) AS x FROM generate_series(900000, 900200))",
        "SELECT length(concat_ws(x, 1, 2, 3)) FROM (SELECT repeat('x', value) AS x FROM generate_series(900000, 900200))",
        "SELECT translate(repeat('a', 200000000), 'a', 'bb')",
    ] {
        let error = try_rows(&store, sql, QueryOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{sql}: {error}");
        assert!(error.to_string().contains("the limit is "), "{sql}: {error}");
    }
    let year = "TIMESTAMP '2026-01-01T00:00:00', TIMESTAMP '2026-12-31T00:00:00'";
    let back_and_forth = format!("SELECT generate_series({year}, INTERVAL '1 month -29 days')");
    let error = try_rows(&store, &back_and_forth, QueryOptions::new()).unwrap_err();
    assert!(error.to_string().contains("both positive and negative parts"), "{error}");
    let forth = format!("SELECT array_length(generate_series({year}, INTERVAL '1 month 1 day'))");
    assert_eq!(column(&store, &forth), ["12"]);
    assert_eq!(column(&store, "SELECT replace('shop:1', ':', ' ')"), ["shop 1"]);
    assert_eq!(column(&store, "SELECT regexp_replace('a1b22', '[0-9]+', '#', 'g')"), ["a#b#"]);
    assert_eq!(column(&store, "SELECT levenshtein('kitten', 'sitting')"), ["3"]);
    assert_eq!(
        column(&store, "SELECT concat('a', NULL, 1, true, concat_ws('-', 'b', NULL, 'c'))"),
        ["a1trueb-c"]
    );
    assert_eq!(column(&store, "SELECT length(repeat('xy', 1000))"), ["2000"]);
    assert_eq!(column(&store, "SELECT lpad('7', 3, '0')"), ["007"]);
    assert_eq!(column(&store, "SELECT array_length(range(1, 11, 2))"), ["5"]);
    assert_eq!(
        column(&store, "SELECT DISTINCT length(repeat('#', CAST(seq AS INT))) > 0 FROM events"),
        ["true"]
    );
}

/// Each is answered, refused or stopped soon, and the store lives.
fn all_end(store: &std::sync::Arc<Store>, hostile: Vec<(String, String)>) {
    for (name, sql) in hostile {
        let options = QueryOptions::new().timeout(Duration::from_millis(300));
        let limit = Duration::from_secs(15);
        if let Err(kind) = within(limit, store, &name, sql, options) {
            let known = matches!(kind, ErrorKind::Query | ErrorKind::TimedOut | ErrorKind::OutOfMemory);
            assert!(known, "{name}: {kind:?}");
        }
    }
    assert_eq!(column(store, "SELECT count(*) FROM events"), ["10"]);
}

#[test]
fn sql_that_grows_while_it_is_planned_or_computed_ends_in_time() {
    let (_folder, store) = store();
    let store = std::sync::Arc::new(store);
    let mut hostile: Vec<(String, String)> = Vec::new();
    for n in [8, 13, 20, 40] {
        let plain = |c: String| format!("SELECT * FROM {c}");
        let filtered = |c: String| format!("SELECT * FROM {c} WHERE x > 0");
        let doubled = |c: String| format!("SELECT x - x AS x FROM {c}");
        let twice = |c: String| format!("SELECT a.x FROM {c} a, {c} b");
        hostile.extend([
            (format!("{n} doubled expressions"), chain("SELECT seq AS x FROM events", n, doubled, plain)),
            (format!("{n} doubled, filtered"), chain("SELECT seq AS x FROM events", n, doubled, filtered)),
            (format!("{n} doubled constants"), chain("SELECT 1 AS x", n, doubled, filtered)),
            (
                format!("{n} doubled texts"),
                chain(
                    "SELECT payload AS x FROM events",
                    n,
                    |c| format!("SELECT x || x AS x FROM {c}"),
                    |c| format!("SELECT length(x) FROM {c}"),
                ),
            ),
            (
                format!("{n} doubled constant texts"),
                chain(
                    "SELECT 'abcdefgh' AS x",
                    n,
                    |c| format!("SELECT x || x AS x FROM {c}"),
                    |c| format!("SELECT length(x) FROM {c}"),
                ),
            ),
            (format!("{n} crossed with themselves"), chain("SELECT seq AS x FROM events", n, twice, plain)),
        ]);
    }
    let series = "generate_series(1, 100000000)";
    let endless = [
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r".to_owned(),
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r LIMIT 3"
            .to_owned(),
        "WITH RECURSIVE r AS (SELECT 'a' AS t UNION ALL SELECT t || t FROM r) SELECT max(length(t)) FROM r"
            .to_owned(),
        format!("SELECT value FROM {series} ORDER BY value % 7, value DESC"),
        format!("SELECT sum(value) OVER (ORDER BY value % 1009) FROM {series}"),
        format!("SELECT count(DISTINCT value) FROM {series}"),
        format!("SELECT array_agg(value) FROM {series}"),
        format!("SELECT string_agg(value::TEXT, ',') FROM {series}"),
        format!("SELECT repeat('x', 1000000000) FROM {series}"),
        format!("SELECT md5(value::TEXT) FROM {series} WHERE value::TEXT ~ '^(a+)+$'"),
        "SELECT repeat(payload, 2000000000) FROM events".to_owned(),
        "SELECT lpad('x', 2000000000) FROM events".to_owned(),
        "SELECT length(repeat('a', 30000000)) FROM events WHERE repeat('a', 30000000) ~ '(a|aa|aaa)+b'"
            .to_owned(),
        "SELECT 1 FROM events WHERE payload ~ 'a{1000}{1000}{1000}'".to_owned(),
    ];
    hostile.extend(endless.into_iter().map(|sql| (sql.clone(), sql)));
    all_end(&store, hostile);
}

/// Each of them asked the system for more memory than there is, which ends the process.
#[test]
fn sizes_that_a_query_names_are_not_believed() {
    let (_folder, store) = store();
    for sql in [
        "SELECT approx_percentile_cont(seq, 0.5, 100000000000) FROM events",
        "SELECT approx_percentile_cont(seq, 0.5, 1000000 * 1000) FROM events",
        "SELECT approx_percentile_cont(seq, 0.5, 1000000000) OVER () FROM events",
        "SELECT approx_percentile_cont_with_weight(seq, 1, 0.5, 1000000000) FROM events",
        "SELECT arrow_cast([1], 'FixedSizeList(2000000000, Int64)')",
        "SELECT arrow_cast([[1]], 'List(FixedSizeList(2000000000, Int64))')",
        "SELECT sum(n) FROM (SELECT unnest(range(0, 4000000)) AS n FROM events a, events b, events c)",
        "SELECT repeat('x', 30000000) FROM events a, events b, events c",
    ] {
        let kind = failure(&store, sql).kind();
        assert!(matches!(kind, ErrorKind::Query | ErrorKind::OutOfMemory), "{sql}: {kind:?}");
    }
    for sql in [
        "SELECT approx_percentile_cont(seq, 0.5, 200) IS NOT NULL FROM events",
        "SELECT length(repeat('x', 3000000)) > 0 FROM events LIMIT 1",
        "SELECT count(*) > 0 FROM (SELECT unnest(range(0, 1000000)))",
        "SELECT concat_ws(',', 'a', NULL, 'b') = 'a,b' FROM events LIMIT 1",
        "SELECT concat('a', NULL, seq) IS NOT NULL FROM events LIMIT 1",
    ] {
        assert_eq!(column(&store, sql), ["true"], "{sql}");
    }
}
