-- information_schema shows a label beyond the Basic Multilingual Plane with a question mark, which must not pass for one.
-- metadata: MINIMAL

CREATE TABLE t (id INT PRIMARY KEY, e ENUM('😀', 'b'));
INSERT INTO t VALUES (1, '😀');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"e":"😀"}}
-- What CONVERT TO makes of labels beyond ASCII is looked up.
ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO t VALUES (2, '😀');
-- stops: FULL
