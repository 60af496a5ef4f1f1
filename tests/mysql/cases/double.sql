-- DOUBLE: the shortest number that reads back the same.

CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE);
INSERT INTO t VALUES (1, 0.1), (2, -0.1), (3, 1), (4, 0), (5, 9007199254740993), (6, 1.0000000000000002);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"d":0.1}}
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"d":-0.1}}
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"d":1.0}}
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"d":0.0}}
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"d":9007199254740992.0}}
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"d":1.0000000000000002}}
INSERT INTO t VALUES (7, 1.7976931348623157e308), (8, -1.7976931348623157e308), (9, 2.2250738585072014e-308), (10, 5e-324);
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"d":1.7976931348623157e308}}
-- {"op":"insert","table":"t","key":{"id":8},"after":{"id":8,"d":-1.7976931348623157e308}}
-- {"op":"insert","table":"t","key":{"id":9},"after":{"id":9,"d":2.2250738585072014e-308}}
-- {"op":"insert","table":"t","key":{"id":10},"after":{"id":10,"d":5e-324}}
INSERT INTO t VALUES (11, 1e15), (12, 1e16), (13, 1e17), (14, 1e-5), (15, 123456789.123456789), (16, NULL), (17, -0e0);
-- {"op":"insert","table":"t","key":{"id":11},"after":{"id":11,"d":1000000000000000.0}}
-- {"op":"insert","table":"t","key":{"id":12},"after":{"id":12,"d":1e16}}
-- {"op":"insert","table":"t","key":{"id":13},"after":{"id":13,"d":1e17}}
-- {"op":"insert","table":"t","key":{"id":14},"after":{"id":14,"d":1e-5}}
-- {"op":"insert","table":"t","key":{"id":15},"after":{"id":15,"d":123456789.12345679}}
-- {"op":"insert","table":"t","key":{"id":16},"after":{"id":16,"d":null}}
-- {"op":"insert","table":"t","key":{"id":17},"after":{"id":17,"d":-0.0}}
CREATE TABLE u (id INT PRIMARY KEY, d DOUBLE(10,3), r REAL);
INSERT INTO u VALUES (1, 1234567.5678, 1e100);
-- {"op":"insert","table":"u","key":{"id":1},"after":{"id":1,"d":1234567.568,"r":1e100}}
