-- TRUNCATE logs no rows: it comes as one change of the table. Nothing comes of a partition. What is written afterwards does.

CREATE TABLE t (id INT PRIMARY KEY, n INT);
INSERT INTO t VALUES (1, 1), (2, 2);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":1}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":2}}
TRUNCATE TABLE t;
-- {"op":"truncate","table":"t"}
INSERT INTO t VALUES (1, 3);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":3}}
CREATE TABLE p (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2;
INSERT INTO p VALUES (1), (2);
-- {"op":"insert","table":"p","key":{"id":1},"after":{"id":1}}
-- {"op":"insert","table":"p","key":{"id":2},"after":{"id":2}}
ALTER TABLE p TRUNCATE PARTITION p0;
DELETE FROM p;
-- {"op":"delete","table":"p","key":{"id":1},"before":{"id":1}}
