-- A question mark in a label is one where the column's character set, or the statement that made it, leaves no doubt.
-- metadata: MINIMAL

CREATE TABLE t (id INT PRIMARY KEY, e ENUM('why?', 'b') CHARACTER SET latin1, s SET('a?', '?') CHARACTER SET ascii);
INSERT INTO t VALUES (1, 'why?', 'a?,?');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"e":"why?","s":["a?","?"]}}
