-- Temporary tables are in nobody's log; what is written from them is.

CREATE TABLE t (id INT PRIMARY KEY);
CREATE TEMPORARY TABLE tmp (id INT PRIMARY KEY);
INSERT INTO tmp VALUES (1), (2);
INSERT INTO t SELECT id + 10 FROM tmp;
-- {"op":"insert","table":"t","key":{"id":11},"after":{"id":11}}
-- {"op":"insert","table":"t","key":{"id":12},"after":{"id":12}}
UPDATE t JOIN tmp ON t.id = tmp.id + 10 SET t.id = t.id + 100 WHERE tmp.id = 1;
-- {"op":"update","table":"t","key":{"id":111},"before":{"id":11},"after":{"id":111},"changed":["id"]}
DROP TEMPORARY TABLE tmp;
