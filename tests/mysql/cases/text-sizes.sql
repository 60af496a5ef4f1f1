-- Lengths of one to four bytes, and CHAR and VARCHAR around 255 bytes.

CREATE TABLE t (id INT PRIMARY KEY, tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, v63 VARCHAR(63), v64 VARCHAR(64), c63 CHAR(63), c64 CHAR(64));
INSERT INTO t VALUES (1, REPEAT('a', 255), REPEAT('b', 65535), REPEAT('c', 65536), REPEAT('d', 300), REPEAT('e', 63), REPEAT('f', 64), REPEAT('g', 63), REPEAT('h', 64));
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"tt":"@repeat:a:255","tx":"@repeat:b:65535","mt":"@repeat:c:65536","lt":"@repeat:d:300","v63":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","v64":"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff","c63":"ggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg","c64":"hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"}}
INSERT INTO t VALUES (2, '', '', '', '', '', '', '', '');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"tt":"","tx":"","mt":"","lt":"","v63":"","v64":"","c63":"","c64":""}}
INSERT INTO t VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"tt":null,"tx":null,"mt":null,"lt":null,"v63":null,"v64":null,"c63":null,"c64":null}}
INSERT INTO t VALUES (4, REPEAT('é', 127), REPEAT('😀', 16383), REPEAT('中', 30000), REPEAT('ab', 40000), REPEAT('😀', 63), REPEAT('😀', 64), REPEAT('😀', 63), REPEAT('😀', 64));
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"tt":"@repeat:é:127","tx":"@repeat:😀:16383","mt":"@repeat:中:30000","lt":"@repeat:ab:40000","v63":"@repeat:😀:63","v64":"@repeat:😀:64","c63":"@repeat:😀:63","c64":"@repeat:😀:64"}}
UPDATE t SET mt = REPEAT('z', 256) WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"tt":"","tx":"","mt":"","lt":"","v63":"","v64":"","c63":"","c64":""},"after":{"id":2,"tt":"","tx":"","mt":"@repeat:z:256","lt":"","v63":"","v64":"","c63":"","c64":""},"changed":["mt"]}
