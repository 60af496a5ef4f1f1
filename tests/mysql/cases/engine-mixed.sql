-- InnoDB and MyISAM together: with GTIDs the server refuses to change both in one transaction.

CREATE TABLE i (id INT PRIMARY KEY);
CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM;
BEGIN;
INSERT INTO i VALUES (1);
INSERT INTO m VALUES (2);
-- fails
COMMIT;
-- {"op":"insert","table":"i","key":{"id":1},"after":{"id":1}}
INSERT INTO m VALUES (3);
-- {"op":"insert","table":"m","key":{"id":3},"after":{"id":3}}
INSERT INTO m SELECT id + 10 FROM i;
-- {"op":"insert","table":"m","key":{"id":11},"after":{"id":11}}
