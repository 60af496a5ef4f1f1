-- MyISAM and MEMORY know no rollback: each statement counts at once, also where its transaction is rolled back.

CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(5)) ENGINE = MyISAM;
INSERT INTO t VALUES (1, 'a');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"a"}}
UPDATE t SET s = 'b';
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"s":"a"},"after":{"id":1,"s":"b"},"changed":["s"]}
BEGIN;
INSERT INTO t VALUES (2, 'c');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"c"}}
ROLLBACK;
DELETE FROM t;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1,"s":"b"}}
-- {"op":"delete","table":"t","key":{"id":2},"before":{"id":2,"s":"c"}}
CREATE TABLE m (id INT PRIMARY KEY, s VARCHAR(5)) ENGINE = MEMORY;
INSERT INTO m VALUES (1, 'a');
-- {"op":"insert","table":"m","key":{"id":1},"after":{"id":1,"s":"a"}}
CREATE TABLE c (id INT NOT NULL, x TEXT NOT NULL) ENGINE = CSV;
INSERT INTO c VALUES (1, 'a');
-- {"op":"insert","table":"c","after":{"id":1,"x":"a"}}
