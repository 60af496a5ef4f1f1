-- Invisible columns are in the row like all others.

CREATE TABLE t (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 7, b INT);
INSERT INTO t VALUES (1, 2);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":7,"b":2}}
INSERT INTO t (id, a, b) VALUES (2, 3, 4);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"a":3,"b":4}}
UPDATE t SET a = 8 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":7,"b":2},"after":{"id":1,"a":8,"b":2},"changed":["a"]}
