-- Columns of different character sets in one row: the list of character sets must not shift.

CREATE TABLE t (
  id INT PRIMARY KEY, a VARCHAR(10) CHARACTER SET latin1, n INT, b VARCHAR(10) CHARACTER SET utf8mb4, c VARBINARY(10), d CHAR(10) CHARACTER SET utf16,
  e ENUM('é') CHARACTER SET latin1, f VARCHAR(10) CHARACTER SET ascii, j JSON, g TEXT CHARACTER SET latin1, h BINARY(2), i CHAR(5) CHARACTER SET ucs2, k BLOB
);
INSERT INTO t VALUES (1, 'é', 1, 'é', 'é', 'é', 'é', 'e', '"é"', 'é', 'e', 'é', 'é');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":"é","n":1,"b":"é","c":"w6k=","d":"é","e":"é","f":"e","j":"é","g":"é","h":"ZQA=","i":"é","k":"w6k="}}
UPDATE t SET g = 'ü', a = 'ü' WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"a":"é","n":1,"b":"é","c":"w6k=","d":"é","e":"é","f":"e","j":"é","g":"é","h":"ZQA=","i":"é","k":"w6k="},"after":{"id":1,"a":"ü","n":1,"b":"é","c":"w6k=","d":"é","e":"é","f":"e","j":"é","g":"ü","h":"ZQA=","i":"é","k":"w6k="},"changed":["a","g"]}
