-- AUTO_INCREMENT and SERIAL (BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE): the number given is in the row.

CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(5));
INSERT INTO t (s) VALUES ('a'), ('b');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"s":"a"}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"s":"b"}}
INSERT INTO t VALUES (10, 'c');
-- {"op":"insert","table":"t","key":{"id":10},"after":{"id":10,"s":"c"}}
INSERT INTO t (s) VALUES ('d');
-- {"op":"insert","table":"t","key":{"id":11},"after":{"id":11,"s":"d"}}
INSERT INTO t VALUES (NULL, 'e');
-- {"op":"insert","table":"t","key":{"id":12},"after":{"id":12,"s":"e"}}
CREATE TABLE u (id SERIAL PRIMARY KEY);
INSERT INTO u VALUES (), ();
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1}}
-- {"op":"insert","table":"u","key":{"id":2},"after":{"id":2}}
