-- One UPDATE over two tables.

CREATE TABLE a (id INT PRIMARY KEY, n INT);
CREATE TABLE b (id INT PRIMARY KEY, n INT);
INSERT INTO a VALUES (1, 1), (2, 2);
-- {"op":"insert","table":"a","key":{"id":1},"after":{"id":1,"n":1}}
-- {"op":"insert","table":"a","key":{"id":2},"after":{"id":2,"n":2}}
INSERT INTO b VALUES (1, 10), (2, 20);
-- {"op":"insert","table":"b","key":{"id":1},"after":{"id":1,"n":10}}
-- {"op":"insert","table":"b","key":{"id":2},"after":{"id":2,"n":20}}
UPDATE a, b SET a.n = b.n, b.n = a.n + 100 WHERE a.id = b.id AND a.id = 1;
-- {"op":"update","table":"a","key":{"id":1},"before":{"id":1,"n":1},"after":{"id":1,"n":10},"changed":["n"]}
-- {"op":"update","table":"b","key":{"id":1},"before":{"id":1,"n":10},"after":{"id":1,"n":110},"changed":["n"]}
UPDATE a JOIN b USING (id) SET b.n = 0;
-- {"op":"update","table":"b","key":{"id":1},"before":{"id":1,"n":110},"after":{"id":1,"n":0},"changed":["n"]}
-- {"op":"update","table":"b","key":{"id":2},"before":{"id":2,"n":20},"after":{"id":2,"n":0},"changed":["n"]}
