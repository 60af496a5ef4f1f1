-- A SET of 64 labels uses every bit of eight bytes.

SET SESSION group_concat_max_len = 100000;
SET @sql = (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 64) SELECT CONCAT('CREATE TABLE t (id INT PRIMARY KEY, s SET(', GROUP_CONCAT(CONCAT('''', n, '''') ORDER BY n), '))') FROM r);
PREPARE make FROM @sql;
EXECUTE make;
INSERT INTO t VALUES (1, '64'), (2, '1,64'), (3, '33,32'), (4, 18446744073709551615), (5, '');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":["64"]}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":["1","64"]}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"s":["32","33"]}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"s":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17","18","19","20","21","22","23","24","25","26","27","28","29","30","31","32","33","34","35","36","37","38","39","40","41","42","43","44","45","46","47","48","49","50","51","52","53","54","55","56","57","58","59","60","61","62","63","64"]}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"s":[]}}
