-- What a session keeps out of the log does not come.

CREATE TABLE t (id INT PRIMARY KEY);
SET SESSION sql_log_bin = 0;
INSERT INTO t VALUES (1);
SET SESSION sql_log_bin = 1;
INSERT INTO t VALUES (2);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2}}
DELETE FROM t;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1}}
-- {"op":"delete","table":"t","key":{"id":2},"before":{"id":2}}
