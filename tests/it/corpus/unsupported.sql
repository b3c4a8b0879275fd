-- Statements that windrow does not have, one a line: tests/it/unsupported.rs holds what is said of each.

-- Statements that change something
CREATE TEMPORARY TABLE x (a INT)
CREATE UNLOGGED TABLE x (a INT)
CREATE INDEX i ON bars (symbol)
CREATE UNIQUE INDEX i ON bars (symbol, ts)
CREATE ROLE trader
CREATE USER trader WITH PASSWORD 'x'
CREATE SEQUENCE s START 1
CREATE TYPE side AS ENUM ('buy', 'sell')
CREATE DOMAIN price AS DOUBLE PRECISION
CREATE EXTENSION timescaledb
CREATE FUNCTION twice(x INT) RETURNS INT RETURN x * 2
CREATE FUNCTION twice(x INT) RETURNS INT LANGUAGE SQL AS 'SELECT x * 2'
CREATE PROCEDURE p() AS BEGIN SELECT 1; END
CREATE TRIGGER t BEFORE INSERT ON bars FOR EACH ROW EXECUTE FUNCTION f()
CREATE POLICY p ON bars USING (true)
CREATE MACRO twice(x) AS x * 2
CREATE MATERIALIZED VIEW v AS SELECT * FROM bars
CREATE SECRET s (TYPE S3, KEY_ID 'a', SECRET 'b')
CREATE STAGE s
CREATE STREAM s ON TABLE bars
CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE()) LAYOUT(FLAT()) LIFETIME(1)
ALTER TABLE bars ADD COLUMN x INT
ALTER TABLE bars DROP COLUMN close
ALTER TABLE bars RENAME TO prices
ALTER TABLE bars ALTER COLUMN close TYPE INT
ALTER VIEW v AS SELECT 1
ALTER INDEX i RENAME TO j
ALTER ROLE trader WITH LOGIN
ALTER USER trader SET x = 1
ALTER DATABASE d SET x = 1
ALTER SESSION SET x = 1
ALTER SYSTEM SET x = 1
DROP INDEX i
DROP SCHEMA s CASCADE
DROP DATABASE d
DROP FUNCTION f
DROP SEQUENCE s
DROP ROLE r
TRUNCATE TABLE bars
TRUNCATE bars
INSERT INTO bars VALUES (1, 2)
INSERT INTO bars (symbol) SELECT symbol FROM bars
INSERT INTO bars DEFAULT VALUES
INSERT OVERWRITE TABLE bars SELECT * FROM bars
INSERT INTO bars (symbol, ts) VALUES ('A', now()) ON CONFLICT DO NOTHING
INSERT INTO bars (symbol) VALUES ('A') RETURNING symbol
REPLACE INTO bars (symbol) VALUES ('A')
UPDATE bars SET close = 0
UPDATE bars SET close = 0 WHERE symbol = 'A' RETURNING close
UPDATE bars SET close = o.close FROM bars o WHERE o.symbol = bars.symbol
DELETE FROM bars
DELETE FROM bars WHERE symbol = 'A'
DELETE FROM bars USING bars b WHERE b.symbol = bars.symbol
MERGE INTO bars USING bars b ON bars.symbol = b.symbol WHEN MATCHED THEN DELETE
MERGE INTO bars t USING bars s ON t.ts = s.ts WHEN MATCHED THEN UPDATE SET close = s.close WHEN NOT MATCHED THEN INSERT (symbol) VALUES (s.symbol)
COPY bars FROM 'bars.csv'
COPY bars FROM STDIN
COPY bars TO STDOUT
COPY bars (symbol, ts) TO 'x.csv'
COPY (SELECT 1) TO 'x.out' WITH (FORMAT binary)
COPY INTO bars FROM '@stage'
COPY INTO @stage FROM bars
LOAD DATA INPATH 'x' INTO TABLE bars
LOAD spatial
INSTALL spatial
EXPORT DATA OPTIONS(uri='x') AS SELECT 1
UNLOAD (SELECT * FROM bars) TO 's3://x'
ATTACH 'x.db' AS d
ATTACH DATABASE 'x.db' AS d
DETACH d
PRAGMA table_info('bars')
VACUUM
VACUUM FULL bars
ANALYZE bars
ANALYZE TABLE bars COMPUTE STATISTICS
OPTIMIZE TABLE bars
REINDEX TABLE bars
CLUSTER bars USING i
CHECKPOINT
REFRESH MATERIALIZED VIEW v
COMMENT ON TABLE bars IS 'x'
COMMENT ON COLUMN bars.close IS 'x'
GRANT SELECT ON bars TO trader
REVOKE ALL ON bars FROM trader
DENY SELECT ON bars TO trader
LOCK TABLE bars IN EXCLUSIVE MODE
LOCK TABLES bars READ
UNLOCK TABLES
RENAME TABLE bars TO prices
MSCK REPAIR TABLE bars
CACHE TABLE bars
UNCACHE TABLE bars

