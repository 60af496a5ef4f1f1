-- VECTOR is an array of numbers in single precision.

CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(3), w VECTOR);
INSERT INTO t VALUES (1, STRING_TO_VECTOR('[1,2.5,-3]'), STRING_TO_VECTOR('[0.1]'));
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"v":[1,2.5,-3],"w":[0.1]}}
INSERT INTO t VALUES (2, STRING_TO_VECTOR('[0,0,0]'), STRING_TO_VECTOR('[1e10,-1e-10,16777216,3.4e38]'));
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"v":[0,0,0],"w":[10000000000,-0.0000000001,16777216,340000000000000000000000000000000000000]}}
INSERT INTO t VALUES (3, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"v":null,"w":null}}
UPDATE t SET v = STRING_TO_VECTOR('[7,8,9]') WHERE id = 3;
-- {"op":"update","table":"t","key":{"id":3},"before":{"id":3,"v":null,"w":null},"after":{"id":3,"v":[7,8,9],"w":null},"changed":["v"]}
