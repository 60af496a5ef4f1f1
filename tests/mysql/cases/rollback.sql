-- What was rolled back never happened, and neither did a statement that failed.

CREATE TABLE t (id INT PRIMARY KEY);
BEGIN;
INSERT INTO t VALUES (1);
ROLLBACK;
BEGIN;
INSERT INTO t VALUES (2);
INSERT INTO t VALUES (3), (2);
-- fails
INSERT INTO t VALUES (4);
COMMIT;
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4}}
INSERT INTO t VALUES (5), (4), (6);
-- fails
INSERT INTO t VALUES (7);
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7}}
