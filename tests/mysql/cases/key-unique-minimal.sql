-- With MINIMAL metadata the key comes from the table's definition, where only a primary key is one.
-- metadata: MINIMAL

CREATE TABLE t (a INT UNIQUE, b VARCHAR(5) NOT NULL, c INT NOT NULL, UNIQUE (c, b));
INSERT INTO t VALUES (1, 'x', 2);
-- {"op":"insert","table":"t","after":{"a":1,"b":"x","c":2}}
