-- Rows that triggers write are changes too, in the order in which they happened.

CREATE TABLE t (id INT PRIMARY KEY, n INT);
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20));
CREATE TRIGGER before_insert BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n * 10;
CREATE TRIGGER after_insert AFTER INSERT ON t FOR EACH ROW INSERT INTO log (what) VALUES (CONCAT('inserted ', NEW.id));
CREATE TRIGGER after_update AFTER UPDATE ON t FOR EACH ROW BEGIN INSERT INTO log (what) VALUES ('one'); INSERT INTO log (what) VALUES ('two'); END;
INSERT INTO t VALUES (1, 1), (2, 2);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"n":10}}
-- {"op":"insert","table":"log","key":{"id":1},"after":{"id":1,"what":"inserted 1"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"n":20}}
-- {"op":"insert","table":"log","key":{"id":2},"after":{"id":2,"what":"inserted 2"}}
UPDATE t SET n = 0 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"n":10},"after":{"id":1,"n":0},"changed":["n"]}
-- {"op":"insert","table":"log","key":{"id":3},"after":{"id":3,"what":"one"}}
-- {"op":"insert","table":"log","key":{"id":4},"after":{"id":4,"what":"two"}}
DELETE FROM t;
-- {"op":"delete","table":"t","key":{"id":1},"before":{"id":1,"n":0}}
-- {"op":"delete","table":"t","key":{"id":2},"before":{"id":2,"n":20}}
