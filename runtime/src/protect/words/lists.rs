//! The lists of words.

use super::Kind;

/// What is said of each class, in small letters; a space is also a hyphen, an underscore, a change of case, or nothing.
#[rustfmt::skip]
pub(super) const WORDS: &[(Kind, &[&str])] = &[
    (Kind::Email, &["email", "e mail", "mail", "メール", "メアド"]),
    (Kind::Phone, &[
        "phone", "telephone", "tel", "mobile", "cell", "cell phone", "cellular", "fax", "call me", "call us", "text me",
        "contact number", "sms", "whats app", "msisdn", "telefon", "telefono", "telefone", "handy", "portable", "電話", "携帯",
        "連絡先", "ファックス", "ファクス", "手机", "전화", "휴대폰",
    ]),
    (Kind::Card, &[
        "card", "credit card", "debit card", "card number", "pan", "cc number", "visa", "mastercard", "amex",
        "american express", "jcb", "カード", "クレジット", "クレカ", "デビット",
    ]),
    (Kind::Iban, &["iban", "bank account", "account number", "konto", "口座"]),
    (Kind::Ip, &[
        "ip", "ip address", "ipv4", "ipv6", "ip addr", "client ip", "remote addr", "remote address", "source ip", "src ip",
        "host", "login from", "logged in from", "x forwarded for", "ipアドレス", "接続元", "アクセス元",
    ]),
    (Kind::Mac, &["mac", "mac address", "hw addr", "ether", "bssid", "macアドレス", "物理アドレス"]),
    (Kind::BirthDate, &[
        "birth", "birth date", "birthday", "birthdate", "date of birth", "dob", "born", "born on", "geburtsdatum", "naissance",
        "nacimiento", "生年月日", "誕生日", "生まれ", "出生日期", "생년월일",
    ]),
    (Kind::Address, &[
        "address", "addr", "street", "street address", "home address", "postal address", "mailing address", "shipping address",
        "billing address", "delivery address", "residence", "address line", "住所", "所在地", "届け先", "送付先", "お届け先",
    ]),
    (Kind::Postcode, &["postcode", "post code", "postal code", "zip", "zip code", "plz", "郵便番号", "〒", "邮编", "우편번호"]),
    (Kind::Passport, &["passport", "passport no", "パスポート", "旅券", "护照", "여권"]),
    (Kind::MyNumber, &["my number", "individual number", "kojin bango", "マイナンバー", "個人番号"]),
    (Kind::ResidenceCard, &["residence card", "zairyu", "zairyu card", "在留カード", "在留資格", "特別永住者証明書"]),
    (Kind::DrivingLicence, &[
        "driving licence", "driving license", "driver license", "drivers license", "driver's license", "driver licence",
        "licence no", "license no", "運転免許", "免許証", "免許番号",
    ]),
    (Kind::Pension, &["pension", "basic pension", "nenkin", "基礎年金", "年金番号", "年金手帳"]),
    (Kind::HealthInsurance, &[
        "health insurance", "insurance card", "insured number", "insurer number", "insured person", "健康保険", "保険証", "被保険者",
        "保険者番号",
    ]),
    (Kind::Ssn, &["ssn", "social security", "social security number", "social sec", "社会保障番号"]),
    (Kind::Itin, &["itin", "taxpayer identification", "tax id", "taxpayer id"]),
    (Kind::Nino, &["nino", "national insurance", "ni number", "ni no"]),
    (Kind::Nhs, &["nhs", "nhs number"]),
    (Kind::TaxId, &[
        "steuer id", "steueridentifikationsnummer", "steuernummer", "idnr", "identifikationsnummer", "tax id", "tin",
    ]),
    (Kind::Nir, &["nir", "securite sociale", "insee", "numero de securite sociale", "num secu", "carte vitale"]),
    (Kind::Nif, &["nif", "dni", "documento nacional"]),
    (Kind::Nie, &["nie", "numero de identidad de extranjero", "extranjero"]),
    (Kind::CodiceFiscale, &["codice fiscale", "cod fiscale", "cod fisc"]),
    (Kind::Pesel, &["pesel"]),
    (Kind::Personnummer, &["personnummer", "personal number", "samordningsnummer", "person nr"]),
    (Kind::Cpf, &["cpf"]),
    (Kind::Aadhaar, &["aadhaar", "aadhar", "uidai", "आधार"]),
    (Kind::Rrn, &["rrn", "resident registration", "jumin", "주민등록번호", "주민번호"]),
    (Kind::Nric, &["nric", "fin number", "fin no", "singpass"]),
    (Kind::ResidentId, &["resident id", "resident identity", "id card", "identity card", "身份证", "公民身份号码"]),
    (Kind::Password, &[
        "password", "passwd", "pass phrase", "passphrase", "client secret", "api key", "access token", "refresh token",
        "private key", "secret key", "secret access key", "パスワード", "暗証番号", "密码", "비밀번호",
    ]),
];

/// What is said of numbers that are no personal data.
#[rustfmt::skip]
pub(super) const OTHERS: &[&str] = &[
    "order", "ticket", "invoice", "tracking", "shipment", "sku", "isbn", "ean", "jan code", "gtin", "barcode", "version",
    "firmware", "commit", "sha", "sha1", "sha256", "hash", "digest", "checksum", "uuid", "guid", "timestamp", "request id",
    "trace id", "session id", "serial", "lot no", "isrc", "doi", "corporate number", "注文", "伝票", "追跡", "法人番号", "型番", "品番",
    "商品", "請求書番号", "受付番号", "整理番号", "版", "バージョン", "ドキュメント", "チケット",
];

/// What field names of ids, times and counts end with.
#[rustfmt::skip]
pub(super) const OTHER_ENDINGS: &[&str] = &[
    "id", "ids", "at", "on", "ts", "created", "updated", "expires", "time", "count", "size", "length", "bytes", "hash",
    "total", "amount", "price", "index", "lat", "lng", "lon", "latitude", "longitude", "port", "type", "enabled", "verified",
    "status", "label", "format", "url", "uri", "hint", "policy", "field", "changed", "reset", "strength", "required", "rules",
];

/// Field names that say nothing of their value: what their object is called, or labelled, counts.
#[rustfmt::skip]
pub(super) const PLAIN: &[&str] = &[
    "value", "values", "number", "num", "no", "text", "content", "data", "raw", "item", "items", "current", "primary", "main",
    "home", "work", "personal", "other", "default", "new", "old", "full", "formatted", "national", "international", "v", "val",
    "値", "番号", "内容",
];

/// Field names whose value labels the fields beside it.
#[rustfmt::skip]
pub(super) const LABELS: &[&str] = &[
    "type", "kind", "label", "name", "field", "key", "title", "種別", "種類", "項目", "名称",
];
