-- An update of the key is one update: the key shown is the new one, the old one stands in the row before.

CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(5));
INSERT INTO t VALUES (1, 'a'), (2, 'b');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"a"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"b"}}
UPDATE t SET id = 3 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":1,"s":"a"},"after":{"id":3,"s":"a"},"changed":["id"]}
UPDATE t SET id = id + 10 ORDER BY id DESC;
-- {"op":"update","table":"t","key":{"id":13},"before":{"id":3,"s":"a"},"after":{"id":13,"s":"a"},"changed":["id"]}
-- {"op":"update","table":"t","key":{"id":12},"before":{"id":2,"s":"b"},"after":{"id":12,"s":"b"},"changed":["id"]}
