-- Without a primary key there is no key; equal rows are changes of their own. An index that allows NULL is no key.

CREATE TABLE t (a INT, b VARCHAR(5));
INSERT INTO t VALUES (1, 'x'), (1, 'x');
-- {"op":"insert","table":"t","after":{"a":1,"b":"x"}}
-- {"op":"insert","table":"t","after":{"a":1,"b":"x"}}
UPDATE t SET b = 'y';
-- {"op":"update","table":"t","before":{"a":1,"b":"x"},"after":{"a":1,"b":"y"},"changed":["b"]}
-- {"op":"update","table":"t","before":{"a":1,"b":"x"},"after":{"a":1,"b":"y"},"changed":["b"]}
DELETE FROM t LIMIT 1;
-- {"op":"delete","table":"t","before":{"a":1,"b":"y"}}
CREATE TABLE u (a INT UNIQUE, b INT, INDEX (b));
INSERT INTO u VALUES (1, 2);
-- {"op":"insert","table":"u","after":{"a":1,"b":2}}
