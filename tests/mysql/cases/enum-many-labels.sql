-- More than 255 labels take two bytes.

SET SESSION group_concat_max_len = 100000;
SET @sql = (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 300) SELECT CONCAT('CREATE TABLE t (id INT PRIMARY KEY, e ENUM(', GROUP_CONCAT(CONCAT('''label ', n, '''') ORDER BY n), '))') FROM r);
PREPARE make FROM @sql;
EXECUTE make;
INSERT INTO t VALUES (1, 'label 1'), (2, 'label 255'), (3, 'label 256'), (4, 'label 300'), (5, 'label 301');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"e":"label 1"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"e":"label 255"}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"e":"label 256"}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"e":"label 300"}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"e":""}}
