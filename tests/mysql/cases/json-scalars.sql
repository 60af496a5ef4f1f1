-- A JSON column holds any JSON value; SQL NULL is not the JSON null, but both are null here.

CREATE TABLE t (id INT PRIMARY KEY, j JSON);
INSERT INTO t VALUES (1, 'null'), (2, NULL), (3, 'true'), (4, 'false'), (5, '"text"'), (6, '""'), (7, '0'), (8, '-1'), (9, '1.5'), (10, '[]'), (11, '{}');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"j":null}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"j":null}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"j":true}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"j":false}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"j":"text"}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"j":""}}
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"j":0}}
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"j":-1}}
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"j":1.5}}
-- {"op":"insert","table":"t","key":{"id":10},"after":{"id":10,"j":[]}}
-- {"op":"insert","table":"t","key":{"id":11},"after":{"id":11,"j":{}}}
INSERT INTO t VALUES (12, '"quote \\" backslash \\\\ newline \\n unicode \\u00e9 \\ud83d\\ude00 nul \\u0000"');
-- {"op":"insert","table":"t","key":{"id":12},"after":{"id":12,"j":"quote \" backslash \\ newline \n unicode é 😀 nul \u0000"}}
UPDATE t SET j = 'null' WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"j":null},"after":{"id":2,"j":null},"changed":["j"]}
UPDATE t SET j = NULL WHERE id = 3;
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":3,"j":true},"after":{"id":3,"j":null},"changed":["j"]}
