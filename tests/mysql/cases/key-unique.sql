-- Without a primary key the server logs the first unique index over NOT NULL columns as if it were one.
-- metadata: FULL

CREATE TABLE t (a INT UNIQUE, b VARCHAR(5) NOT NULL, c INT NOT NULL, UNIQUE (c, b));
INSERT INTO t VALUES (1, 'x', 2);
-- {"op":"insert","table":"t","key":{"c":2,"b":"x"},"after":{"a":1,"b":"x","c":2}}
UPDATE t SET a = 5;
-- {"op":"update","table":"t","key":{"c":2,"b":"x"},"before":{"a":1,"b":"x","c":2},"after":{"a":5,"b":"x","c":2},"changed":["a"]}
