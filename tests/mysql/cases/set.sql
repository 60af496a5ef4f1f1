-- SET is an array of labels in the column's order, whatever the order they were written in.

CREATE TABLE t (id INT PRIMARY KEY, s SET('p', 'q', 'r', 'é', 'it''s') NOT NULL DEFAULT 'q', n SET('a'));
INSERT INTO t VALUES (1, 'r,p', 'a'), (2, '', ''), (3, 'é,it''s,q', NULL), (4, 31, 1), (5, 'nothing,p', 'b');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":["p","r"],"n":["a"]}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":[],"n":[]}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"s":["q","é","it's"],"n":null}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"s":["p","q","r","é","it's"],"n":["a"]}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"s":["p"],"n":[]}}
INSERT INTO t (id) VALUES (6);
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"s":["q"],"n":null}}
UPDATE t SET s = CONCAT(s, ',r') WHERE id = 6;
-- {"op":"update","table":"t","key":{"id":6},"before":{"id":6,"s":["q"],"n":null},"after":{"id":6,"s":["q","r"],"n":null},"changed":["s"]}
