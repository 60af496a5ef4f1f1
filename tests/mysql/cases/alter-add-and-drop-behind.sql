-- Columns that come and go between rows.
-- Read while the tables change further: what counts is how they were.

CREATE TABLE t (id INT PRIMARY KEY, a INT);
INSERT INTO t VALUES (1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":1}}
ALTER TABLE t ADD COLUMN b VARCHAR(5) DEFAULT 'new' AFTER id;
INSERT INTO t VALUES (2, 'x', 2);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"b":"x","a":2}}
UPDATE t SET a = 5 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"b":"new","a":1},"after":{"id":1,"b":"new","a":5},"changed":["a"]}
ALTER TABLE t DROP COLUMN a, ADD COLUMN z INT FIRST;
INSERT INTO t VALUES (7, 3, 'y');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"z":7,"id":3,"b":"y"}}
ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, b);
DELETE FROM t WHERE id = 3;
-- {"op":"delete","table":"t","key":{"id":3,"b":"y"},"before":{"z":7,"id":3,"b":"y"}}
