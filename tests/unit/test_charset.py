"""Charsets: what is believed of labels, what of the bytes, and how well unlabelled bytes are guessed."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections import Counter

import pytest
import webencodings
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import PermanentError
from ingest.extract.charset import decode
from ingest.extract.document import extract
from ingest.extract.web_encodings import declared_encodings, decoded, encoding_named
from tests.unit.charset_samples import FAMILIES, SENTENCES, encoded, samples

GERMAN = "Die Überfahrt zur Größeninsel kostet für Schüler fünf Euro."
RUSSIAN = " ".join(SENTENCES["ru"])
JAPANESE = " ".join(SENTENCES["ja"])


def text_of(body: bytes, charset: str | None = None, *, markup: bool = False, url: str = "") -> str:
    return decode(body, charset=charset, markup=markup, url=url)


def refusal(body: bytes, charset: str | None = None) -> str:
    with pytest.raises(PermanentError) as caught:
        text_of(body, charset)
    return caught.value.reason


class TestLabels:
    @pytest.mark.parametrize(
        ("label", "encoding"),
        [
            ("x-cp1252", "windows-1252"),
            ("ISO88591", "windows-1252"),
            ("latin1", "windows-1252"),
            ("us-ascii", "windows-1252"),
            (" 'ansi_x3.4-1968' ", "windows-1252"),
            ("iso-8859-9", "windows-1254"),
            ("x-sjis", "shift_jis"),
            ("windows-31j", "shift_jis"),
            ("windows-874", "windows-874"),
            ("tis-620", "windows-874"),
            ("iso-8859-8-i", "iso-8859-8"),
            ("unicode-1-1-utf-8", "utf-8"),
            ("csisolatin2", "iso-8859-2"),
            ("ks_c_5601-1987", "euc-kr"),
            ("x-gbk", "gb18030"),
            ("big5-hkscs", "big5"),
            ("x-mac-ukrainian", "x-mac-cyrillic"),
            ("x-user-defined", "windows-1252"),
            ("hz-gb-2312", "replacement"),
        ],
    )
    def test_a_label_of_the_standard(self, label: str, encoding: str) -> None:
        assert encoding_named(label) == encoding

    @pytest.mark.parametrize(
        "label",
        ["unicode_escape", "raw_unicode_escape", "idna", "punycode", "utf-7", "utf_7", "cp775", "cp437", "rot13", "hex", "base64",
         "mbcs", "undefined", "utf-32", "utf-8-sig", "cp1252\0", "ütf-8", "", None],
    )  # fmt: skip
    def test_what_only_python_knows_names_nothing(self, label: str | None) -> None:
        assert encoding_named(label) is None
        assert text_of(rb"C:\u0041 +AGE-", label) == r"C:\u0041 +AGE-"
        assert text_of(GERMAN.encode(), label) == GERMAN

    @pytest.mark.parametrize("encoding", sorted(set(webencodings.labels.LABELS.values()) - {"replacement"}))
    def test_each_encoding_is_decoded(self, encoding: str) -> None:
        name = encoding_named(encoding)
        assert name is not None
        ascii_text = "Quay 7: open from 8 to 5."
        body = ascii_text.encode(encoding) if encoding.startswith("utf-16") else ascii_text.encode()
        assert decoded(body, name) == ascii_text

    @pytest.mark.parametrize(
        ("charset", "text"),
        [
            ("x-cp1252", GERMAN),
            ("windows-1251", RUSSIAN),
            ("koi8-r", RUSSIAN),
            ("cp866", RUSSIAN),
            ("x-mac-cyrillic", "Порт открыт"),
            ("x-sjis", JAPANESE),
            ("x-euc-jp", JAPANESE),
            ("ks_c_5601-1987", SENTENCES["ko"][0]),
            ("dos-874", SENTENCES["th"][0]),
            ("big5", SENTENCES["zh-hant"][1]),
            ("gb2312", SENTENCES["zh-hans"][1]),
            ("macintosh", GERMAN),
        ],
    )
    def test_a_labelled_page(self, charset: str, text: str) -> None:
        label = encoding_named(charset)
        codec = {"macintosh": "mac-roman", "x-mac-cyrillic": "mac-cyrillic", "ibm866": "cp866", "gb18030": "gbk"}.get(
            str(label), str(label)
        )
        assert text_of(encoded(text, codec), charset) == text

    def test_signs_that_one_codec_of_python_lacks(self) -> None:
        assert text_of("第①章".encode("euc_jis_2004"), "euc-jp") == "第①章"
        assert text_of("ｶﾀｶﾅと漢字".encode("iso2022_jp_ext"), "iso-2022-jp") == "ｶﾀｶﾅと漢字"

    @pytest.mark.parametrize(
        ("charset", "body", "text"),
        [
            ("iso-8859-1", b"\x93It\x92s 5 \x80\x94", "“It’s 5 €”"),
            ("iso-8859-15", b"\x93It\x92s 5 \xa4\x94", "“It’s 5 €”"),
            ("iso-8859-2", b"\x84Z\xb1b\x94 \x96 \xb6ci\xea\xbfki", "„Ząb” – ściężki"),
            ("iso-8859-2", b"\x8akoln\xed \x9e\xe1ci", "Školní žáci"),
            ("iso-8859-2", "Škola má ľudí".encode("cp1250"), "Škola má ľudí"),
        ],
    )
    def test_windows_characters_under_an_iso_label(self, charset: str, body: bytes, text: str) -> None:
        assert text_of(body, charset) == text

    def test_an_encoding_that_must_not_be_decoded(self) -> None:
        assert refusal(SENTENCES["ko"][0].encode("iso2022_kr"), "iso-2022-kr") == "unsupported_charset"
        assert refusal("港口每天开放。".encode("hz"), "hz-gb-2312") == "unsupported_charset"
        assert text_of(b"Plain words.", "iso-2022-kr") == "Plain words."
        assert text_of(GERMAN.encode(), "iso-2022-kr") == GERMAN


class TestUtf8AgainstAClaim:
    @pytest.mark.parametrize(
        "charset",
        ["iso-8859-1", "windows-1252", "windows-1250", "koi8-r", "gb2312", "gb18030", "big5", "shift_jis", "euc-kr", "utf-16"],
    )
    @pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE, "“It’s open” – daily…"])
    def test_utf_8_is_utf_8_whatever_it_is_called(self, charset: str, text: str) -> None:
        assert text_of(text.encode(), charset) == text
        page = f"<meta charset={charset}><p>{text}</p>"
        assert text in text_of(page.encode(), "iso-8859-1", markup=True)

    @pytest.mark.parametrize("text", ["Das Café am Kai", "Überfahrt", "It’s open", "5 €", "naïve"])
    def test_one_character_beyond_ascii(self, text: str) -> None:
        assert text_of(text.encode(), "iso-8859-1") == text
        assert text_of(text.encode("cp1252"), "iso-8859-1") == text
        assert text_of(text.encode("cp1252"), "utf-8") == text

    def test_a_capital_before_a_quotation_mark_is_not_utf_8(self) -> None:
        assert text_of("«LE CAFÉ» ouvre".encode("cp1252"), "windows-1252") == "«LE CAFÉ» ouvre"
        assert text_of("Le CAFÉ» ouvre".encode("cp1252"), "windows-1252") == "Le CAFÉ» ouvre"

    def test_some_pairs_of_gb18030_are_valid_utf_8(self) -> None:
        body = bytes.fromhex("c4a3 d6b3")
        assert body.decode()
        assert text_of(body, "gb2312") == body.decode("gb18030")

    @pytest.mark.parametrize("charset", ["gb2312", "big5", "shift_jis", "euc-kr", "euc-jp"])
    @pytest.mark.parametrize("text", ["De reünies en de coördinatie", "Señor Núñez", "le café, là-bas"])
    def test_two_accents_in_latin_words_under_an_east_asian_label(self, charset: str, text: str) -> None:
        assert text_of(text.encode(), charset) == text

    def test_a_stray_bad_byte_does_not_turn_the_page_over(self) -> None:
        body = (GERMAN * 3).encode() + b" \xe9t\xe9 " + (GERMAN * 3).encode()
        for charset in (None, "utf-8", "iso-8859-1"):
            assert text_of(body, charset).count(GERMAN) == 6

    def test_a_cut_last_character(self) -> None:
        assert text_of((GERMAN + "ü").encode()[:-1], "iso-8859-1") == GERMAN


class TestOrder:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
    def test_a_byte_order_mark_is_believed_first(self, encoding: str) -> None:
        mark = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}[encoding]
        assert text_of(mark + GERMAN.encode(encoding), "koi8-r") == GERMAN

    @pytest.mark.parametrize("charset", [None, "utf-8", "utf-16", "utf-16le"])
    def test_utf_16_without_a_mark(self, charset: str | None) -> None:
        for text in (GERMAN, RUSSIAN, f"<p>{JAPANESE}</p>"):
            assert text_of(text.encode("utf-16-le"), charset) == text
        assert text_of(GERMAN.encode("utf-16-be"), charset) == GERMAN

    def test_a_utf_16_label_on_single_bytes(self) -> None:
        assert text_of(GERMAN.encode("cp1252"), "utf-16") == GERMAN

    @pytest.mark.parametrize(
        ("head", "encoding"),
        [
            (b"<meta charset=koi8-r>", "koi8-r"),
            (b"<META CHARSET = 'KOI8-R' />", "koi8-r"),
            (b"<meta name=viewport content=x><meta charset=koi8-r>", "koi8-r"),
            (b"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>", "koi8-r"),
            (b"<meta content='text/html;charset=koi8-r' http-equiv='content-type'>", "koi8-r"),
            (b"<!-- <meta charset=big5> --><meta charset=koi8-r>", "koi8-r"),
            (b"<!-- <meta charset=big5>", None),
            (b"<meta charset=no-such><meta charset=koi8-r>", "koi8-r"),
            (b"<meta charset=utf-16>", "utf-8"),
            (b"<meta charset=unicode_escape>", None),
            (b"<meta name=description content='the charset=big5 of old'><meta charset=koi8-r>", "koi8-r"),
            (b"<script charset=big5></script>", None),
            (b"<metadata charset=big5>", None),
            (b"<?xml version='1.0' encoding='koi8-r'?><html>", "koi8-r"),
            (b"<?xml version='1.0' encoding='big5'?><html><meta charset=koi8-r>", "koi8-r"),
            (b"<script>" + b"x" * 30_000 + b"</script><meta charset=koi8-r>", "koi8-r"),
            (b"<p>charset=big5", None),
        ],
    )
    def test_what_a_document_declares(self, head: bytes, encoding: str | None) -> None:
        assert next(iter(declared_encodings(head)), None) == encoding

    def test_where_header_and_document_disagree_the_bytes_decide(self) -> None:
        page = f"<meta charset=windows-1251><p>{RUSSIAN}</p>"
        assert RUSSIAN in text_of(page.encode("cp1251"), "iso-8859-1", markup=True)
        page = f"<meta charset=iso-8859-1><p>{RUSSIAN}</p>"
        assert RUSSIAN in text_of(page.encode("koi8-r"), "koi8-r", markup=True)

    def test_a_guess_beside_both_claims_decides_for_the_nearer_one(self) -> None:
        russian = "Порт открыт ежедневно, кроме воскресенья. Пришлите форму в контору."
        hungarian = "A kikötő minden nap nyitva van, kivéve vasárnap. Küldje el a zöld űrlapot, hétfőtől."
        for text, encoding in ((russian, "koi8-r"), (hungarian, "windows-1250")):
            page = f"<meta charset={encoding}><p>{text}</p>"
            assert text in text_of(page.encode(encoding), "iso-8859-1", markup=True)

    @pytest.mark.parametrize("charset", [None, "utf-8", "iso-8859-1", "shift_jis", "us-ascii"])
    def test_shifted_bytes_are_iso_2022_jp_whatever_they_are_called(self, charset: str | None) -> None:
        assert text_of(JAPANESE.encode("iso2022_jp"), charset) == JAPANESE

    def test_colours_of_a_terminal_are_no_shifts(self) -> None:
        log = "\x1b[31mred\x1b[0m and plain text"
        assert text_of(log.encode(), "utf-8") == log

    @pytest.mark.parametrize(
        ("language", "encoding"),
        [("ru", "windows-1251"), ("uk", "koi8-u"), ("el", "iso-8859-7"), ("he", "windows-1255"), ("ar", "windows-1256"),
         ("th", "windows-874"), ("ja", "shift_jis"), ("ja", "euc-jp"), ("zh-hans", "gbk"), ("zh-hant", "big5"), ("ko", "euc-kr")],
    )  # fmt: skip
    def test_a_default_label_on_another_script(self, language: str, encoding: str) -> None:
        text = " ".join(SENTENCES[language])
        page = f"<!doctype html><title>Harbour</title><body class=page><p>{text}</p>"
        assert text in text_of(encoded(page, encoding), "iso-8859-1", markup=True)
        assert text_of(encoded(text, encoding), "windows-1252") == text

    @pytest.mark.parametrize("language", ["fr", "pt", "de", "fi", "is", "es"])
    def test_a_label_is_believed_of_the_latin_script(self, language: str) -> None:
        for text in (*SENTENCES[language], "——— " * 20, "É", "À É È", "Öl", "½ £ ° §", "ÄÖÜ äöü ß"):
            assert text_of(text.encode("cp1252"), "iso-8859-1") == text
        polish = SENTENCES["pl"][1]
        assert text_of(polish.encode("cp1250"), "windows-1250") == polish

    def test_a_document_that_declares_too_much_takes_no_time(self) -> None:
        for piece in (b"<meta ", b"<!--", b"<meta charset=", b"<meta content=charset ", b"<?xml ", b"<meta>"):
            started_s = time.perf_counter()
            text_of(piece * (1_000_000 // len(piece)), markup=True)
            assert time.perf_counter() - started_s < 1


class TestGuess:
    # Shares that must be right: all paragraphs, and of single sentences nearly all. Measured: all of both.
    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize(("whole", "floor"), [(True, 1.0), (False, 0.9)])
    def test_each_family_of_languages(self, family: str, whole: bool, floor: float) -> None:
        told = Counter(text_of(sample.body) == sample.text for sample in samples(whole=whole) if sample.family == family)
        assert told[True] >= floor * told.total()

    @pytest.mark.parametrize(
        "text",
        [
            "The café opens at 8.",
            "It’s “open”…",
            "Fee: £5 (½ price for children)",
            "© 2004 Harbour Office",
            "Water at 25 °C ± 1, depth 3 m², µ = 4",
            "Caf\xe9",
            "CAFÉ DU PORT",
            "São Tomé",
            "Señor Núñez",
            "Motörhead",
            "Zürich",
            "manhã",
            "på",
            "però",
        ],
    )
    def test_little_to_go_by_is_windows_1252(self, text: str) -> None:
        for url in ("", "http://port.test/a", "http://127.0.0.1/"):
            assert text_of(text.encode("cp1252"), url=url) == text

    def test_the_letters_of_the_language_tell_its_two_encodings_apart(self) -> None:
        assert text_of("Czekają na kapitana.".encode("cp1250")) == "Czekają na kapitana."

    @pytest.mark.parametrize("encoding", ["windows-1257", "iso-8859-13"])
    def test_the_letters_of_the_baltic_languages_too(self, encoding: str) -> None:
        text = "Uostas atidarytas kiekvieną dieną, išskyrus sekmadienį. Prašome siųsti žalią formą į įstaigą."
        assert text_of(text.encode(encoding)) == text

    def test_few_chinese_characters_without_kana(self) -> None:
        assert text_of("联系我们".encode("gbk")) == "联系我们"
        assert text_of("お知らせ一覧".encode("euc_jp")) == "お知らせ一覧"
        assert text_of("東京都".encode("euc_jp"), url="https://port.jp/") == "東京都"

    @pytest.mark.parametrize(
        ("text", "encoding", "url"), [("łódź", "iso-8859-2", "https://port.pl/"), ("год", "cp1251", "http://a.ru/")]
    )
    def test_the_address_helps_where_the_text_is_too_short(self, text: str, encoding: str, url: str) -> None:
        assert text_of(text.encode(encoding), url=url) == text

    def test_accents_after_much_ascii(self) -> None:
        page = b"<!-- " + b"x " * 400_000 + b"-->" + "<p>O farol não abre de manhã.</p>".encode("cp1252")
        assert "não abre de manhã" in text_of(page, markup=True)

    def test_a_long_page_is_judged_whole(self) -> None:
        page = "\n".join(f"<p>{line}</p>" for line in SENTENCES["ja"] * 3_000)
        assert text_of(page.encode("cp932"), markup=True) == page
        assert text_of(JAPANESE.replace(" ", "").encode("euc_jp") * 3_000) == JAPANESE.replace(" ", "") * 3_000

    @pytest.mark.parametrize("content_type", ["text/html", "text/plain", "text/markdown"])
    def test_in_any_format(self, content_type: str) -> None:
        text = " ".join(SENTENCES["fr"])
        body = (f"<p>{text}</p>" if content_type == "text/html" else text).encode("cp1252")
        assert extract(body, url="http://port.test/a", content_type=content_type, charset=None).page.text == text


class TestAnything:
    @settings(max_examples=300, deadline=None)
    @given(
        body=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        charset=st.none() | st.sampled_from(sorted(webencodings.labels.LABELS)) | st.text(max_size=20),
        url=st.just("") | st.text(max_size=30),
        markup=st.booleans(),
    )
    def test_any_bytes_under_any_label(self, body: bytes, charset: str | None, url: str, markup: bool) -> None:
        try:
            text = decode(body, charset=charset, markup=markup, url=url)
        except PermanentError:
            return
        assert not any("\ud800" <= char <= "\udfff" for char in text)

    @pytest.mark.parametrize(
        "piece",
        [b"\xe9", b"\xc3\xa9", b"\x81\x40", b"<\xe9>", b"a\xe9\n", b"\x1b$B", b"\xa4\xe4", b"\x84\x31", b"\0\xe9", b"~{\xe9"],
    )
    def test_time_grows_with_the_bytes(self, piece: bytes) -> None:
        def seconds(size: int) -> float:
            started_s = time.process_time()
            for charset in (None, "windows-1251"):
                with contextlib.suppress(PermanentError):
                    decode(piece * (size // len(piece)), charset=charset, markup=True)
            return time.process_time() - started_s

        seconds(1_000)  # loads the language model
        assert seconds(8_000_000) < 12 * seconds(1_000_000) + 0.5
