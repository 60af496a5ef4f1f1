-- The rows of a prepared XA transaction come when it is committed, in the order of the commits, and never when it is rolled back.

CREATE TABLE t (id INT PRIMARY KEY, n INT);
XA START 'committed';
INSERT INTO t VALUES (1, 1);
UPDATE t SET n = 2;
XA END 'committed';
XA PREPARE 'committed';
XA COMMIT 'committed';
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":1}}
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1},"after":{"id":1,"n":2},"changed":["n"]}
XA START 'rolled back';
INSERT INTO t VALUES (2, 2);
XA END 'rolled back';
XA PREPARE 'rolled back';
XA ROLLBACK 'rolled back';
XA START 'first', 'b', 1;
INSERT INTO t VALUES (3, 3);
XA END 'first', 'b', 1;
XA PREPARE 'first', 'b', 1;
XA START 'second';
INSERT INTO t VALUES (4, 4);
XA END 'second';
XA PREPARE 'second';
XA START 'third';
INSERT INTO t VALUES (5, 5);
XA END 'third';
XA PREPARE 'third';
INSERT INTO t VALUES (6, 6);
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"n":6}}
XA COMMIT 'second';
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"n":4}}
XA ROLLBACK 'third';
INSERT INTO t VALUES (7, 7);
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"n":7}}
XA COMMIT 'first', 'b', 1;
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"n":3}}
XA START 'empty';
XA END 'empty';
XA PREPARE 'empty';
XA COMMIT 'empty';
INSERT INTO t VALUES (8, 8);
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"n":8}}
