-- SQL values inside a document: dates and times as MySQL prints them, binary ones as its base64 strings.

CREATE TABLE t (id INT PRIMARY KEY, j JSON);
INSERT INTO t VALUES (1, JSON_OBJECT('date', DATE'2024-02-29', 'datetime', TIMESTAMP'2024-02-29 12:34:56.5', 'time', TIME'12:00:01.5', 'minus', TIME'-838:59:59'));
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"j":{"date":"2024-02-29","time":"12:00:01.500000","minus":"-838:59:59.000000","datetime":"2024-02-29 12:34:56.500000"}}}
INSERT INTO t VALUES (2, JSON_ARRAY(CAST('abc' AS BINARY), b'101', x'00FF', CAST('2026-11-20 01:02:03.000004' AS DATETIME(6)), CAST(2026 AS YEAR)));
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"j":["base64:type15:YWJj","base64:type15:BQ==","base64:type15:AP8=","2026-11-20 01:02:03.000004",2026]}}
INSERT INTO t VALUES (3, JSON_ARRAY(TIME'-00:00:00.000001', TIME'00:00:00', CAST('2026-00-00' AS DATE)));
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"j":["-00:00:00.000001","00:00:00.000000","2026-00-00"]}}
CREATE TABLE s (id INT PRIMARY KEY, bl BLOB, vb VARBINARY(9), bi BIT(9), e ENUM('x'), st SET('p', 'q'), ts TIMESTAMP(3) NULL);
INSERT INTO s VALUES (1, 'blob', 'vb', 5, 'x', 'p,q', '2026-11-20 23:04:05.123');
-- {"op":"insert","table":"s","key":{"id":1},"after":{"id":1,"bl":"YmxvYg==","vb":"dmI=","bi":5,"e":"x","st":["p","q"],"ts":"2026-11-20T23:04:05.123Z"}}
INSERT INTO t SELECT 4, JSON_ARRAY(bl, vb, bi, e, st, ts) FROM s;
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"j":["base64:type252:YmxvYg==","base64:type15:dmI=","base64:type16:AAU=","x","p,q","2026-11-20 23:04:05.123000"]}}
