-- Tables that take one another's names, as online schema-change tools do it. Shadow tables match no pattern.
-- Read while the tables change further: what counts is how they were.

CREATE TABLE t (id INT PRIMARY KEY, a INT);
INSERT INTO t VALUES (1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":1}}
CREATE TABLE _t_gho (id INT PRIMARY KEY, a BIGINT, b INT);
INSERT INTO _t_gho VALUES (1, 1, NULL);
RENAME TABLE t TO _t_del, _t_gho TO t;
INSERT INTO t VALUES (2, 2, 2);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"a":2,"b":2}}
INSERT INTO _t_del VALUES (3, 3);
CREATE TABLE x (id INT PRIMARY KEY);
RENAME TABLE t TO y, x TO t, y TO x;
INSERT INTO t VALUES (4);
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4}}
INSERT INTO x VALUES (5, 5, 5);
-- {"op":"insert","table":"x","key":{"id":5},"after":{"id":5,"a":5,"b":5}}
ALTER TABLE x RENAME z;
DELETE FROM z WHERE id = 5;
-- {"op":"delete","table":"z","key":{"id":5},"before":{"id":5,"a":5,"b":5}}
