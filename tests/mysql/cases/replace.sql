-- REPLACE is a delete and an insert, or an update where one unique row stands in the way.

CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(5));
INSERT INTO t VALUES (1, 'a');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"a"}}
REPLACE INTO t VALUES (1, 'b'), (2, 'c');
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"s":"a"},"after":{"id":1,"s":"b"},"changed":["s"]}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"c"}}
REPLACE INTO t VALUES (1, 'b');
CREATE TABLE u (id INT PRIMARY KEY, k INT UNIQUE, s VARCHAR(5));
INSERT INTO u VALUES (1, 10, 'a'), (2, 20, 'b');
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"k":10,"s":"a"}}
-- {"op":"insert","table":"u","key":{"id":2},"after":{"id":2,"k":20,"s":"b"}}
REPLACE INTO u VALUES (1, 20, 'c');
-- {"op":"delete","table":"u","key":{"id":1},"before":{"id":1,"k":10,"s":"a"}}
-- {"op":"update","table":"u","key":{"id":1},"before":{"id":2,"k":20,"s":"b"},"after":{"id":1,"k":20,"s":"c"},"changed":["id","s"]}
