-- Defaults by expression, and a NOT NULL column that comes to a table with rows.
-- Its missing values read as SELECT shows them.
-- reading: in step

CREATE TABLE t (id INT PRIMARY KEY, j JSON DEFAULT (JSON_OBJECT('a', 1)));
INSERT INTO t (id) VALUES (1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"j":{"a":1}}}
ALTER TABLE t ADD COLUMN k JSON NOT NULL;
UPDATE t SET j = '[]';
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"j":{"a":1},"k":null},"after":{"id":1,"j":[],"k":null},"changed":["j"]}
INSERT INTO t (id) VALUES (2);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"j":{"a":1},"k":null}}
