-- The East Asian character sets, with codes whose second byte is a backslash and the four-byte codes of gb18030.

CREATE TABLE gbk (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET gbk, c CHAR(9) CHARACTER SET gbk, x TEXT CHARACTER SET gbk, e ENUM('a', '中文') CHARACTER SET gbk);
INSERT INTO gbk VALUES (1, 'a中文', 'a中文  ', REPEAT('a中文', 2), '中文');
-- {"op":"insert","table":"gbk","key":{"id":1},"after":{"id":1,"v":"a中文","c":"a中文","x":"a中文a中文","e":"中文"}}
INSERT INTO gbk VALUES (2, 'a啊齄', 'a啊齄  ', REPEAT('a啊齄', 2), '中文');
-- {"op":"insert","table":"gbk","key":{"id":2},"after":{"id":2,"v":"a啊齄","c":"a啊齄","x":"a啊齄a啊齄","e":"中文"}}
INSERT INTO gbk VALUES (3, 'aａ', 'aａ  ', REPEAT('aａ', 2), '中文');
-- {"op":"insert","table":"gbk","key":{"id":3},"after":{"id":3,"v":"aａ","c":"aａ","x":"aａaａ","e":"中文"}}
INSERT INTO gbk VALUES (4, 'a丂狛', 'a丂狛  ', REPEAT('a丂狛', 2), '中文');
-- {"op":"insert","table":"gbk","key":{"id":4},"after":{"id":4,"v":"a丂狛","c":"a丂狛","x":"a丂狛a丂狛","e":"中文"}}
CREATE TABLE gb2312 (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET gb2312, c CHAR(9) CHARACTER SET gb2312, x TEXT CHARACTER SET gb2312, e ENUM('a', '中文') CHARACTER SET gb2312);
INSERT INTO gb2312 VALUES (1, 'a中文', 'a中文  ', REPEAT('a中文', 2), '中文');
-- {"op":"insert","table":"gb2312","key":{"id":1},"after":{"id":1,"v":"a中文","c":"a中文","x":"a中文a中文","e":"中文"}}
INSERT INTO gb2312 VALUES (2, 'a啊', 'a啊  ', REPEAT('a啊', 2), '中文');
-- {"op":"insert","table":"gb2312","key":{"id":2},"after":{"id":2,"v":"a啊","c":"a啊","x":"a啊a啊","e":"中文"}}
CREATE TABLE gb18030 (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET gb18030, c CHAR(9) CHARACTER SET gb18030, x TEXT CHARACTER SET gb18030, e ENUM('a', '中文') CHARACTER SET gb18030);
INSERT INTO gb18030 VALUES (1, 'a中文', 'a中文  ', REPEAT('a中文', 2), '中文');
-- {"op":"insert","table":"gb18030","key":{"id":1},"after":{"id":1,"v":"a中文","c":"a中文","x":"a中文a中文","e":"中文"}}
INSERT INTO gb18030 VALUES (2, 'a😀', 'a😀  ', REPEAT('a😀', 2), '中文');
-- {"op":"insert","table":"gb18030","key":{"id":2},"after":{"id":2,"v":"a😀","c":"a😀","x":"a😀a😀","e":"中文"}}
INSERT INTO gb18030 VALUES (3, 'aé', 'aé  ', REPEAT('aé', 2), '中文');
-- {"op":"insert","table":"gb18030","key":{"id":3},"after":{"id":3,"v":"aé","c":"aé","x":"aéaé","e":"中文"}}
INSERT INTO gb18030 VALUES (4, 'a㐀', 'a㐀  ', REPEAT('a㐀', 2), '中文');
-- {"op":"insert","table":"gb18030","key":{"id":4},"after":{"id":4,"v":"a㐀","c":"a㐀","x":"a㐀a㐀","e":"中文"}}
CREATE TABLE big5 (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET big5, c CHAR(9) CHARACTER SET big5, x TEXT CHARACTER SET big5, e ENUM('a', '中文') CHARACTER SET big5);
INSERT INTO big5 VALUES (1, 'a中文', 'a中文  ', REPEAT('a中文', 2), '中文');
-- {"op":"insert","table":"big5","key":{"id":1},"after":{"id":1,"v":"a中文","c":"a中文","x":"a中文a中文","e":"中文"}}
INSERT INTO big5 VALUES (2, 'a許功蓋', 'a許功蓋  ', REPEAT('a許功蓋', 2), '中文');
-- {"op":"insert","table":"big5","key":{"id":2},"after":{"id":2,"v":"a許功蓋","c":"a許功蓋","x":"a許功蓋a許功蓋","e":"中文"}}
CREATE TABLE sjis (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET sjis, c CHAR(9) CHARACTER SET sjis, x TEXT CHARACTER SET sjis, e ENUM('a', '日本語') CHARACTER SET sjis);
INSERT INTO sjis VALUES (1, 'a日本語', 'a日本語  ', REPEAT('a日本語', 2), '日本語');
-- {"op":"insert","table":"sjis","key":{"id":1},"after":{"id":1,"v":"a日本語","c":"a日本語","x":"a日本語a日本語","e":"日本語"}}
INSERT INTO sjis VALUES (2, 'aｶﾅ', 'aｶﾅ  ', REPEAT('aｶﾅ', 2), '日本語');
-- {"op":"insert","table":"sjis","key":{"id":2},"after":{"id":2,"v":"aｶﾅ","c":"aｶﾅ","x":"aｶﾅaｶﾅ","e":"日本語"}}
INSERT INTO sjis VALUES (3, 'a表示', 'a表示  ', REPEAT('a表示', 2), '日本語');
-- {"op":"insert","table":"sjis","key":{"id":3},"after":{"id":3,"v":"a表示","c":"a表示","x":"a表示a表示","e":"日本語"}}
CREATE TABLE cp932 (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET cp932, c CHAR(9) CHARACTER SET cp932, x TEXT CHARACTER SET cp932, e ENUM('a', '日本語') CHARACTER SET cp932);
INSERT INTO cp932 VALUES (1, 'a日本語', 'a日本語  ', REPEAT('a日本語', 2), '日本語');
-- {"op":"insert","table":"cp932","key":{"id":1},"after":{"id":1,"v":"a日本語","c":"a日本語","x":"a日本語a日本語","e":"日本語"}}
INSERT INTO cp932 VALUES (2, 'a①髙﨑', 'a①髙﨑  ', REPEAT('a①髙﨑', 2), '日本語');
-- {"op":"insert","table":"cp932","key":{"id":2},"after":{"id":2,"v":"a①髙﨑","c":"a①髙﨑","x":"a①髙﨑a①髙﨑","e":"日本語"}}
INSERT INTO cp932 VALUES (3, 'a表示', 'a表示  ', REPEAT('a表示', 2), '日本語');
-- {"op":"insert","table":"cp932","key":{"id":3},"after":{"id":3,"v":"a表示","c":"a表示","x":"a表示a表示","e":"日本語"}}
CREATE TABLE ujis (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET ujis, c CHAR(9) CHARACTER SET ujis, x TEXT CHARACTER SET ujis, e ENUM('a', '日本語') CHARACTER SET ujis);
INSERT INTO ujis VALUES (1, 'a日本語', 'a日本語  ', REPEAT('a日本語', 2), '日本語');
-- {"op":"insert","table":"ujis","key":{"id":1},"after":{"id":1,"v":"a日本語","c":"a日本語","x":"a日本語a日本語","e":"日本語"}}
INSERT INTO ujis VALUES (2, 'aｶﾅ', 'aｶﾅ  ', REPEAT('aｶﾅ', 2), '日本語');
-- {"op":"insert","table":"ujis","key":{"id":2},"after":{"id":2,"v":"aｶﾅ","c":"aｶﾅ","x":"aｶﾅaｶﾅ","e":"日本語"}}
INSERT INTO ujis VALUES (3, 'a丂', 'a丂  ', REPEAT('a丂', 2), '日本語');
-- {"op":"insert","table":"ujis","key":{"id":3},"after":{"id":3,"v":"a丂","c":"a丂","x":"a丂a丂","e":"日本語"}}
CREATE TABLE eucjpms (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET eucjpms, c CHAR(9) CHARACTER SET eucjpms, x TEXT CHARACTER SET eucjpms, e ENUM('a', '日本語') CHARACTER SET eucjpms);
INSERT INTO eucjpms VALUES (1, 'a日本語', 'a日本語  ', REPEAT('a日本語', 2), '日本語');
-- {"op":"insert","table":"eucjpms","key":{"id":1},"after":{"id":1,"v":"a日本語","c":"a日本語","x":"a日本語a日本語","e":"日本語"}}
INSERT INTO eucjpms VALUES (2, 'a①', 'a①  ', REPEAT('a①', 2), '日本語');
-- {"op":"insert","table":"eucjpms","key":{"id":2},"after":{"id":2,"v":"a①","c":"a①","x":"a①a①","e":"日本語"}}
INSERT INTO eucjpms VALUES (3, 'aｶﾅ', 'aｶﾅ  ', REPEAT('aｶﾅ', 2), '日本語');
-- {"op":"insert","table":"eucjpms","key":{"id":3},"after":{"id":3,"v":"aｶﾅ","c":"aｶﾅ","x":"aｶﾅaｶﾅ","e":"日本語"}}
CREATE TABLE euckr (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET euckr, c CHAR(9) CHARACTER SET euckr, x TEXT CHARACTER SET euckr, e ENUM('a', '한국어') CHARACTER SET euckr);
INSERT INTO euckr VALUES (1, 'a한국어', 'a한국어  ', REPEAT('a한국어', 2), '한국어');
-- {"op":"insert","table":"euckr","key":{"id":1},"after":{"id":1,"v":"a한국어","c":"a한국어","x":"a한국어a한국어","e":"한국어"}}
INSERT INTO euckr VALUES (2, 'a가힝', 'a가힝  ', REPEAT('a가힝', 2), '한국어');
-- {"op":"insert","table":"euckr","key":{"id":2},"after":{"id":2,"v":"a가힝","c":"a가힝","x":"a가힝a가힝","e":"한국어"}}
