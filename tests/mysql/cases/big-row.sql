-- A row of more than 16 MiB takes more than one packet, and an update holds it twice.

CREATE TABLE t (id INT PRIMARY KEY, x LONGTEXT, b LONGBLOB);
INSERT INTO t VALUES (1, REPEAT('x', 17000000), NULL);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"x":"@repeat:x:17000000","b":null}}
UPDATE t SET b = REPEAT('x', 1000000), x = CONCAT(x, 'end') WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"x":"@repeat:x:17000000","b":null},"after":{"id":1,"x":"@repeat:x:17000000:end","b":"@repeat:eHh4:333333:eA=="},"changed":["x","b"]}
DELETE FROM t;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1,"x":"@repeat:x:17000000:end","b":"@repeat:eHh4:333333:eA=="}}
