-- Labels stand in the log in the column's own character set.

CREATE TABLE t (
  id INT PRIMARY KEY, l ENUM('é', 'ü') CHARACTER SET latin1, u ENUM('é', '中') CHARACTER SET utf16, m ENUM('é', '中') CHARACTER SET utf8mb4,
  ls SET('é', 'ü') CHARACTER SET latin1, us SET('é', '中') CHARACTER SET ucs2, ms SET('é', '中') CHARACTER SET utf8mb4
);
INSERT INTO t VALUES (1, 'é', '中', '中', 'é,ü', '中', 'é,中');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"l":"é","u":"中","m":"中","ls":["é","ü"],"us":["中"],"ms":["é","中"]}}
INSERT INTO t VALUES (2, 'ü', 'é', 'é', '', 'é,中', '');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"l":"ü","u":"é","m":"é","ls":[],"us":["é","中"],"ms":[]}}