-- Statements of sessions, transactions and procedures
BEGIN
BEGIN TRANSACTION
START TRANSACTION
COMMIT
ROLLBACK
ROLLBACK TO SAVEPOINT a
SAVEPOINT a
RELEASE SAVEPOINT a
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET ROLE trader
SET NAMES 'utf8'
SET TIME ZONE 'UTC'
SET LOCAL work_mem = '1GB'
SET search_path TO prices
SET datafusion.execution.no_such_setting = 1
RESET ALL
RESET datafusion.execution.no_such_setting
USE prices
USE DATABASE prices
DECLARE c CURSOR FOR SELECT * FROM bars
FETCH NEXT FROM c
FETCH 10 FROM c
OPEN c
CLOSE c
CLOSE ALL
LISTEN channel
NOTIFY channel
UNLISTEN *
DISCARD ALL
KILL 12
KILL QUERY 12
CALL p()
CALL p(1, 2)
EXECUTE p
EXECUTE p(1)
EXECUTE IMMEDIATE 'SELECT 1'
DEALLOCATE p
DO $$ BEGIN END $$
IF 1 = 1 THEN SELECT 1; END IF
WHILE 1 = 1 DO SELECT 1; END WHILE
CASE 1 WHEN 1 THEN SELECT 1; END CASE
RAISE USING MESSAGE = 'x'
RETURN 1
PRINT 'x'
ASSERT 1 = 1
WAITFOR DELAY '00:00:01'
SHOW DATABASES
SHOW SCHEMAS
SHOW VIEWS
SHOW PROCESSLIST
SHOW CREATE TABLE no_such
SHOW INDEX FROM bars
SHOW STATUS
SHOW COLLATION
SHOW PARTITIONS bars
DESCRIBE no_such
EXPLAIN FORMAT JSONX SELECT 1
EXPLAIN QUERY PLAN SELECT 1
EXPLAIN INSERT INTO bars VALUES (1)
EXPLAIN (BUFFERS, COSTS OFF) SELECT 1
HELP
HANDLER bars OPEN

