-- One DELETE over two tables.

CREATE TABLE a (id INT PRIMARY KEY);
CREATE TABLE b (id INT PRIMARY KEY, a INT);
INSERT INTO a VALUES (1), (2);
-- {"op":"insert","table":"a","key":{"id":1},"after":{"id":1}}
-- {"op":"insert","table":"a","key":{"id":2},"after":{"id":2}}
INSERT INTO b VALUES (10, 1), (20, 2);
-- {"op":"insert","table":"b","key":{"id":10},"after":{"id":10,"a":1}}
-- {"op":"insert","table":"b","key":{"id":20},"after":{"id":20,"a":2}}
DELETE a, b FROM a JOIN b ON b.a = a.id WHERE a.id = 1;
-- {"op":"delete","table":"a","key":{"id":1},"before":{"id":1}}
-- {"op":"delete","table":"b","key":{"id":10},"before":{"id":10,"a":1}}
DELETE b FROM a JOIN b ON b.a = a.id;
-- {"op":"delete","table":"b","key":{"id":20},"before":{"id":20,"a":2}}
