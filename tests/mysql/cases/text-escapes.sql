-- Text with everything that JSON escapes, and some that it does not.

CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(100));
INSERT INTO t VALUES (1, 'quote " backslash \\ slash / apostrophe ''');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"quote \" backslash \\ slash / apostrophe '"}}
INSERT INTO t VALUES (2, CONCAT('tab', CHAR(9), 'line', CHAR(10), 'return', CHAR(13), 'nul', CHAR(0), 'bell', CHAR(7), 'escape', CHAR(27), 'delete', CHAR(127)));
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"tab\tline\nreturn\rnul\u0000bell\u0007escape\u001bdelete"}}
INSERT INTO t VALUES (3, 'é € 😀 中 \u0041 {{ row.id }} ${x} %s <b>&');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"s":"é € 😀 中 u0041 {{ row.id }} ${x} %s <b>&"}}
INSERT INTO t VALUES (4, CONVERT(0xE280A8EFBBBFF48FBFBF USING utf8mb4));
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"s":" ﻿􏿿"}}
INSERT INTO t VALUES (5, ''), (6, NULL), (7, 'null');
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"s":""}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"s":null}}
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"s":"null"}}
