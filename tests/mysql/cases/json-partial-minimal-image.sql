-- A partial update whose document before is not in the log cannot be made whole: the column is absent.

CREATE TABLE t (id INT PRIMARY KEY, j JSON, n INT);
INSERT INTO t VALUES (1, JSON_OBJECT('a', REPEAT('x', 250)), 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"j":{"a":"@repeat:x:250"},"n":1}}
SET SESSION binlog_row_value_options = PARTIAL_JSON, SESSION binlog_row_image = MINIMAL;
UPDATE t SET j = JSON_SET(j, '$.a', 'y'), n = 2 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1},"after":{"n":2},"changed":["n"]}
