"""Values that readers trip over."""

from typing import Final

NUMBERS: Final = (
    "0", "-0", "-1", "1", "2", "255", "256", "-32769", "32767", "65536", "2147483648", "-9223372036854775809",
    "18446744073709551616", "9" * 30, "9" * 400, "9" * 5000, "0.0", "-0.0", "1e-320", "1e308", "1e309", "-1e999",
    "1.5", "0.1", "1e5", "NaN", "Infinity", "-Infinity",
)  # fmt: skip
TEXTS: Final = (
    "", " ", "a", "\u0000", "\u001b[31m", "\u202e", "\ud800", "\udfff", "\uffff", "\U0001f9ea", "é", "ﬁ", "\u2028",
    "../../../etc/passwd", "/dev/zero", "CON", "a/b", "a\\b", "-h", "--", "{{7*7}}", "<script>", "%s%n", "${x}",
    "task1", "near", "test_ood", "GFN2-xTB", "zero", "null", "nan", "1_0", "１", "x" * 300, "y" * 70_000,
    "2026-02-30", "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59", "a\nb", "a\r\nb", "`|*", "C" * 150, "[*]" * 40,
    "C1CC", "[U+92]", "c1ccccc1" * 30, "0" * 64, "a" * 40,
)  # fmt: skip
YAML: Final = (
    "&a", "*a", "*missing", "&a [*a]", "!!python/object/apply:os.system [id]", '!!int ""', "!!float x", "!!binary ÿ",
    "!!timestamp 2026-99-99", "!!set {a, b}", "!!omap [a: 1]", "!!merge <<", "<<: *a", "? [a, b]\n: c", "|", ">-",
    "---",
    "...", "%YAML 9.9", "%TAG ! tag:x,2000:", "@", "`", "\t", "{a: 1, a: 2}", "{[a]: 1}", "0o17", "0x1f", "0b11",
    "1:30:00", "~", "yes", "off", ".nan", ".inf", "2026-01-01", "2026-01-01t00:00:00+99:99", "!!null x", "!<x> y",
    "[" * 2000, "{a: " * 1500, "- " * 2000, "!!bool maybe", "1_000", "12e03", "=",
)  # fmt: skip
TOML: Final = (
    "0x1f", "1_000", "+inf", "-nan", "1979-05-27T07:32:00Z", "07:32:00", "'''", '"""', '"\\ud800"', '"\\u0000"',
    "0x" + "f" * 5000, "[" * 5000, "{a = " * 2000, "[[x]]", "a.b.c = 1", "9" * 5000, "[]", "{}", "true", "1979-13-99",
)  # fmt: skip
LINES: Final = (
    "", " ", "0", "3", "-1", "100001", "999999999", 'Lattice="1 0 0 0 1 0 0 0 1"', "Properties=species:S:1:pos:R:3",
    "Properties=pos:R:9999:species:S:1", 'a="_JSON [[[[1]]]]"', "a=_JSON " + "[" * 3000, 'energy="1 2 3"', "energy=nan",
    "energy=1e999", "energy=_JSON 1" + "0" * 5000, "H nan 0 0", "Xx 0 0 0", "H 1_0 0 0", "H 1e400 0 0", "charge=-9e99",
    "spin=[1,2]", "stress=1", 'pbc="T F"', "x" * 2000, "\x00", "\xff", "\xed\xb3\xbf",
)  # fmt: skip
BYTES: Final = (
    b"", b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\x00" * 64, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x80" * 9,
    b"\x01\x00\x00\x00\x00\x00\x00\x80", b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b"SQLite format 3\x00", b"\n", b"\r",
    b"{",
    b"[" * 3000, b"\x80\x04\x95", b"\xed\xa0\x80",
)  # fmt: skip
