-- Cascades that InnoDB carries out leave the parent's rows alone in the log: that is all there is to read.
-- server: --innodb-native-foreign-keys=ON

CREATE TABLE parent (id INT PRIMARY KEY);
CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE loose (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON UPDATE CASCADE ON DELETE SET NULL);
INSERT INTO parent VALUES (1), (2);
-- {"op":"insert","table":"parent","key":{"id":1},"after":{"id":1}}
-- {"op":"insert","table":"parent","key":{"id":2},"after":{"id":2}}
INSERT INTO child VALUES (10, 1), (11, 1), (20, 2);
-- {"op":"insert","table":"child","key":{"id":10},"after":{"id":10,"p":1}}
-- {"op":"insert","table":"child","key":{"id":11},"after":{"id":11,"p":1}}
-- {"op":"insert","table":"child","key":{"id":20},"after":{"id":20,"p":2}}
INSERT INTO loose VALUES (100, 1);
-- {"op":"insert","table":"loose","key":{"id":100},"after":{"id":100,"p":1}}
UPDATE parent SET id = 5 WHERE id = 1;
-- {"op":"update","table":"parent","key":{"id":5},"before":{"id":1},"after":{"id":5},"changed":["id"]}
DELETE FROM parent WHERE id = 5;
-- {"op":"delete","table":"parent","key":{"id":5},"before":{"id":5}}
