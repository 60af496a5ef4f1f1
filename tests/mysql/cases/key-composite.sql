-- The key's columns come in the key's own order, not in the table's.

CREATE TABLE t (a INT, b VARCHAR(5), c DATE, d INT, PRIMARY KEY (c, a, b));
INSERT INTO t VALUES (1, 'x', '2026-11-20', 5);
-- {"op":"insert","table":"t","key":{"c":"2026-11-20","a":1,"b":"x"},"after":{"a":1,"b":"x","c":"2026-11-20","d":5}}
UPDATE t SET d = 6;
-- {"op":"update","table":"t","key":{"c":"2026-11-20","a":1,"b":"x"},"before":{"a":1,"b":"x","c":"2026-11-20","d":5},"after":{"a":1,"b":"x","c":"2026-11-20","d":6},"changed":["d"]}
UPDATE t SET a = 2;
-- {"op":"update","table":"t","key":{"c":"2026-11-20","a":2,"b":"x"},"before":{"a":1,"b":"x","c":"2026-11-20","d":6},"after":{"a":2,"b":"x","c":"2026-11-20","d":6},"changed":["a"]}
DELETE FROM t;
-- {"op":"delete","table":"t","key":{"c":"2026-11-20","a":2,"b":"x"},"before":{"a":2,"b":"x","c":"2026-11-20","d":6}}
