-- DECIMAL is exact text with the column's scale; there is no negative zero.

CREATE TABLE t (id INT PRIMARY KEY, money DECIMAL(10,2), whole DECIMAL(10,0), fraction DECIMAL(5,5), one DECIMAL(1,0), u DECIMAL(9,3) UNSIGNED);
INSERT INTO t VALUES (1, 12.3, 10, 0.1, 9, 0.001);
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"money":"12.30","whole":"10","fraction":"0.10000","one":"9","u":"0.001"}}
INSERT INTO t VALUES (2, -99999999.99, -9999999999, -0.99999, -9, 999999.999);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"money":"-99999999.99","whole":"-9999999999","fraction":"-0.99999","one":"-9","u":"999999.999"}}
INSERT INTO t VALUES (3, 99999999.99, 9999999999, 0.99999, 1, 123456.789);
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"money":"99999999.99","whole":"9999999999","fraction":"0.99999","one":"1","u":"123456.789"}}
INSERT INTO t VALUES (4, 0, 0, 0, 0, 0);
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"money":"0.00","whole":"0","fraction":"0.00000","one":"0","u":"0.000"}}
INSERT INTO t VALUES (5, -0.00, -0, -0.0, -0, -0);
-- {"op":"insert","table":"t","key":{"id":5},"after":{"id":5,"money":"0.00","whole":"0","fraction":"0.00000","one":"0","u":"0.000"}}
INSERT INTO t VALUES (6, 0.01, 1, 0.00001, -1, 1);
-- {"op":"insert","table":"t","key":{"id":6},"after":{"id":6,"money":"0.01","whole":"1","fraction":"0.00001","one":"-1","u":"1.000"}}
INSERT INTO t VALUES (7, -0.01, -1, -0.00001, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":7},"after":{"id":7,"money":"-0.01","whole":"-1","fraction":"-0.00001","one":null,"u":null}}
UPDATE t SET money = money * 2 WHERE id = 1;
-- {"op":"update","table":"t","key":{"id":1},"before":{"id":1,"money":"12.30","whole":"10","fraction":"0.10000","one":"9","u":"0.001"},"after":{"id":1,"money":"24.60","whole":"10","fraction":"0.10000","one":"9","u":"0.001"},"changed":["money"]}
