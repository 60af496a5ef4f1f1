-- The image is a session's own setting and may change from statement to statement within a transaction.

CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT);
INSERT INTO t VALUES (1, 1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":1,"b":1}}
SET SESSION binlog_row_image = MINIMAL;
UPDATE t SET a = 2;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1},"after":{"a":2},"changed":["a"]}
SET SESSION binlog_row_image = FULL;
UPDATE t SET a = 3;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":2,"b":1},"after":{"id":1,"a":3,"b":1},"changed":["a"]}
SET SESSION binlog_row_image = NOBLOB;
UPDATE t SET a = 4;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":3,"b":1},"after":{"id":1,"a":4,"b":1},"changed":["a"]}
