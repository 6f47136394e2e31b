"""Sentences in thirty-three languages, and the legacy encodings that pages in them were written in.

``SAMPLES`` is what the guess for unlabelled bytes is measured with: whole paragraphs, and each sentence alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

SENTENCES: dict[str, tuple[str, ...]] = {
    "fr": (
        "Le bureau du port ouvre à sept heures.",
        "Le café coûte deux euros et la soirée est fermée à Noël.",
        "Où que vous soyez, appelez dès que la brume tombe : le gardien répond.",
        "L’été, les élèves reçoivent une réduction à l’entrée du phare.",
    ),
    "pt": (
        "O farol não abre de manhã.",
        "A licença de pesca é válida até ao fim do mês e não tem custos.",
        "Os pescadores saem à noite e voltam antes da manhã com o peixe.",
        "As embarcações não podem ficar no cais mais de três dias sem autorização.",
    ),
    "es": (
        "El faro está cerrado mañana.",
        "¿Cuándo llega el último barco? Según el capitán, después de las ocho.",
        "El año pasado se pagó más por el muelle que por la gasolina.",
        "La niña señaló las rocas y el timonel giró a estribor.",
    ),
    "it": (
        "Il porto è chiuso, però la biglietteria è aperta.",
        "La città ha un solo molo e di lunedì non si può attraccare.",
        "Più tardi la nave partirà; perciò i passeggeri restino là.",
        "La velocità massima è di tre nodi.",
    ),
    "de": (
        "Die Überfahrt kostet für Schüler fünf Euro.",
        "Das Büro öffnet täglich um acht und schließt früh.",
        "Größere Schiffe müssen außerhalb der Mole warten, bis die Flut kommt.",
        "Für Gäste gilt die Gebühr vom März an „wie im Vorjahr“.",
    ),
    "nl": (
        "De haven is één dag per week gesloten voor financiële controle.",
        "Reünies van de coöperatie vinden plaats in het café op de kade.",
        "Vóór zes uur ’s ochtends wordt er geen post geïnd.",
    ),
    "da": (
        "Færgen sejler først når bølgerne er små.",
        "Prisen for både over ni meter er på fyrre kroner om døgnet.",
        "Havnefogeden låser døren om aftenen og åbner før frokost.",
    ),
    "sv": (
        "Båten går på lördag.",
        "Fyren tänds när mörkret faller på och släcks före gryningen.",
        "Hamnavgiften är högre för båtar över åtta meter.",
        "Öppet även på söndagar.",
    ),
    "no": (
        "Ferga går ikke før været er bedre.",
        "Vi åpner døra når båtene kommer inn på kvelden.",
        "Prisen på én natt er høyere om sommeren.",
    ),
    "fi": (
        "Satama on avoinna myös yöllä.",
        "Lähtöä odotetaan, kunnes sää selkenee ja päällikkö antaa luvan.",
        "Veneen pituus määrää, mitä päivältä täytyy maksaa.",
    ),
    "is": (
        "Höfnin er opin allan sólarhringinn, en skrifstofan lokar klukkan fjögur.",
        "Það þarf að greiða gjaldið áður en báturinn fer út á sjó.",
        "Veðrið ræður því hvenær skipin koma aftur.",
    ),
    "pl": (
        "Łódź wraca się o świcie.",
        "Opłata za postój rośnie, jeśli jacht jest dłuższy niż dziesięć metrów.",
        "Latarnik mówi, że mgła podnosi się późno i że trzeba być ostrożnym.",
        "Proszę zgłosić się do biura, gdzie można kupić bilet na prom.",
    ),
    "cs": (
        "Přístav je otevřen i v neděli.",
        "Poplatek za loď delší než šest metrů se platí předem v kanceláři.",
        "Když padne mlha, svítí maják žlutě a lodě čekají venku.",
        "Žádáme řidiče, aby před vjezdem na trajekt vypnuli světla.",
    ),
    "sk": (
        "Prístav sa zatvára o ôsmej hodine večer.",
        "Ak je loď dlhšia než šesť metrov, poplatok sa zvyšuje.",
        "Žiaci majú zľavu, ktorú treba žiadať vopred v kancelárii.",
    ),
    "hu": (
        "A kikötő vasárnap is nyitva van.",
        "Az őr kilenc órakor zárja a kaput, és csak reggel nyitja újra.",
        "A hajók díja nő, ha a vendég két éjszakánál tovább marad.",
        "Kérjük, hogy a belépőjegyet őrizze meg az út végéig.",
    ),
    "ro": (
        "Portul este închis în fiecare luni dimineaţa.",
        "Taxa se plăteşte înainte de plecare, la biroul de lângă far.",
        "Vasele mai lungi aşteaptă până când vântul scade şi ceaţa se ridică.",
    ),
    "hr": (
        "Luka je otvorena i noću, no ured se zatvara u šest.",
        "Čamci duži od osam metara plaćaju više nego što je uobičajeno.",
        "Svjetioničar kaže da će sutra biti jače more i da treba čekati.",
    ),
    "sl": (
        "Pristanišče je odprto vsak dan, tudi če dežuje.",
        "Čolni, daljši od šest metrov, plačajo več kot drugi.",
        "Svetilničar pravi, da bo jutri še močnejši veter.",
    ),
    "tr": (
        "Liman pazar günü kapalıdır.",
        "Gemi sabah erken kalkıyor, bu yüzden yolcuların iskelede olması gerekiyor.",
        "Öğrenciler için giriş ücreti düşüktür, çocuklar ise ücretsiz girer.",
        "Sis dağılınca deniz feneri söndürülür ve balıkçılar açılır.",
    ),
    "ru": (
        "Порт открыт каждый день.",
        "Стоянка для лодок длиннее шести метров стоит вдвое дороже.",
        "Когда опускается туман, смотритель зажигает маяк и звонит в колокол.",
        "Билеты продаются в кассе на набережной до восьми часов вечера.",
    ),
    "uk": (
        "Порт відкритий щодня, крім понеділка.",
        "Човни, довші за шість метрів, платять удвічі більше.",
        "Коли спускається туман, доглядач запалює маяк і дзвонить у дзвін.",
        "Квитки можна купити в касі на набережній до восьмої години вечора.",
    ),
    "bg": (
        "Пристанището е отворено всеки ден.",
        "Лодките, по-дълги от шест метра, плащат двойна такса.",
        "Когато падне мъгла, пазачът запалва фара и бие камбаната.",
        "Билети се продават на касата до осем часа вечерта.",
    ),
    "el": (
        "Το λιμάνι είναι ανοιχτό κάθε μέρα.",
        "Τα σκάφη πάνω από έξι μέτρα πληρώνουν διπλό τέλος.",
        "Όταν πέφτει ομίχλη, ο φαροφύλακας ανάβει το φως και χτυπά την καμπάνα.",
        "Άρα τα εισιτήρια πωλούνται στο ταμείο της προκυμαίας.",
    ),
    "he": (
        "הנמל פתוח בכל יום.",
        "סירות ארוכות משישה מטרים משלמות אגרה כפולה.",
        "כאשר יורד ערפל, השומר מדליק את המגדלור ומצלצל בפעמון.",
    ),
    "ar": (
        "الميناء مفتوح كل يوم.",
        "تدفع القوارب التي يزيد طولها على ستة أمتار رسوما مضاعفة.",
        "عندما ينزل الضباب يشعل الحارس المنارة ويدق الجرس.",
    ),
    "th": (
        "ท่าเรือเปิดทุกวัน",
        "เรือที่ยาวกว่าหกเมตรต้องจ่ายค่าธรรมเนียมสองเท่า",
        "เมื่อมีหมอก ผู้ดูแลจะเปิดไฟประภาคารและตีระฆัง",
    ),
    "vi": (
        "Bến cảng mở cửa mỗi ngày, trừ thứ hai.",
        "Thuyền dài hơn sáu mét phải trả phí gấp đôi.",
        "Khi sương mù xuống, người gác thắp đèn biển và rung chuông.",
    ),
    "ja": (
        "港は毎日開いています。",
        "六メートルを超える船は二倍の料金を払います。",
        "霧が出ると、灯台守は明かりをつけて鐘を鳴らします。",
        "切符は岸壁の窓口で午後八時まで買えます。",
    ),
    "zh-hans": (
        "港口每天开放。",
        "超过六米的船只需要支付双倍的费用。",
        "起雾的时候，看守人会点亮灯塔并敲响钟声。",
        "船票可以在码头的售票处购买，一直卖到晚上八点。",
    ),
    "zh-hant": (
        "港口每天開放。",
        "超過六米的船隻需要支付雙倍的費用。",
        "起霧的時候，看守人會點亮燈塔並敲響鐘聲。",
        "船票可以在碼頭的售票處購買，一直賣到晚上八點。",
    ),
    "ko": (
        "항구는 매일 열려 있습니다.",
        "육 미터가 넘는 배는 두 배의 요금을 냅니다.",
        "안개가 끼면 등대지기가 불을 켜고 종을 울립니다.",
    ),
    "lt": (
        "Uostas atidarytas kasdien, išskyrus pirmadienį.",
        "Ilgesni nei šešių metrų laivai moka dvigubą mokestį.",
        "Kai nusileidžia rūkas, prižiūrėtojas įžiebia švyturį.",
    ),
    "lv": (
        "Osta ir atvērta katru dienu, izņemot pirmdienu.",
        "Laivas, kas garākas par sešiem metriem, maksā divkāršu maksu.",
        "Kad nolaižas migla, sargs iededz bāku un zvana zvanu.",
    ),
    "et": (
        "Sadam on avatud iga päev, välja arvatud esmaspäeval.",
        "Üle kuue meetri pikkused paadid maksavad kahekordset tasu.",
        "Kui tuleb udu, süütab vaht tuletorni ja lööb kella, et laevad jääksid ootama.",
    ),
}  # fmt: skip

_WESTERN = ("fr", "pt", "es", "it", "de", "nl", "da", "sv", "no", "fi", "is")
_CENTRAL = ("pl", "cs", "sk", "hu", "ro", "hr", "sl")

# The encodings that pages in each family of languages were written in, before UTF-8.
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "western": (_WESTERN, ("windows-1252",)),
    "central": (_CENTRAL, ("windows-1250", "iso-8859-2")),
    "turkish": (("tr",), ("windows-1254",)),
    "cyrillic": (("ru", "uk", "bg"), ("windows-1251",)),
    "koi8": (("ru", "uk"), ("koi8-u",)),
    "greek": (("el",), ("windows-1253", "iso-8859-7")),
    "hebrew": (("he",), ("windows-1255",)),
    "arabic": (("ar",), ("windows-1256",)),
    "thai": (("th",), ("windows-874",)),
    "vietnamese": (("vi",), ("windows-1258",)),
    "japanese": (("ja",), ("shift_jis", "euc-jp", "iso-2022-jp")),
    "chinese": (("zh-hans",), ("gbk",)),
    "traditional": (("zh-hant",), ("big5",)),
    "korean": (("ko",), ("euc-kr",)),
    "baltic": (("lt", "lv", "et"), ("windows-1257",)),
}

_PYTHON_CODECS = {"windows-874": "cp874", "shift_jis": "cp932", "euc-kr": "cp949", "koi8-u": "koi8_u"}
_VIETNAMESE_MARKS = "\u0300\u0301\u0303\u0309\u0323"


@dataclass(frozen=True, slots=True)
class Sample:
    family: str
    language: str
    encoding: str
    text: str

    @property
    def body(self) -> bytes:
        return encoded(self.text, self.encoding)

    def __str__(self) -> str:
        return f"{self.language} {self.encoding} {self.text[:24]}"


def samples(*, whole: bool) -> Iterator[Sample]:
    """Paragraphs of all the sentences of a language if ``whole``, else each sentence alone."""
    for family, (languages, encodings) in FAMILIES.items():
        for language in languages:
            sentences = SENTENCES[language]
            for encoding in encodings:
                for text in (" ".join(sentences),) if whole else sentences:
                    text = _typewritten(text) if encoding.startswith("iso-8859") else text
                    text = _decomposed(text) if encoding == "windows-1258" else text
                    if not encoded(text, encoding).isascii() or encoding == "iso-2022-jp":
                        yield Sample(family, language, encoding, text)


def encoded(text: str, encoding: str) -> bytes:
    return text.encode(_PYTHON_CODECS.get(encoding, encoding))


def _typewritten(text: str) -> str:
    """ISO 8859 has no typographic quotation marks."""
    return text.translate(str.maketrans({"’": "'", "„": '"', "“": '"', "”": '"'}))


def _decomposed(text: str) -> str:
    """windows-1258 writes Vietnamese tones as marks of their own."""
    pieces = []
    for char in text:
        marks = [mark for mark in unicodedata.normalize("NFD", char) if mark in _VIETNAMESE_MARKS]
        base = unicodedata.normalize("NFC", "".join(c for c in unicodedata.normalize("NFD", char) if c not in marks))
        pieces += [base, *marks]
    return "".join(pieces)
