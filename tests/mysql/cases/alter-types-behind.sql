-- Types, lengths and character sets that change between rows.
-- Read while the tables change further: what counts is how they were.

CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(10) CHARACTER SET latin1, n SMALLINT, e ENUM('a', 'b'), d DECIMAL(5,1));
INSERT INTO t VALUES (1, 'é', -1, 'b', 1.5);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"v":"é","n":-1,"e":"b","d":"1.5"}}
ALTER TABLE t MODIFY e ENUM('new', 'b', 'a');
INSERT INTO t VALUES (2, 'é', -2, 'b', 2.5);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"v":"é","n":-2,"e":"b","d":"2.5"}}
UPDATE t SET n = 7 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"v":"é","n":-1,"e":"b","d":"1.5"},"after":{"id":1,"v":"é","n":7,"e":"b","d":"1.5"},"changed":["n"]}
UPDATE t SET n = 8 WHERE n < 0;
-- {"op":"update","table":"t","key":{"id":2},"before":{"id":2,"v":"é","n":-2,"e":"b","d":"2.5"},"after":{"id":2,"v":"é","n":8,"e":"b","d":"2.5"},"changed":["n"]}
ALTER TABLE t MODIFY v VARCHAR(300) CHARACTER SET utf8mb4, MODIFY n BIGINT UNSIGNED, MODIFY d DECIMAL(10,3);
UPDATE t SET v = 'é中' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"v":"é","n":7,"e":"b","d":"1.500"},"after":{"id":1,"v":"é中","n":7,"e":"b","d":"1.500"},"changed":["v"]}
ALTER TABLE t MODIFY v TEXT CHARACTER SET utf16;
INSERT INTO t VALUES (3, '😀', 18446744073709551615, 'new', 3.125);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"v":"😀","n":18446744073709551615,"e":"new","d":"3.125"}}
