-- The Unicode character sets, in every order of bytes.

CREATE TABLE t (
  id INT PRIMARY KEY,
  u8 VARCHAR(20) CHARACTER SET utf8mb4, u83 VARCHAR(20) CHARACTER SET utf8mb3, ucs VARCHAR(20) CHARACTER SET ucs2,
  u16 VARCHAR(20) CHARACTER SET utf16, le VARCHAR(20) CHARACTER SET utf16le, u32 VARCHAR(20) CHARACTER SET utf32
);
INSERT INTO t VALUES (1, 'aé€中', 'aé€中', 'aé€中', 'aé€中', 'aé€中', 'aé€中');
-- {"op":"insert","table":"t","key":{"id":1},"after":{"id":1,"u8":"aé€中","u83":"aé€中","ucs":"aé€中","u16":"aé€中","le":"aé€中","u32":"aé€中"}}
INSERT INTO t VALUES (2, '😀', '\uFFFD', '￿', '😀', '😀', '😀');
-- {"op":"insert","table":"t","key":{"id":2},"after":{"id":2,"u8":"😀","u83":"uFFFD","ucs":"￿","u16":"😀","le":"😀","u32":"😀"}}
INSERT INTO t VALUES (3, '', '', '', '', '', '');
-- {"op":"insert","table":"t","key":{"id":3},"after":{"id":3,"u8":"","u83":"","ucs":"","u16":"","le":"","u32":""}}
CREATE TABLE c (id INT PRIMARY KEY, ucs CHAR(9) CHARACTER SET ucs2, u16 CHAR(9) CHARACTER SET utf16, le CHAR(9) CHARACTER SET utf16le, u32 CHAR(9) CHARACTER SET utf32, x TEXT CHARACTER SET utf16);
INSERT INTO c VALUES (1, 'a é ', 'a 😀 ', 'a 😀 ', 'a 😀 ', REPEAT('é', 300));
-- {"op":"insert","table":"c","key":{"id":1},"after":{"id":1,"ucs":"a é","u16":"a 😀","le":"a 😀","u32":"a 😀","x":"@repeat:é:300"}}
