-- Transactions without rows bring nothing and hold up nothing.

CREATE TABLE t (id INT PRIMARY KEY);
BEGIN;
COMMIT;
SET @next = CONCAT(UUID(), ':7');
SET gtid_next = @next;
BEGIN;
COMMIT;
SET gtid_next = AUTOMATIC;
INSERT INTO t VALUES (1);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1}}
