-- A partitioned table is one table; a row that moves to another partition is an update.

CREATE TABLE t (id INT, y INT, PRIMARY KEY (id, y)) PARTITION BY RANGE (y) (PARTITION old VALUES LESS THAN (2020), PARTITION newer VALUES LESS THAN MAXVALUE);
INSERT INTO t VALUES (1, 2019), (2, 2020);
-- {"op":"insert","table":"t","key":{"id":1,"y":2019},"after":{"id":1,"y":2019}}
-- {"op":"insert","table":"t","key":{"id":2,"y":2020},"after":{"id":2,"y":2020}}
UPDATE t SET y = 2021 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1,"y":2021},"before":{"id":1,"y":2019},"after":{"id":1,"y":2021},"changed":["y"]}
ALTER TABLE t DROP PARTITION old;
INSERT INTO t VALUES (3, 1);
-- {"op":"insert","table":"t","key":{"id":3,"y":1},"after":{"id":3,"y":1}}
