-- The longest names.

CREATE TABLE `ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt1` (`éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé` INT PRIMARY KEY, `中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中` INT);
INSERT INTO `ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt1` VALUES (1, 2);
-- {"op":"insert","table":"ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt1","key":{"éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé":1},"after":{"éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé":1,"中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中中":2}}
