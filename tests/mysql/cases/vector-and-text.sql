-- The server counts VECTOR among the columns with a character set; columns to its right must keep theirs.

CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(1), l VARCHAR(10) CHARACTER SET latin1, w VECTOR(1), u VARCHAR(10) CHARACTER SET utf8mb4, b BINARY(2), x TEXT CHARACTER SET utf16);
INSERT INTO t VALUES (1, STRING_TO_VECTOR('[1]'), 'é', STRING_TO_VECTOR('[2]'), 'é', 'a', 'é');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"v":[1],"l":"é","w":[2],"u":"é","b":"YQA=","x":"é"}}
CREATE TABLE u (id INT PRIMARY KEY, v VECTOR(1), s VARCHAR(10), w VECTOR(1), e ENUM('é'));
INSERT INTO u VALUES (1, STRING_TO_VECTOR('[1]'), 'é', NULL, 'é');
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"v":[1],"s":"é","w":null,"e":"é"}}
