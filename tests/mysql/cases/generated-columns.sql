-- Generated columns are in the row, stored or not; hidden columns of functional indexes are not.

CREATE TABLE t (
  id INT PRIMARY KEY, n INT, v INT GENERATED ALWAYS AS (n * 2) VIRTUAL, s VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x', n)) STORED, j JSON,
  INDEX f ((n + 1)), INDEX m ((CAST(j->'$.a' AS UNSIGNED ARRAY)))
);
INSERT INTO t (id, n, j) VALUES (1, 10, '{"a": [1, 2]}'), (2, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":10,"v":20,"s":"x10","j":{"a":[1,2]}}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":null,"v":null,"s":null,"j":null}}
UPDATE t SET n = 11 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":10,"v":20,"s":"x10","j":{"a":[1,2]}},"after":{"id":1,"n":11,"v":22,"s":"x11","j":{"a":[1,2]}},"changed":["n","v","s"]}
DELETE FROM t;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1,"n":11,"v":22,"s":"x11","j":{"a":[1,2]}}}
-- {"op":"delete","table":"t","key":{"id":2},"before":{"id":2,"n":null,"v":null,"s":null,"j":null}}
