-- binlog_row_image=MINIMAL: columns that are not in an image are left out, NULL is null.

CREATE TABLE t (id INT PRIMARY KEY, a INT DEFAULT 9, s VARCHAR(20), b BLOB);
SET SESSION binlog_row_image = MINIMAL;
INSERT INTO t (id, s) VALUES (1, 'x');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"x"}}
INSERT INTO t VALUES (2, NULL, NULL, 'b');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"a":null,"s":null,"b":"Yg=="}}
UPDATE t SET s = 'y' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1},"after":{"s":"y"},"changed":["s"]}
UPDATE t SET s = NULL, b = 'c' WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2},"after":{"s":null,"b":"Yw=="},"changed":["s","b"]}
UPDATE t SET id = 3 WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":2},"after":{"id":3},"changed":["id"]}
DELETE FROM t WHERE id = 1;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1}}
CREATE TABLE u (a INT, b INT);
INSERT INTO u (a) VALUES (1);
-- {"op":"insert","table":"u","after":{"a":1}}
UPDATE u SET b = 2;
-- {"op":"update","table":"u","before":{"a":1,"b":null},"after":{"b":2},"changed":["b"]}
DELETE FROM u;
-- {"op":"delete","table":"u","before":{"a":1,"b":2}}
