-- A table that is dropped and made anew with other columns.
-- Read while the tables change further: what counts is how they were.

CREATE TABLE t (id INT PRIMARY KEY, a INT);
INSERT INTO t VALUES (1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":1}}
DROP TABLE t;
CREATE TABLE t (a INT PRIMARY KEY, id INT);
INSERT INTO t VALUES (1, 2);
-- {"op":"insert","table":"t","key":{"a":1},"after":{"a":1,"id":2}}
DROP TABLE t;
CREATE TABLE t (s VARCHAR(5), a INT PRIMARY KEY);
INSERT INTO t VALUES ('x', 1);
-- {"op":"insert","table":"t","key":{"a":1},"after":{"s":"x","a":1}}
