-- YEAR: 0 is a value of its own, and two digits are read as MySQL does.

CREATE TABLE t (id INT PRIMARY KEY, y YEAR);
INSERT INTO t VALUES (1, 0), (2, 1901), (3, 2155), (4, 2026), (5, '0000'), (6, 1), (7, 69), (8, 70), (9, 99), (10, NULL);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"y":0}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"y":1901}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"y":2155}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"y":2026}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"y":0}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"y":2001}}
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"y":2069}}
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"y":1970}}
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"y":1999}}
-- {"op":"insert","table":"t","key":{"id":10},"after":{"id":10,"y":null}}
