-- XA that commits in one phase counts at once, and with a rollback not at all.

CREATE TABLE t (id INT PRIMARY KEY);
XA START 'one';
INSERT INTO t VALUES (1);
INSERT INTO t VALUES (2);
XA END 'one';
XA COMMIT 'one' ONE PHASE;
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2}}
XA START 'two', 'branch', 7;
INSERT INTO t VALUES (3);
XA END 'two', 'branch', 7;
XA ROLLBACK 'two', 'branch', 7;
INSERT INTO t VALUES (4);
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4}}
