-- FLOAT: the shortest number that reads back the same in single precision, which is more exact than SELECT's six digits.

CREATE TABLE t (id INT PRIMARY KEY, f FLOAT);
INSERT INTO t VALUES (1, 0.1), (2, -0.1), (3, 1), (4, 0), (5, 16777216), (6, 123456.789);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"f":0.1}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"f":-0.1}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"f":1.0}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"f":0.0}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"f":16777216.0}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"f":123456.79}}
INSERT INTO t VALUES (7, 3.4028234e38), (8, -3.4028234e38), (9, 1.17549435e-38), (10, 1e-45);
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"f":3.4028235e38}}
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"f":-3.4028235e38}}
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"f":1.1754944e-38}}
-- {"op":"insert","table":"t","key":{"id":10},"after":{"id":10,"f":1e-45}}
INSERT INTO t VALUES (11, 1e10), (12, 1e20), (13, 0.0001), (14, 1e-5), (15, NULL), (16, -0e0);
-- {"op":"insert","table":"t","key":{"id":11},"after":{"id":11,"f":10000000000.0}}
-- {"op":"insert","table":"t","key":{"id":12},"after":{"id":12,"f":1e20}}
-- {"op":"insert","table":"t","key":{"id":13},"after":{"id":13,"f":0.0001}}
-- {"op":"insert","table":"t","key":{"id":14},"after":{"id":14,"f":1e-5}}
-- {"op":"insert","table":"t","key":{"id":15},"after":{"id":15,"f":null}}
-- {"op":"insert","table":"t","key":{"id":16},"after":{"id":16,"f":-0.0}}
CREATE TABLE u (id INT PRIMARY KEY, f FLOAT(7,3), s FLOAT UNSIGNED);
INSERT INTO u VALUES (1, 1234.5678, 2.5);
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"f":1234.568,"s":2.5}}
