-- Statements whose rows take more than one event each.

CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(2000));
BEGIN;
INSERT INTO t VALUES (1, REPEAT('a', 2000)), (2, REPEAT('b', 2000)), (3, REPEAT('c', 2000)), (4, REPEAT('d', 2000)), (5, REPEAT('e', 2000)), (6, REPEAT('f', 2000)), (7, REPEAT('g', 2000)), (8, REPEAT('h', 2000)), (9, REPEAT('i', 2000)), (10, REPEAT('j', 2000));
UPDATE t SET s = REPEAT('z', 1500);
DELETE FROM t WHERE id > 3;
COMMIT;
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"@repeat:a:2000"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"@repeat:b:2000"}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"s":"@repeat:c:2000"}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"s":"@repeat:d:2000"}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"s":"@repeat:e:2000"}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"s":"@repeat:f:2000"}}
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"s":"@repeat:g:2000"}}
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"s":"@repeat:h:2000"}}
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"s":"@repeat:i:2000"}}
-- {"op":"insert","table":"t","key":{"id":10},"after":{"id":10,"s":"@repeat:j:2000"}}
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"s":"@repeat:a:2000"},"after":{"id":1,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"s":"@repeat:b:2000"},"after":{"id":2,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":3,"s":"@repeat:c:2000"},"after":{"id":3,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":4},"before":{"id":4,"s":"@repeat:d:2000"},"after":{"id":4,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":5},"before":{"id":5,"s":"@repeat:e:2000"},"after":{"id":5,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":6},"before":{"id":6,"s":"@repeat:f:2000"},"after":{"id":6,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":7},"before":{"id":7,"s":"@repeat:g:2000"},"after":{"id":7,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":8},"before":{"id":8,"s":"@repeat:h:2000"},"after":{"id":8,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":9},"before":{"id":9,"s":"@repeat:i:2000"},"after":{"id":9,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"update","table":"t","key":{"id":10},"before":{"id":10,"s":"@repeat:j:2000"},"after":{"id":10,"s":"@repeat:z:1500"},"changed":["s"]}
-- {"op":"delete","table":"t","key":{"id":4},"before":{"id":4,"s":"@repeat:z:1500"}}
-- {"op":"delete","table":"t","key":{"id":5},"before":{"id":5,"s":"@repeat:z:1500"}}
-- {"op":"delete","table":"t","key":{"id":6},"before":{"id":6,"s":"@repeat:z:1500"}}
-- {"op":"delete","table":"t","key":{"id":7},"before":{"id":7,"s":"@repeat:z:1500"}}
-- {"op":"delete","table":"t","key":{"id":8},"before":{"id":8,"s":"@repeat:z:1500"}}
-- {"op":"delete","table":"t","key":{"id":9},"before":{"id":9,"s":"@repeat:z:1500"}}
-- {"op":"delete","table":"t","key":{"id":10},"before":{"id":10,"s":"@repeat:z:1500"}}