-- Clauses of other engines
SELECT symbol FROM bars PREWHERE close > 1
SELECT symbol FROM bars FINAL
SELECT symbol FROM bars SAMPLE 0.1
SELECT symbol FROM bars TABLESAMPLE BERNOULLI (10)
SELECT symbol FROM bars TABLESAMPLE SYSTEM (10) REPEATABLE (1)
SELECT symbol FROM bars USING SAMPLE 10 ROWS
SELECT symbol FROM bars FOR UPDATE
SELECT symbol FROM bars FOR SHARE
SELECT symbol FROM bars FOR UPDATE NOWAIT
SELECT symbol FROM bars FOR UPDATE SKIP LOCKED
SELECT symbol FROM bars FOR XML AUTO
SELECT symbol FROM bars FOR JSON PATH
SELECT symbol FROM bars WITH (NOLOCK)
SELECT symbol FROM bars AS b WITH (NOLOCK)
SELECT TOP 5 symbol FROM bars
SELECT TOP (5) PERCENT symbol FROM bars
SELECT TOP 5 WITH TIES symbol FROM bars ORDER BY symbol
SELECT symbol FROM bars ORDER BY close FETCH FIRST 5 ROWS WITH TIES
SELECT symbol FROM bars FETCH FIRST 10 PERCENT ROWS ONLY
SELECT symbol FROM bars LIMIT 5 BY symbol
SELECT symbol FROM bars LIMIT 10%
SELECT symbol FROM bars LIMIT 'ten'
SELECT symbol FROM bars LIMIT -1
SELECT symbol FROM bars LIMIT 1.5
SELECT symbol FROM bars LIMIT close
SELECT symbol FROM bars OFFSET -3
SELECT symbol FROM bars OFFSET 'x'
SELECT symbol FROM bars SETTINGS max_threads = 1
SELECT symbol FROM bars FORMAT CSV
SELECT symbol FROM bars INTO OUTFILE 'x'
SELECT symbol, sum(close) FROM bars GROUP BY symbol WITH ROLLUP
SELECT symbol, sum(close) FROM bars GROUP BY symbol WITH CUBE
SELECT symbol, sum(close) FROM bars GROUP BY symbol WITH TOTALS
SELECT symbol, sum(close) FROM bars GROUP BY ALL WITH TOTALS
SELECT symbol FROM bars CLUSTER BY symbol
SELECT symbol FROM bars DISTRIBUTE BY symbol
SELECT symbol FROM bars SORT BY symbol
SELECT symbol FROM bars DISTRIBUTE BY symbol SORT BY ts
SELECT symbol FROM bars ORDER BY close WITH FILL
SELECT symbol FROM bars ORDER BY ts WITH FILL FROM 1 TO 10 STEP 1
SELECT symbol FROM bars ORDER BY close USING >
SELECT symbol FROM bars START WITH symbol = 'A' CONNECT BY PRIOR symbol = symbol
SELECT level FROM bars CONNECT BY level < 3
SELECT symbol FROM bars LATERAL VIEW explode(close) t AS x
SELECT symbol FROM bars CROSS APPLY (SELECT 1) x
SELECT symbol FROM bars OUTER APPLY (SELECT 1) x
SELECT * FROM bars PIVOT (sum(close) FOR symbol IN ('S0', 'S1'))
SELECT * FROM bars PIVOT (max(close) AS c, min(close) AS d FOR symbol IN ('S0' AS a))
SELECT * FROM bars UNPIVOT (value FOR name IN (open, close))
SELECT * FROM bars UNPIVOT INCLUDE NULLS (value FOR name IN (open, close))
PIVOT bars ON symbol USING sum(close)
UNPIVOT bars ON open, close INTO NAME n VALUE v
SELECT * FROM bars MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts MEASURES a.close AS c PATTERN (a b+) DEFINE b AS b.close > a.close)
SELECT * FROM bars a ASOF JOIN bars b MATCH_CONDITION (a.ts >= b.ts) ON a.symbol = b.symbol
SELECT * FROM bars a ASOF JOIN bars b ON a.symbol = b.symbol AND a.ts >= b.ts
SELECT * FROM bars a ASOF LEFT JOIN bars b USING (symbol, ts)
SELECT * FROM bars a LT JOIN bars b ON (symbol)
SELECT * FROM bars a ANY LEFT JOIN bars b ON a.symbol = b.symbol
SELECT * FROM bars a GLOBAL JOIN bars b ON a.symbol = b.symbol
SELECT * FROM bars a ARRAY JOIN close
SELECT * FROM bars a LEFT ARRAY JOIN close
SELECT * FROM bars a POSITIONAL JOIN bars b
SELECT * FROM bars a STRAIGHT_JOIN bars b
SELECT * FROM bars a NATURAL RIGHT JOIN no_such
SELECT * FROM bars a JOIN bars b
SELECT * FROM bars a LEFT JOIN bars b
SELECT * FROM bars a FULL JOIN bars b
SELECT * FROM bars a JOIN bars b USING (no_such)
SELECT * FROM bars a JOIN bars b ON a.no_such = b.symbol
SELECT * FROM bars a JOIN bars a ON a.symbol = a.symbol
SELECT * FROM bars a SEMI JOIN bars b ON a.symbol = b.symbol
SELECT * FROM bars VERSION AS OF 3
SELECT * FROM bars TIMESTAMP AS OF '2024-01-01'
SELECT * FROM bars FOR SYSTEM_TIME AS OF '2024-01-01'
SELECT * FROM bars AT (TIMESTAMP => '2024-01-01')
SELECT * FROM bars BEFORE (STATEMENT => 'x')
SELECT * FROM bars PARTITION (p0)
SELECT * FROM bars USE INDEX (i)
SELECT * FROM bars FORCE INDEX (i)
SELECT * FROM ONLY bars
SELECT * FROM bars WITH ORDINALITY
SELECT * FROM bars SAMPLE BY 1h
SELECT * FROM bars LATEST ON ts PARTITION BY symbol
SELECT last(close) FROM bars LATEST BY symbol
SELECT * FROM ROWS FROM (generate_series(1, 3))
SELECT * FROM TABLE(bars)
SELECT * FROM XMLTABLE('/a' PASSING 'x' COLUMNS a INT)
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$'))
SELECT * FROM OPENJSON('[1]')
SELECT * FROM bars WHERE CURRENT OF c
SELECT * FROM bars WHERE MATCH (symbol) AGAINST ('x')
SELECT SQL_CALC_FOUND_ROWS symbol FROM bars
SELECT STRAIGHT_JOIN symbol FROM bars
SELECT HIGH_PRIORITY symbol FROM bars
SELECT DISTINCT ON symbol, ts FROM bars
SELECT UNIQUE symbol FROM bars
SELECT AS STRUCT symbol FROM bars
SELECT AS VALUE symbol FROM bars
SELECT * RENAME (close AS c) FROM bars
SELECT * EXCEPT (no_such) FROM bars
SELECT * EXCLUDE (no_such) FROM bars
SELECT * REPLACE (no_such AS close) FROM bars
SELECT COLUMNS('c.*') FROM bars
SELECT bars.* AS x FROM bars
SELECT no_such.* FROM bars
SELECT
SELECT symbol,, ts FROM bars
SELECT symbol ts close FROM bars
SELECT symbol FROM
SELECT symbol FROM bars WHERE
SELECT symbol FROM bars GROUP BY
SELECT symbol FROM bars ORDER BY
SELECT symbol FROM bars HAVING close > 1
FROM bars |> WHERE close > 1 |> SELECT symbol
FROM bars |> AGGREGATE sum(close) GROUP BY symbol
FROM bars WHERE close > 1 RETURN symbol
TABLE no_such
VALUES (1, 2), (3)
VALUES
WITH a AS (SELECT 1) DELETE FROM bars
WITH a AS (INSERT INTO bars VALUES (1) RETURNING *) SELECT * FROM a
WITH a AS MATERIALIZED (SELECT * FROM bars) SELECT * FROM a
WITH a AS NOT MATERIALIZED (SELECT * FROM bars) SELECT * FROM a
WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a
WITH a (x, y) AS (SELECT 1) SELECT * FROM a
WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a) SEARCH DEPTH FIRST BY n SET o SELECT * FROM a
WITH RECURSIVE a AS (SELECT n FROM a) SELECT * FROM a
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
SELECT 1 UNION ALL SELECT 1, 2
SELECT 1 UNION DISTINCT BY NAME SELECT 2 AS b INTERSECT BY NAME SELECT 3
SELECT 1 EXCEPT SELECT 1, 2
SELECT 1 MINUS SELECT 1, 2
SELECT [1] UNION ALL SELECT 2
SELECT DATE '2020-01-01' UNION ALL SELECT true
SELECT symbol FROM bars UNION ALL SELECT no_such FROM bars

