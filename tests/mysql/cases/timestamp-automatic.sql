-- Times that the server fills in by itself are in the row.

SET timestamp = 1795215845.123456;
CREATE TABLE t (id INT PRIMARY KEY, created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), n INT);
INSERT INTO t (id, n) VALUES (1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"created":"2026-11-20T23:04:05Z","updated":"2026-11-20T23:04:05.123456","n":1}}
SET timestamp = 1795215846.5;
UPDATE t SET n = 2;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"created":"2026-11-20T23:04:05Z","updated":"2026-11-20T23:04:05.123456","n":1},"after":{"id":1,"created":"2026-11-20T23:04:05Z","updated":"2026-11-20T23:04:06.500000","n":2},"changed":["updated","n"]}
