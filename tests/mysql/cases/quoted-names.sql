-- Names of tables and columns that need quotes, in SQL and in JSON.

CREATE TABLE `weird ``name"` (`select` INT PRIMARY KEY, `a b` INT, `é中` INT, `"quoted"` INT, `back\slash` INT, `it's` INT, `dot.ted` INT, `Mixed Case` INT, `{"op":"x"}` INT);
INSERT INTO `weird ``name"` VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9);
-- {"op":"insert","table":"weird `name\"","key":{"select":1},"after":{"select":1,"a b":2,"é中":3,"\"quoted\"":4,"back\\slash":5,"it's":6,"dot.ted":7,"Mixed Case":8,"{\"op\":\"x\"}":9}}
UPDATE `weird ``name"` SET `"quoted"` = 40, `back\slash` = 50;
-- {"op":"update","table":"weird `name\"","key":{"select":1},"before":{"select":1,"a b":2,"é中":3,"\"quoted\"":4,"back\\slash":5,"it's":6,"dot.ted":7,"Mixed Case":8,"{\"op\":\"x\"}":9},"after":{"select":1,"a b":2,"é中":3,"\"quoted\"":40,"back\\slash":50,"it's":6,"dot.ted":7,"Mixed Case":8,"{\"op\":\"x\"}":9},"changed":["\"quoted\"","back\\slash"]}
CREATE TABLE `tab\le.with.dots` (id INT PRIMARY KEY);
INSERT INTO `tab\le.with.dots` VALUES (1);
-- {"op":"insert","table":"tab\\le.with.dots","key":{"id":1},"after":{"id":1}}
CREATE TABLE `1` (`2` INT PRIMARY KEY);
INSERT INTO `1` VALUES (3);
-- {"op":"insert","table":"1","key":{"2":3},"after":{"2":3}}
SET SESSION sql_mode = 'ANSI_QUOTES';
CREATE TABLE "ansi ""t" ("c" INT PRIMARY KEY, "d" VARCHAR(9));
INSERT INTO "ansi ""t" VALUES (1, 'x');
-- {"op":"insert","table":"ansi \"t","key":{"c":1},"after":{"c":1,"d":"x"}}