-- Windows that cannot be
SELECT sum(close) OVER (ORDER BY ts ROWS 3 PRECEDING EXCLUDE CURRENT ROW) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS 3 PRECEDING EXCLUDE TIES) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS 3 PRECEDING EXCLUDE GROUP) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS 3 PRECEDING EXCLUDE NO OTHERS) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS BETWEEN CURRENT ROW AND 3 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS BETWEEN 3 FOLLOWING AND CURRENT ROW) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS 1.5 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS 'two' PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS close PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS NULL PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS INTERVAL '1 day' PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS 99999999999999999999 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts ROWS (1 + 1) PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts RANGE 7 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts RANGE INTERVAL '7' PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts RANGE INTERVAL '-7 days' PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts::DATE RANGE 7 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY symbol RANGE 7 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY symbol, ts RANGE 7 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY close RANGE INTERVAL '7 days' PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY close RANGE -1 PRECEDING) FROM bars
SELECT sum(close) OVER (RANGE 7 PRECEDING) FROM bars
SELECT sum(close) OVER (GROUPS 2 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts GROUPS -2 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts GROUPS 1.5 PRECEDING) FROM bars
SELECT sum(close) OVER (ORDER BY ts GROUPS INTERVAL '1 day' PRECEDING) FROM bars
SELECT sum(close) OVER w FROM bars
SELECT sum(close) OVER w FROM bars WINDOW v AS (ORDER BY ts)
SELECT sum(close) OVER (w ORDER BY ts) FROM bars WINDOW w AS (ORDER BY symbol)
SELECT sum(close) OVER (w PARTITION BY symbol) FROM bars WINDOW w AS (ORDER BY ts)
SELECT sum(close) OVER (w) FROM bars WINDOW w AS (ORDER BY ts ROWS 3 PRECEDING), w AS (ORDER BY ts)
SELECT sum(close) OVER w FROM bars WINDOW w AS v, v AS w
SELECT sum(close) OVER w FROM bars WINDOW w AS (w ORDER BY ts)
SELECT sum(sum(close)) FROM bars
SELECT sum(lag(close) OVER (ORDER BY ts)) FROM bars
SELECT symbol FROM bars WHERE row_number() OVER (ORDER BY ts) = 1
SELECT symbol FROM bars WHERE rsi(close, 14) OVER (ORDER BY ts) > 70
SELECT symbol FROM bars GROUP BY row_number() OVER (ORDER BY ts)
SELECT symbol, count(*) FROM bars GROUP BY symbol HAVING row_number() OVER (ORDER BY symbol) = 1
SELECT a.symbol FROM bars a JOIN bars b ON row_number() OVER (ORDER BY a.ts) = 1
SELECT row_number() FROM bars
SELECT rank() FROM bars
SELECT lag(close) FROM bars
SELECT rsi(close, 14) FROM bars
SELECT rsi(close, 14) OVER () FROM bars
SELECT upper(symbol) OVER (ORDER BY ts) FROM bars
SELECT abs(close) OVER (PARTITION BY symbol) FROM bars
SELECT no_such(close) OVER (ORDER BY ts) FROM bars
SELECT lag(close, close) OVER (ORDER BY ts) FROM bars
SELECT lag(close, 1.5) OVER (ORDER BY ts) FROM bars
SELECT lag(close, '1') OVER (ORDER BY ts) FROM bars
SELECT lag(close, NULL) OVER (ORDER BY ts) FROM bars
SELECT lag(close, 1, 'x') OVER (ORDER BY ts) FROM bars
SELECT lag(close, 1, 2, 3) OVER (ORDER BY ts) FROM bars
SELECT lag() OVER (ORDER BY ts) FROM bars
SELECT lead(close, 9223372036854775808) OVER (ORDER BY ts) FROM bars
SELECT ntile() OVER (ORDER BY ts) FROM bars
SELECT ntile(0) OVER (ORDER BY ts) FROM bars
SELECT ntile(-2) OVER (ORDER BY ts) FROM bars
SELECT ntile(close) OVER (ORDER BY ts) FROM bars
SELECT ntile('x') OVER (ORDER BY ts) FROM bars
SELECT ntile(1.5) OVER (ORDER BY ts) FROM bars
SELECT nth_value(close) OVER (ORDER BY ts) FROM bars
SELECT nth_value(close, 0) OVER (ORDER BY ts) FROM bars
SELECT nth_value(close, close) OVER (ORDER BY ts) FROM bars
SELECT nth_value(close, 'x') OVER (ORDER BY ts) FROM bars
SELECT nth_value(close, 2) FROM FIRST OVER (ORDER BY ts) FROM bars
SELECT nth_value(close, 2) FROM LAST OVER (ORDER BY ts) FROM bars
SELECT rank(close) OVER (ORDER BY ts) FROM bars
SELECT row_number(close) OVER (ORDER BY ts) FROM bars
SELECT row_number() IGNORE NULLS OVER (ORDER BY ts) FROM bars
SELECT rank() IGNORE NULLS OVER (ORDER BY ts) FROM bars
SELECT sum(close) IGNORE NULLS OVER (ORDER BY ts) FROM bars
SELECT rsi(close, 14) IGNORE NULLS OVER (ORDER BY ts) FROM bars
SELECT lag(close) FILTER (WHERE close > 1) OVER (ORDER BY ts) FROM bars
SELECT rank() FILTER (WHERE close > 1) OVER (ORDER BY ts) FROM bars
SELECT rsi(close, 14) FILTER (WHERE close > 1) OVER (ORDER BY ts) FROM bars
SELECT rsi(DISTINCT close, 14) OVER (ORDER BY ts) FROM bars
SELECT rsi(close ORDER BY ts, 14) OVER (ORDER BY ts) FROM bars
SELECT sum(close) FILTER (WHERE sum(close) > 1) FROM bars
SELECT sum(close) FILTER (close > 1) FROM bars
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY close) OVER (ORDER BY ts) FROM bars
SELECT first_value(close ORDER BY ts) OVER (ORDER BY ts) FROM bars
SELECT array_agg(close ORDER BY ts) OVER (ORDER BY ts ROWS 3 PRECEDING) FROM bars
SELECT string_agg(symbol, ',' ORDER BY ts) OVER (ORDER BY ts ROWS 3 PRECEDING) FROM bars
SELECT sum(close) OVER (PARTITION BY) FROM bars
SELECT sum(close) OVER (ORDER BY) FROM bars
SELECT sum(close) OVER FROM bars
SELECT sum(close) OVER (ORDER BY ts DESC NULLS) FROM bars
SELECT sum(close) OVER (PARTITION BY no_such ORDER BY ts) FROM bars
SELECT sum(close) OVER (PARTITION BY symbol ORDER BY no_such) FROM bars
SELECT sum(close) OVER (PARTITION BY sum(close) ORDER BY ts) FROM bars
SELECT rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts ROWS 3 PRECEDING) FROM bars
SELECT ema(close, 14) OVER (PARTITION BY symbol ORDER BY ts RANGE INTERVAL '3 days' PRECEDING) FROM bars
SELECT rsi(close, 14) OVER (PARTITION BY symbol) FROM bars
SELECT rsi(close, 14) OVER (ORDER BY ts ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) FROM bars

