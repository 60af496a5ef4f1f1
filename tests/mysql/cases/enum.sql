-- ENUM is its label; what is no label is stored as MySQL's invalid value, the empty string.

CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b', 'it''s, x', 'é', '中', '"q"', ''));
INSERT INTO t VALUES (1, 'a'), (2, 'it''s, x'), (3, 'é'), (4, '中'), (5, '"q"'), (6, ''), (7, 'none of them'), (8, 2), (9, NULL);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"e":"a"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"e":"it's, x"}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"e":"é"}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"e":"中"}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"e":"\"q\""}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"e":""}}
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"e":""}}
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"e":"b"}}
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"e":null}}
UPDATE t SET e = 'b' WHERE id = 7;
-- {"op":"update","table":"t","key":{"id":7},"before":{"id":7,"e":""},"after":{"id":7,"e":"b"},"changed":["e"]}
CREATE TABLE nn (e ENUM('x', 'y') NOT NULL PRIMARY KEY);
INSERT INTO nn VALUES ('y');
-- {"op":"insert","table":"nn","key":{"e":"y"},"after":{"e":"y"}}
