-- What was rolled back to a savepoint never happened.

CREATE TABLE t (id INT PRIMARY KEY);
BEGIN;
INSERT INTO t VALUES (1);
SAVEPOINT one;
INSERT INTO t VALUES (2);
SAVEPOINT `two words`;
INSERT INTO t VALUES (3);
ROLLBACK TO SAVEPOINT `two words`;
INSERT INTO t VALUES (4);
ROLLBACK TO one;
INSERT INTO t VALUES (5);
RELEASE SAVEPOINT one;
COMMIT;
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5}}
