-- Zero dates and dates with zero parts are data, and stay what they are. An invalid date becomes the zero date.

CREATE TABLE t (id INT PRIMARY KEY, d DATE, dt DATETIME, dt3 DATETIME(3), dt6 DATETIME(6), ts TIMESTAMP NULL, ts1 TIMESTAMP(1) NULL);
INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00', '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"d":"0000-00-00","dt":"0000-00-00T00:00:00","dt3":"0000-00-00T00:00:00.000","dt6":"0000-00-00T00:00:00.000000","ts":"0000-00-00T00:00:00Z","ts1":"0000-00-00T00:00:00.0Z"}}
INSERT INTO t VALUES (2, '2026-00-00', '2026-00-00 00:00:00', '2026-11-00', '0000-11-20 01:02:03.000004', NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"d":"2026-00-00","dt":"2026-00-00T00:00:00","dt3":"2026-11-00T00:00:00.000","dt6":"0000-11-20T01:02:03.000004","ts":null,"ts1":null}}
INSERT INTO t VALUES (3, '2026-02-30', '2026-13-01', '2026-01-01 25:00:00', 'x', 'x', '2026-02-30');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"d":"0000-00-00","dt":"0000-00-00T00:00:00","dt3":"0000-00-00T00:00:00.000","dt6":"0000-00-00T00:00:00.000000","ts":"0000-00-00T00:00:00Z","ts1":"0000-00-00T00:00:00.0Z"}}
SET SESSION sql_mode = 'ALLOW_INVALID_DATES';
INSERT INTO t VALUES (4, '2026-02-31', '2026-04-31 01:02:03', NULL, NULL, NULL, NULL);
-- {"op":"insert","table":"t","key":{"id":4},"after":{"id":4,"d":"2026-02-31","dt":"2026-04-31T01:02:03","dt3":null,"dt6":null,"ts":null,"ts1":null}}
