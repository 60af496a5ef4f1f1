-- DATE from year 0 to 9999, with leap days.

CREATE TABLE t (d DATE PRIMARY KEY);
INSERT INTO t VALUES ('2026-11-20'), ('2024-02-29'), ('1970-01-01'), ('9999-12-31'), ('1000-01-01'), ('0001-01-01'), ('1900-03-01');
-- {"op":"insert","table":"t","key":{"d":"2026-11-20"},"after":{"d":"2026-11-20"}}
-- {"op":"insert","table":"t","key":{"d":"2024-02-29"},"after":{"d":"2024-02-29"}}
-- {"op":"insert","table":"t","key":{"d":"1970-01-01"},"after":{"d":"1970-01-01"}}
-- {"op":"insert","table":"t","key":{"d":"9999-12-31"},"after":{"d":"9999-12-31"}}
-- {"op":"insert","table":"t","key":{"d":"1000-01-01"},"after":{"d":"1000-01-01"}}
-- {"op":"insert","table":"t","key":{"d":"0001-01-01"},"after":{"d":"0001-01-01"}}
-- {"op":"insert","table":"t","key":{"d":"1900-03-01"},"after":{"d":"1900-03-01"}}
