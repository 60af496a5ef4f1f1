-- BOOL is TINYINT(1), and neither width nor ZEROFILL is part of a value. ZEROFILL makes the column unsigned.

CREATE TABLE t (id INT PRIMARY KEY, b BOOL, z INT(10) ZEROFILL, zs SMALLINT(3) UNSIGNED ZEROFILL, w TINYINT(2));
INSERT INTO t VALUES (1, TRUE, 42, 7, -5);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"b":1,"z":42,"zs":7,"w":-5}}
INSERT INTO t VALUES (2, FALSE, 4294967295, 65535, 127);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"b":0,"z":4294967295,"zs":65535,"w":127}}
INSERT INTO t VALUES (3, 2, 0, 0, 0);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"b":2,"z":0,"zs":0,"w":0}}
