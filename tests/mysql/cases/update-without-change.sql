-- What changes nothing is not in the log.

CREATE TABLE t (id INT PRIMARY KEY, n INT, s VARCHAR(10) COLLATE utf8mb4_0900_ai_ci);
INSERT INTO t VALUES (1, 1, 'a'), (2, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":1,"s":"a"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":null,"s":null}}
UPDATE t SET n = 1 WHERE id = 1;
UPDATE t SET n = 5 WHERE id = 99;
DELETE FROM t WHERE id = 99;
UPDATE t SET s = 'A' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1,"s":"a"},"after":{"id":1,"n":1,"s":"A"},"changed":["s"]}
UPDATE t SET n = NULL WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1,"s":"A"},"after":{"id":1,"n":null,"s":"A"},"changed":["n"]}
UPDATE t SET n = 0, s = '' WHERE id = 2;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"n":null,"s":null},"after":{"id":2,"n":0,"s":""},"changed":["n","s"]}
INSERT IGNORE INTO t VALUES (1, 9, 'z'), (3, 3, 'c');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"n":3,"s":"c"}}
