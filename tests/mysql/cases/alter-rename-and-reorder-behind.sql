-- Columns of one type that change names and places between rows.
-- Read while the tables change further: what counts is how they were.

CREATE TABLE t (id INT PRIMARY KEY, first_name VARCHAR(10), last_name VARCHAR(10));
INSERT INTO t VALUES (1, 'Ann', 'Lee');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"first_name":"Ann","last_name":"Lee"}}
ALTER TABLE t MODIFY last_name VARCHAR(10) AFTER id;
INSERT INTO t (id, first_name, last_name) VALUES (2, 'Bob', 'Ray');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"last_name":"Ray","first_name":"Bob"}}
ALTER TABLE t RENAME COLUMN first_name TO last_name, RENAME COLUMN last_name TO first_name;
INSERT INTO t (id, first_name, last_name) VALUES (3, 'Cyd', 'Fox');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"first_name":"Cyd","last_name":"Fox"}}
ALTER TABLE t CHANGE first_name `given name` VARCHAR(10);
UPDATE t SET `given name` = 'Cy' WHERE id = 3;
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":3,"given name":"Cyd","last_name":"Fox"},"after":{"id":3,"given name":"Cy","last_name":"Fox"},"changed":["given name"]}
