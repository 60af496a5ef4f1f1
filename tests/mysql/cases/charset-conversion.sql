-- What the client sends is converted by the server; what cannot be is a question mark in the table already.

SET NAMES latin1;
CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET ascii, l VARCHAR(20) CHARACTER SET latin1, u VARCHAR(20) CHARACTER SET utf8mb4);
INSERT INTO t VALUES (1, _utf8mb4 0xC3A9, _utf8mb4 0xE4B8AD, _latin1 0xE9);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"a":"?","l":"?","u":"é"}}
SET NAMES utf8mb4;
INSERT INTO t VALUES (2, 'é', '中', 'é中');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"a":"?","l":"?","u":"é中"}}
