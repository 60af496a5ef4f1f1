-- Writing through a view or in a procedure is writing the table.

CREATE TABLE t (id INT PRIMARY KEY, n INT);
CREATE VIEW v AS SELECT id, n FROM t WHERE n > 0;
INSERT INTO v VALUES (1, 1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":1}}
CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES (2, 2); UPDATE t SET n = n + 1; END;
CALL p();
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":2}}
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":1},"after":{"id":1,"n":2},"changed":["n"]}
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"n":2},"after":{"id":2,"n":3},"changed":["n"]}
BEGIN;
CALL p();
-- fails
ROLLBACK;
PREPARE s FROM 'DELETE FROM v WHERE id = ?';
SET @id = 2;
EXECUTE s USING @id;
-- {"op":"delete","table":"t","key":{"id":2},"before":{"id":2,"n":3}}
