-- binlog_row_image=NOBLOB: BLOB and TEXT columns that did not change are left out, and so are those that an INSERT leaves NULL.

CREATE TABLE t (id INT PRIMARY KEY, a INT, b BLOB, x TEXT, j JSON, v VARCHAR(9));
SET SESSION binlog_row_image = NOBLOB;
INSERT INTO t VALUES (1, 1, 'b', 'x', '{}', 'v');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":1,"b":"Yg==","x":"x","j":{},"v":"v"}}
INSERT INTO t (id, a) VALUES (2, 2);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"a":2,"j":null,"v":null}}
UPDATE t SET a = 5 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":1,"j":{},"v":"v"},"after":{"id":1,"a":5,"j":{},"v":"v"},"changed":["a"]}
UPDATE t SET x = 'y' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":5,"j":{},"v":"v"},"after":{"id":1,"a":5,"x":"y","j":{},"v":"v"},"changed":["x"]}
UPDATE t SET j = '[1]', v = 'w' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":5,"j":{},"v":"v"},"after":{"id":1,"a":5,"j":[1],"v":"w"},"changed":["j","v"]}
DELETE FROM t WHERE id = 1;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1,"a":5,"j":[1],"v":"w"}}