-- Expressions and literals
SELECT DATE 2016-01-01 FROM bars
SELECT DATE '2016-13-01' FROM bars
SELECT DATE '2016-02-30' FROM bars
SELECT DATE 'yesterday' FROM bars
SELECT TIMESTAMP 'now' FROM bars
SELECT TIMESTAMP '2024-01-01 25:00:00' FROM bars
SELECT TIMESTAMPTZ '2024-01-01 00:00:00 Mars/Base' FROM bars
SELECT TIME '25:00' FROM bars
SELECT INTERVAL 'x' FROM bars
SELECT INTERVAL '1 fortnight' FROM bars
SELECT INTERVAL 1 DAY + 3 FROM bars
SELECT INTERVAL close DAY FROM bars
SELECT TIMESTAMP '2024-01-01' + 1 FROM bars
SELECT ts * 2 FROM bars
SELECT ts + ts FROM bars
SELECT ts - 'x' FROM bars
SELECT symbol + 1 FROM bars
SELECT symbol - symbol FROM bars
SELECT symbol * 2 FROM bars
SELECT -symbol FROM bars
SELECT NOT symbol FROM bars
SELECT NOT close FROM bars
SELECT close AND symbol FROM bars
SELECT close % 'x' FROM bars
SELECT close / 'x' FROM bars
SELECT 1 / 0
SELECT 1 % 0
SELECT 9223372036854775807 + 1
SELECT -9223372036854775807 - 2
SELECT 9223372036854775807 * 2
SELECT -(-9223372036854775807 - 1)
SELECT abs(-9223372036854775807 - 1)
SELECT 99999999999999999999 + 'x'
SELECT 1 << 'x'
SELECT close << 1 FROM bars
SELECT close & 1 FROM bars
SELECT close # 1 FROM bars
SELECT ~close FROM bars
SELECT close !~ 3 FROM bars
SELECT symbol ~ '(' FROM bars
SELECT symbol ~ '[' FROM bars
SELECT symbol SIMILAR TO '(' FROM bars
SELECT symbol LIKE 3 FROM bars
SELECT symbol RLIKE '(' FROM bars
SELECT symbol GLOB 'A*' FROM bars
SELECT symbol LIKE 'a' ESCAPE 'xx' FROM bars
SELECT close LIKE 'a' FROM bars
SELECT symbol COLLATE "de_DE" FROM bars
SELECT close AT TIME ZONE 'UTC' FROM bars
SELECT ts AT TIME ZONE 'Mars/Base' FROM bars
SELECT ts AT TIME ZONE 5 FROM bars
SELECT ts::NOSUCH FROM bars
SELECT close::MONEY FROM bars
SELECT close::UUID FROM bars
SELECT close::JSON FROM bars
SELECT symbol::INT FROM bars
SELECT symbol::DATE FROM bars
SELECT symbol::TIMESTAMP FROM bars
SELECT symbol::BOOLEAN FROM bars
SELECT symbol::DECIMAL(10, 2) FROM bars
SELECT close::DECIMAL(99, 2) FROM bars
SELECT close::DECIMAL(2, 5) FROM bars
SELECT close::DATE FROM bars
SELECT close::INTERVAL FROM bars
SELECT CAST(close AS) FROM bars
SELECT CAST(close) FROM bars
SELECT CAST(close AS INT FORMAT 'x') FROM bars
SELECT CAST('abc' AS INT)
SELECT CAST('1e400' AS INT)
SELECT CAST(300 AS TINYINT)
SELECT CAST(1e30 AS BIGINT)
SELECT CAST('2024-01-01' AS INT)
SELECT CONVERT(close, CHAR) FROM bars
SELECT CONVERT(INT, close) FROM bars
SELECT close IS DISTINCT FROM symbol, [1] IS DISTINCT FROM 1 FROM bars
SELECT close IS TRUE FROM bars
SELECT close IS JSON FROM bars
SELECT close IS NORMALIZED FROM bars
SELECT close IN () FROM bars
SELECT close IN ('a', 1, [2]) FROM bars
SELECT close IN (SELECT symbol, ts FROM bars) FROM bars
SELECT close BETWEEN 1 FROM bars
SELECT close BETWEEN SYMMETRIC 1 AND 2 FROM bars
SELECT ts BETWEEN 1 AND 2 FROM bars
SELECT ts = 20240102 FROM bars
SELECT ts > close FROM bars
SELECT ts::DATE >= 20240102 FROM bars
SELECT ts IN (20240102) FROM bars
SELECT symbol = 1.5 AND ts FROM bars
SELECT CASE END FROM bars
SELECT CASE WHEN close > 1 THEN 'a' ELSE [1] END FROM bars
SELECT CASE close WHEN 'x' THEN 1 END FROM bars
SELECT IF(close > 1, 2, 3) FROM bars
SELECT IIF(close > 1, 2, 3) FROM bars
SELECT DECODE(close, 1, 2) FROM bars
SELECT close > ANY (SELECT close FROM bars) FROM bars
SELECT close = ALL (SELECT close FROM bars) FROM bars
SELECT close = SOME (SELECT close FROM bars) FROM bars
SELECT (SELECT symbol, ts FROM bars) FROM bars
SELECT (SELECT close FROM bars)
SELECT (SELECT b.close FROM bars b WHERE b.ts > bars.ts) FROM bars
SELECT EXISTS (SELECT no_such FROM bars) FROM bars
SELECT ARRAY(SELECT close FROM bars) FROM bars
SELECT ARRAY[1, 'x', [2]] FROM bars
SELECT [1, 2][close] FROM bars
SELECT [1, 2]['x'] FROM bars
SELECT close[1] FROM bars
SELECT symbol.x FROM bars
SELECT bars.close.x FROM bars
SELECT close -> 'a' FROM bars
SELECT close ->> 'a' FROM bars
SELECT symbol @> 'a' FROM bars
SELECT symbol ? 'a' FROM bars
SELECT symbol #> '{a}' FROM bars
SELECT close <-> 3 FROM bars
SELECT |/ close FROM bars
SELECT ||/ close FROM bars
SELECT close ! FROM bars
SELECT !! 3
SELECT @ close FROM bars
SELECT @x
SELECT @@version
SELECT :x FROM bars
SELECT ? FROM bars
SELECT $1 FROM bars
SELECT $x FROM bars
SELECT {'a': 1}.b FROM bars
SELECT MAP {'a': 1}['b'] + 'x' FROM bars
SELECT STRUCT(1, 2).x FROM bars
SELECT x -> x + 1 FROM bars
SELECT list_transform([1, 2], x -> x + 1) FROM bars
SELECT [x + 1 FOR x IN [1, 2]] FROM bars
SELECT close AS FROM bars
SELECT close AS 1 FROM bars
SELECT close 'c' d FROM bars
SELECT "close FROM bars
SELECT 'close FROM bars
SELECT `close FROM bars
SELECT [close FROM bars
SELECT close FROM bars WHERE (close > 1
SELECT close FROM bars)
SELECT close; FROM bars
SELECT /* close FROM bars
SELECT N'x' + 1
SELECT X'zz'
SELECT B'12'
SELECT E'\xzz' + 1
SELECT 0x + 1
SELECT 1e + 1
SELECT 1_000_ FROM bars
SELECT 1.2.3 FROM bars
SELECT .e1 FROM bars
SELECT CURRENT_USER + 1
SELECT SESSION_USER
SELECT ROWNUM FROM bars
SELECT ROWID FROM bars
SELECT _rowid_ FROM bars
SELECT CTID FROM bars
SELECT NEXTVAL('s')
SELECT NEXT VALUE FOR s
SELECT LAST_INSERT_ID()
SELECT GROUPING(symbol) FROM bars
SELECT GROUPING_ID(symbol) FROM bars GROUP BY symbol
SELECT EXTRACT(CENTURYX FROM ts) FROM bars
SELECT EXTRACT(DAY FROM symbol) FROM bars
SELECT EXTRACT(DAY ts) FROM bars
SELECT date_part('nosuch', ts) FROM bars
SELECT date_part(ts, 'day') FROM bars
SELECT date_trunc('nosuch', ts) FROM bars
SELECT date_trunc(ts, 'day') FROM bars
SELECT date_bin(INTERVAL '1 month', close) FROM bars
SELECT date_bin(5, ts) FROM bars
SELECT date_bin(INTERVAL '0 days', ts, TIMESTAMP '2020-01-01') FROM bars
SELECT to_timestamp('not a time')
SELECT to_timestamp(symbol) FROM bars
SELECT to_date('not a date')
SELECT to_char(close, 'YYYY') FROM bars
SELECT POSITION(1 IN 2)
SELECT SUBSTRING(close FROM 'x') FROM bars
SELECT TRIM(BOTH 1 FROM close) FROM bars
SELECT OVERLAY('a' PLACING 'b') FROM bars
SELECT CEIL(close TO DAY) FROM bars
SELECT FLOOR(symbol) FROM bars
SELECT round(close, 'x') FROM bars
SELECT power('x', 2)
SELECT sqrt(symbol) FROM bars
SELECT ln(symbol) FROM bars
SELECT log('x', close) FROM bars
SELECT greatest(close, symbol, [1]) FROM bars
SELECT coalesce() FROM bars
SELECT coalesce(close, [1]) FROM bars
SELECT nullif(close) FROM bars
SELECT concat_ws() FROM bars
SELECT repeat('x', 'y') FROM bars
SELECT lpad(symbol) FROM bars
SELECT split_part(symbol, 'x') FROM bars
SELECT regexp_replace(symbol, '(', 'x') FROM bars
SELECT regexp_match(symbol, '[') FROM bars
SELECT regexp_like(symbol, 'a', 'zz') FROM bars
SELECT array_sort(close) FROM bars
SELECT array_element(close, 1) FROM bars
SELECT unnest(close) FROM bars
SELECT unnest([1, 2], [3]) FROM bars
SELECT sum(unnest([1, 2])) FROM bars
SELECT * FROM unnest(close)
SELECT * FROM generate_series('a', 'b')
SELECT * FROM generate_series(1, 10, 0)
SELECT * FROM range(1, 2, 3, 4)
SELECT * FROM no_such_function(1)
SELECT * FROM read_parquet('x.parquet')
SELECT * FROM read_csv('x.csv')
SELECT * FROM 'x.parquet'
SELECT * FROM parquet_metadata('x.parquet')
SELECT * FROM bars()
SELECT * FROM bars(1)
SELECT * FROM rsi(1)
SELECT * FROM a.b.c.d.bars
SELECT * FROM no_such
SELECT * FROM public.no_such
SELECT * FROM "Bars"
SELECT no_such FROM bars
SELECT "CLOSE" FROM bars
SELECT bars.no_such FROM bars
SELECT other.close FROM bars
SELECT close FROM bars a, bars b
SELECT symbol, sum(close) FROM bars
SELECT symbol, close FROM bars GROUP BY symbol
SELECT * FROM bars GROUP BY symbol
SELECT symbol FROM bars GROUP BY 7
SELECT symbol FROM bars ORDER BY 7
SELECT symbol FROM bars ORDER BY no_such
SELECT symbol FROM bars WHERE sum(close) > 1
SELECT symbol FROM bars GROUP BY sum(close)
SELECT symbol FROM bars WHERE symbol
SELECT symbol FROM bars WHERE close
SELECT symbol FROM bars WHERE 'yes'
SELECT sum(close) FROM bars HAVING symbol = 'A'
SELECT close AS a, open AS a FROM bars ORDER BY a
SELECT sum(symbol) FROM bars
SELECT avg(ts) FROM bars
SELECT avg(symbol) FROM bars
SELECT stddev(symbol) FROM bars
SELECT corr(symbol, close) FROM bars
SELECT median(symbol) FROM bars
SELECT bool_and(close) FROM bars
SELECT bit_and(close) FROM bars
SELECT percentile_cont(close) WITHIN GROUP (ORDER BY close) FROM bars
SELECT percentile_cont(1.5) WITHIN GROUP (ORDER BY close) FROM bars
SELECT percentile_cont('x') WITHIN GROUP (ORDER BY close) FROM bars
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY symbol) FROM bars
SELECT percentile_cont(0.5) FROM bars
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY close) FROM bars
SELECT mode() WITHIN GROUP (ORDER BY close) FROM bars
SELECT approx_percentile_cont(close) FROM bars
SELECT approx_percentile_cont(close, 2) FROM bars
SELECT string_agg(symbol) FROM bars
SELECT string_agg(symbol, close) FROM bars
SELECT listagg(symbol, ',') FROM bars
SELECT group_concat(symbol) FROM bars
SELECT arg_max(close, ts) FROM bars
SELECT max_by(close, ts) FROM bars
SELECT count(DISTINCT symbol, close) FROM bars
SELECT count(close, open) FROM bars
SELECT sum(*) FROM bars
SELECT avg(*) FROM bars
SELECT rsi(*) OVER (ORDER BY ts) FROM bars
SELECT max(close, open) FROM bars
SELECT histogram(close) FROM bars
SELECT quantile(close, 0.5) FROM bars
SELECT kurtosis(close) FROM bars
SELECT skewness(close) FROM bars
SELECT product(close) FROM bars
SELECT geomean(close) FROM bars
SELECT first(close) FROM bars
SELECT last(close) FROM bars
SELECT time_bucket('1 day', ts) FROM bars
SELECT ohlc(close) FROM bars

-- Indicators with arguments that do not fit
SELECT sma(symbol, 30) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT ema(close, 30, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT wma() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT wma(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT dema(symbol, 30) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT tema(close, 30, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT trima() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT trima(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT kama(symbol, 30) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT t3(close, 5, 0.7, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT rma() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT rma(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT hma(symbol, 20) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT bbands(close, 20, 2, 2, 0, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT donchian() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT donchian(high, low, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT rsi(symbol, 14) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT macd(close, 12, 26, 9, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT stoch() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT stoch(high, low, close, -7, 3, 0, 3, 0) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT stochf(symbol, low, close, 5, 3, 0) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT stochrsi(close, 14, 5, 3, 0, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT adx() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT adx(high, low, close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT plus_di(symbol, low, close, 14) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT minus_di(high, low, close, 14, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT dx() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT dx(high, low, close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT cci(symbol, low, close, 14) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT willr(high, low, close, 14, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT roc() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT roc(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT mom(symbol, 10) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT mfi(high, low, close, volume, 14, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT ppo() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT ppo(close, -7, 26, 1) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT apo(symbol, 12, 26, 1) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT trix(close, 30, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT aroon() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT aroon(high, low, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT aroonosc(symbol, low, 14) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT ultosc(high, low, close, 7, 14, 28, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT cmo() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT cmo(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT bop(symbol, high, low, close) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT atr(symbol, low, close, 14) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT natr(high, low, close, 14, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT trange() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT obv() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT ad() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT adosc() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT adosc(high, low, close, volume, -7, 10) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT vwap(symbol, low, close, volume) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT stddev(symbol, 5, 1) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT var(close, 5, 1, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT linearreg_slope() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT linearreg_slope(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT correl(symbol, low, 30) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT beta(high, low, 5, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT max() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT max(close, -7) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT min(symbol, 30) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT sum(close, 30, 1, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT cs_rank() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT cs_zscore() OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT cs_demean() OVER (PARTITION BY symbol ORDER BY ts) FROM bars

-- Aggregates with arguments that do not fit
SELECT avg(close, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT bit_and(close, 2) FROM bars
SELECT bit_or() FROM bars
SELECT bit_or(no_such) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT bit_xor(close, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT bool_and(close, 2) FROM bars
SELECT bool_or() FROM bars
SELECT bool_or(no_such) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT corr(close, open, high) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT count(close, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT covar_pop(close, open, high) FROM bars
SELECT covar_samp() FROM bars
SELECT covar_samp(no_such, close) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT max(no_such) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT median(close, 2) OVER (PARTITION BY symbol) FROM bars
SELECT min(close, 2) FROM bars
SELECT regr_avgx(close, open, high) FROM bars
SELECT regr_count() FROM bars
SELECT regr_count(no_such, close) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT regr_intercept(close, open, high) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT regr_r2(close, open, high) FROM bars
SELECT regr_slope() FROM bars
SELECT regr_slope(no_such, close) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT regr_sxx(close, open, high) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT stddev(close, 2) FROM bars
SELECT stddev_pop(close, 2) FROM bars
SELECT sum() FROM bars
SELECT var_pop() FROM bars
SELECT var_pop(no_such) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT var_samp(no_such) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT approx_distinct(close, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT approx_median(close, 2) FROM bars
SELECT array_agg() FROM bars
SELECT array_agg(no_such) OVER (PARTITION BY symbol ORDER BY ts) FROM bars
SELECT any_value(close, 2) OVER (PARTITION BY symbol ORDER BY ts) FROM bars

-- Functions with arguments that do not fit
SELECT acos(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT ascii([close], symbol) FROM bars
SELECT btrim(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT cbrt([close], symbol) FROM bars
SELECT char_length(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT chr([close], symbol) FROM bars
SELECT cos(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT date_bin([close], symbol) FROM bars
SELECT date_trunc(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT degrees([close], symbol) FROM bars
SELECT exp(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT factorial([close], symbol) FROM bars
SELECT from_unixtime(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT gcd([close], symbol) FROM bars
SELECT isnan(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT left([close], symbol) FROM bars
SELECT ln(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT log10([close], symbol) FROM bars
SELECT lpad(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT ltrim([close], symbol) FROM bars
SELECT md5(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT nanvl([close], symbol) FROM bars
SELECT pi([close], symbol) FROM bars
SELECT radians(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT random([close], symbol) FROM bars
SELECT regexp_like([close], symbol) FROM bars
SELECT replace(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT reverse([close], symbol) FROM bars
SELECT round(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT sha256([close], symbol) FROM bars
SELECT sin(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT split_part([close], symbol) FROM bars
SELECT starts_with(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT strpos([close], symbol) FROM bars
SELECT tan(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT to_char([close], symbol) FROM bars
SELECT to_timestamp(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT to_timestamp_millis([close], symbol) FROM bars
SELECT trunc(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT upper([close], symbol) FROM bars
SELECT now(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT current_date([close], symbol) FROM bars
SELECT array_append(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT cardinality([close], symbol) FROM bars
SELECT flatten(close, ts, symbol, 4, 5, 6, 7, 8) FROM bars
SELECT named_struct([close], symbol) FROM bars
SELECT first_value(close, 3) OVER (ORDER BY ts) FROM bars
SELECT nth_value(close, 3, 4) OVER (ORDER BY ts) FROM bars
