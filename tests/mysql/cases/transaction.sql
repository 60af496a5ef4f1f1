-- A transaction comes as a whole at its commit, in the order of its statements over all tables.

CREATE TABLE a (id INT PRIMARY KEY, n INT);
CREATE TABLE b (id INT PRIMARY KEY);
BEGIN;
INSERT INTO a VALUES (1, 1);
INSERT INTO b VALUES (1);
UPDATE a SET n = 2;
DELETE FROM b;
INSERT INTO a VALUES (2, 2), (3, 3);
COMMIT;
-- {"op":"insert","table":"a","key":{"id":1},"after":{"id":1,"n":1}}
-- {"op":"insert","table":"b","key":{"id":1},"after":{"id":1}}
-- {"op":"update","table":"a","key":{"id":1},"before":{"id":1,"n":1},"after":{"id":1,"n":2},"changed":["n"]}
-- {"op":"delete","table":"b","key":{"id":1},"before":{"id":1}}
-- {"op":"insert","table":"a","key":{"id":2},"after":{"id":2,"n":2}}
-- {"op":"insert","table":"a","key":{"id":3},"after":{"id":3,"n":3}}
START TRANSACTION READ ONLY;
SELECT * FROM a;
COMMIT;
SET autocommit = 0;
INSERT INTO b VALUES (7);
COMMIT;
-- {"op":"insert","table":"b","key":{"id":7},"after":{"id":7}}
