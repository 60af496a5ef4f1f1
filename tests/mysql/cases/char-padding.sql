-- CHAR loses its trailing spaces, VARCHAR keeps them, as SELECT shows them.

CREATE TABLE t (id INT PRIMARY KEY, c CHAR(10), v VARCHAR(10), c255 CHAR(255), c0 CHAR(0), v0 VARCHAR(0));
INSERT INTO t VALUES (1, 'abc  ', 'abc  ', REPEAT('😀', 255), '', '');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"c":"abc","v":"abc  ","c255":"@repeat:😀:255","c0":"","v0":""}}
INSERT INTO t VALUES (2, '   ', '   ', 'x', NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"c":"","v":"   ","c255":"x","c0":null,"v0":null}}
INSERT INTO t VALUES (3, ' a ', ' a ', '', '', '');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"c":" a","v":" a ","c255":"","c0":"","v0":""}}
SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH';
INSERT INTO t VALUES (4, 'abc', 'abc', 'y', '', '');
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"c":"abc","v":"abc","c255":"y","c0":"","v0":""}}
