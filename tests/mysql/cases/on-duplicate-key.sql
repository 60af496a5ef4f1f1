-- INSERT ... ON DUPLICATE KEY UPDATE is an insert or an update, row by row.

CREATE TABLE t (id INT PRIMARY KEY, n INT);
INSERT INTO t VALUES (1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":1}}
INSERT INTO t VALUES (1, 5), (2, 5) AS new ON DUPLICATE KEY UPDATE n = t.n + new.n;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1},"after":{"id":1,"n":6},"changed":["n"]}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":5}}
INSERT INTO t VALUES (1, 5) ON DUPLICATE KEY UPDATE n = n;
INSERT INTO t VALUES (1, 0) ON DUPLICATE KEY UPDATE id = 7;
-- {"op":"update","table":"t","key":{"id":7},"before":{"id":1,"n":6},"after":{"id":7,"n":6},"changed":["id"]}
