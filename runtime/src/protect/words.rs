//! The words that stand beside values: in field names, in the text around a value, in titles and descriptions.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::class::{Id, Kind, OTHER, Set};
use super::fold;

/// Bytes before a value in which a word counts: a label, or half a sentence. A Japanese letter has three.
pub(super) const BEFORE_BYTES: usize = 72;
/// Bytes after a value in which a word counts, such as "is my card".
pub(super) const AFTER_BYTES: usize = 32;
/// Bytes between words that make one label, such as "My Number (個人番号)".
const LABEL_GAP_BYTES: usize = 4;

/// What is said of each class, in small letters; a space is also a hyphen, an underscore, a change of case, or nothing.
const WORDS: &[(Kind, &[&str])] = &[
    (
        Kind::Email,
        &["email", "e mail", "mail", "メール", "メアド"],
    ),
    (
        Kind::Phone,
        &[
            "phone",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "cell phone",
            "cellular",
            "fax",
            "call me",
            "call us",
            "text me",
            "contact number",
            "sms",
            "whats app",
            "msisdn",
            "telefon",
            "telefono",
            "telefone",
            "handy",
            "portable",
            "電話",
            "携帯",
            "連絡先",
            "ファックス",
            "ファクス",
            "手机",
            "전화",
            "휴대폰",
        ],
    ),
    (
        Kind::Card,
        &[
            "card",
            "credit card",
            "debit card",
            "card number",
            "pan",
            "cc number",
            "visa",
            "mastercard",
            "amex",
            "american express",
            "jcb",
            "カード",
            "クレジット",
            "クレカ",
            "デビット",
        ],
    ),
    (
        Kind::Iban,
        &["iban", "bank account", "account number", "konto", "口座"],
    ),
    (
        Kind::Ip,
        &[
            "ip",
            "ip address",
            "ipv4",
            "ipv6",
            "ip addr",
            "client ip",
            "remote addr",
            "remote address",
            "source ip",
            "src ip",
            "host",
            "login from",
            "logged in from",
            "x forwarded for",
            "ipアドレス",
            "接続元",
            "アクセス元",
        ],
    ),
    (
        Kind::Mac,
        &[
            "mac",
            "mac address",
            "hw addr",
            "ether",
            "bssid",
            "macアドレス",
            "物理アドレス",
        ],
    ),
    (
        Kind::BirthDate,
        &[
            "birth",
            "birth date",
            "birthday",
            "birthdate",
            "date of birth",
            "dob",
            "born",
            "born on",
            "geburtsdatum",
            "naissance",
            "nacimiento",
            "生年月日",
            "誕生日",
            "生まれ",
            "出生日期",
            "생년월일",
        ],
    ),
    (
        Kind::Address,
        &[
            "address",
            "addr",
            "street",
            "street address",
            "home address",
            "postal address",
            "mailing address",
            "shipping address",
            "billing address",
            "delivery address",
            "residence",
            "address line",
            "住所",
            "所在地",
            "届け先",
            "送付先",
            "お届け先",
        ],
    ),
    (
        Kind::Postcode,
        &[
            "postcode",
            "post code",
            "postal code",
            "zip",
            "zip code",
            "plz",
            "郵便番号",
            "〒",
            "邮编",
            "우편번호",
        ],
    ),
    (
        Kind::Passport,
        &[
            "passport",
            "passport no",
            "パスポート",
            "旅券",
            "护照",
            "여권",
        ],
    ),
    (
        Kind::MyNumber,
        &[
            "my number",
            "individual number",
            "kojin bango",
            "マイナンバー",
            "個人番号",
        ],
    ),
    (
        Kind::ResidenceCard,
        &[
            "residence card",
            "zairyu",
            "zairyu card",
            "在留カード",
            "在留資格",
            "特別永住者証明書",
        ],
    ),
    (
        Kind::DrivingLicence,
        &[
            "driving licence",
            "driving license",
            "driver license",
            "drivers license",
            "driver's license",
            "driver licence",
            "licence no",
            "license no",
            "運転免許",
            "免許証",
            "免許番号",
        ],
    ),
    (
        Kind::Pension,
        &[
            "pension",
            "basic pension",
            "nenkin",
            "基礎年金",
            "年金番号",
            "年金手帳",
        ],
    ),
    (
        Kind::HealthInsurance,
        &[
            "health insurance",
            "insurance card",
            "insured number",
            "insurer number",
            "insured person",
            "健康保険",
            "保険証",
            "被保険者",
            "保険者番号",
        ],
    ),
    (
        Kind::Ssn,
        &[
            "ssn",
            "social security",
            "social security number",
            "social sec",
            "社会保障番号",
        ],
    ),
    (
        Kind::Itin,
        &["itin", "taxpayer identification", "tax id", "taxpayer id"],
    ),
    (
        Kind::Nino,
        &["nino", "national insurance", "ni number", "ni no"],
    ),
    (Kind::Nhs, &["nhs", "nhs number"]),
    (
        Kind::TaxId,
        &[
            "steuer id",
            "steueridentifikationsnummer",
            "steuernummer",
            "idnr",
            "identifikationsnummer",
            "tax id",
            "tin",
        ],
    ),
    (
        Kind::Nir,
        &[
            "nir",
            "securite sociale",
            "insee",
            "numero de securite sociale",
            "num secu",
            "carte vitale",
        ],
    ),
    (Kind::Nif, &["nif", "dni", "documento nacional"]),
    (
        Kind::Nie,
        &["nie", "numero de identidad de extranjero", "extranjero"],
    ),
    (
        Kind::CodiceFiscale,
        &["codice fiscale", "cod fiscale", "cod fisc"],
    ),
    (Kind::Pesel, &["pesel"]),
    (
        Kind::Personnummer,
        &[
            "personnummer",
            "personal number",
            "samordningsnummer",
            "person nr",
        ],
    ),
    (Kind::Cpf, &["cpf"]),
    (Kind::Aadhaar, &["aadhaar", "aadhar", "uidai", "आधार"]),
    (
        Kind::Rrn,
        &[
            "rrn",
            "resident registration",
            "jumin",
            "주민등록번호",
            "주민번호",
        ],
    ),
    (Kind::Nric, &["nric", "fin number", "fin no", "singpass"]),
    (
        Kind::ResidentId,
        &[
            "resident id",
            "resident identity",
            "id card",
            "identity card",
            "身份证",
            "公民身份号码",
        ],
    ),
    (
        Kind::Password,
        &[
            "password",
            "passwd",
            "pass phrase",
            "passphrase",
            "client secret",
            "api key",
            "access token",
            "refresh token",
            "private key",
            "secret key",
            "secret access key",
            "パスワード",
            "暗証番号",
            "密码",
            "비밀번호",
        ],
    ),
];

/// What is said of numbers that are no personal data.
const OTHERS: &[&str] = &[
    "order",
    "ticket",
    "invoice",
    "tracking",
    "shipment",
    "sku",
    "isbn",
    "ean",
    "jan code",
    "gtin",
    "barcode",
    "version",
    "firmware",
    "commit",
    "sha",
    "sha1",
    "sha256",
    "hash",
    "digest",
    "checksum",
    "uuid",
    "guid",
    "timestamp",
    "request id",
    "trace id",
    "session id",
    "serial",
    "lot no",
    "isrc",
    "doi",
    "corporate number",
    "注文",
    "伝票",
    "追跡",
    "法人番号",
    "型番",
    "品番",
    "商品",
    "請求書番号",
    "受付番号",
    "整理番号",
    "版",
    "バージョン",
    "ドキュメント",
    "チケット",
];

/// What field names of ids, times and counts end with.
const OTHER_ENDINGS: &[&str] = &[
    "id",
    "ids",
    "at",
    "on",
    "ts",
    "created",
    "updated",
    "expires",
    "time",
    "count",
    "size",
    "length",
    "bytes",
    "hash",
    "total",
    "amount",
    "price",
    "index",
    "lat",
    "lng",
    "lon",
    "latitude",
    "longitude",
    "port",
    "type",
    "enabled",
    "verified",
    "status",
    "label",
    "format",
    "url",
    "uri",
    "hint",
    "policy",
    "field",
    "changed",
    "reset",
    "strength",
    "required",
    "rules",
];

/// Field names that say nothing of their value: what their object is called, or labelled, counts.
const PLAIN: &[&str] = &[
    "value",
    "values",
    "number",
    "num",
    "no",
    "text",
    "content",
    "data",
    "raw",
    "item",
    "items",
    "current",
    "primary",
    "main",
    "home",
    "work",
    "personal",
    "other",
    "default",
    "new",
    "old",
    "full",
    "formatted",
    "national",
    "international",
    "v",
    "val",
    "値",
    "番号",
    "内容",
];

/// Field names whose value labels the fields beside it.
pub(super) const LABELS: &[&str] = &[
    "type", "kind", "label", "name", "field", "key", "title", "種別", "種類", "項目", "名称",
];

/// What the words around a value say of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near {
    /// Said near it, and not of an id since.
    pub(super) said: Set,
    /// Said nearest to it: its label.
    pub(super) label: Set,
}

/// What the name of a field, its schema and its object say of its value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field {
    /// Said by the name.
    pub(super) name: Set,
    /// Said by the schema's title or description.
    pub(super) schema: Set,
    /// The name is that of an id, a time or a count.
    pub(super) other: bool,
}

/// Every context word, in one automaton.
pub(super) struct Words {
    find: AhoCorasick,
    /// The class of each word, and whether it is plain ASCII and so needs a border.
    of: Vec<Id>,
}

impl Words {
    /// The words that are shipped, and some more.
    pub(super) fn new(more: &[(Id, String)]) -> Result<Self, aho_corasick::BuildError> {
        let own = WORDS
            .iter()
            .flat_map(|(kind, words)| words.iter().map(|word| (kind.id(), (*word).to_owned())));
        let others = OTHERS.iter().map(|word| (OTHER, (*word).to_owned()));
        let (mut of, mut words) = (Vec::new(), Vec::new());
        for (id, word) in own.chain(others).chain(more.iter().cloned()) {
            let word = plain(&fold::word(&word));
            if word.contains(' ') {
                of.push(id);
                words.push(word.replace(' ', ""));
            }
            of.push(id);
            words.push(word);
        }
        let find = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&words)?;
        Ok(Self { find, of })
    }

    /// Calls back for each word in a text that is in plain form: its class and its place.
    fn each(&self, text: &[u8], mut say: impl FnMut(Id, Range<usize>)) {
        let byte = |at: usize| text.get(at).copied().unwrap_or(b' ');
        for hit in self.find.find_overlapping_iter(text) {
            let (start, mut end) = (hit.start(), hit.end());
            let before = start.checked_sub(1).map_or(b' ', byte);
            if byte(start).is_ascii_alphanumeric() && before.is_ascii_alphabetic() {
                continue;
            }
            if byte(end.wrapping_sub(1)).is_ascii_alphabetic() {
                // A plural.
                if byte(end) == b's' {
                    end += 1;
                }
                if byte(end).is_ascii_alphabetic() {
                    continue;
                }
            }
            if let Some(id) = self.of.get(hit.pattern().as_usize()) {
                say(*id, start..end);
            }
        }
    }

    /// Every class that a text speaks of.
    pub(super) fn said(&self, text: &str) -> Set {
        let mut all = Set::default();
        self.each(plain(&fold::word(text)).as_bytes(), |id, _| {
            all |= Set::of(id)
        });
        all
    }

    /// What a field name says.
    pub(super) fn field(&self, name: &str) -> Named {
        let name = split(name);
        let (mut said, mut end) = (Set::default(), 0);
        self.each(name.as_bytes(), |id, at| {
            said |= Set::of(id);
            if id != OTHER {
                end = end.max(at.end);
            }
        });
        let last = name.rsplit(' ').next().unwrap_or_default();
        let other = said.has(OTHER) || OTHER_ENDINGS.contains(&last) && end < name.len();
        Named {
            said: if other { Set::default() } else { said },
            other,
            plain: PLAIN.contains(&name.as_str()),
            label: LABELS.contains(&name.as_str()),
        }
    }

    /// What the text around a value says; `folded` is the whole text.
    pub(super) fn near(&self, folded: &[u8], span: &Range<usize>, work: &mut u64) -> Near {
        let from = span.start.saturating_sub(BEFORE_BYTES);
        let before = folded.get(from..span.start).unwrap_or_default();
        let before = own_label(before);
        let mut window = [b' '; BEFORE_BYTES];
        let text = plain_into(before, &mut window);
        *work += text.len() as u64;
        let (mut near, mut end) = (Near::default(), None::<usize>);
        self.each(text, |id, at| {
            if id == OTHER {
                near.said = Set::default();
            }
            near.said |= Set::of(id);
            match end {
                Some(end) if at.start <= end + LABEL_GAP_BYTES => near.label |= Set::of(id),
                _ => near.label = Set::of(id),
            }
            end = Some(end.map_or(at.end, |end| end.max(at.end)));
        });
        let to = folded.len().min(span.end + AFTER_BYTES);
        let after = folded.get(span.end..to).unwrap_or_default();
        let cut = after
            .iter()
            .position(|c| matches!(c, b',' | b';' | b'\n' | b'|' | b'"'));
        let after = after.get(..cut.unwrap_or(after.len())).unwrap_or_default();
        let text = plain_into(after, &mut window);
        *work += text.len() as u64;
        let labelled = end.is_some();
        let mut end = None::<usize>;
        self.each(text, |id, at| {
            if id == OTHER {
                return;
            }
            near.said |= Set::of(id);
            let first = end.is_none_or(|end| at.start <= end + LABEL_GAP_BYTES);
            if !labelled && first {
                near.label |= Set::of(id);
                end = Some(at.end);
            }
        });
        near
    }
}

/// What a field name says by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named {
    pub(super) said: Set,
    pub(super) other: bool,
    /// It says nothing.
    pub(super) plain: bool,
    /// It labels the fields beside it.
    pub(super) label: bool,
}

/// Where a label stands directly before the value ("tel: "), what was said before that label is of something else.
fn own_label(before: &[u8]) -> &[u8] {
    let end = before.trim_ascii_end();
    let end = end.strip_suffix(b"\"").unwrap_or(end).trim_ascii_end();
    let Some(label) = end.strip_suffix(b":").or_else(|| end.strip_suffix(b"=")) else {
        return before;
    };
    let border = |c: &u8| {
        matches!(
            c,
            b',' | b';' | b'\n' | b'\t' | b'|' | b'{' | b'[' | b'&' | b'?'
        )
    };
    let cut = label.iter().rposition(border).map_or(0, |at| at + 1);
    label.get(cut..).unwrap_or_default()
}

/// Small letters; hyphens and underscores are spaces.
fn plain(text: &str) -> String {
    let space = |c: char| match c {
        '-' | '_' => ' ',
        c => c.to_ascii_lowercase(),
    };
    text.chars().map(space).collect()
}

fn plain_into<'a>(text: &[u8], room: &'a mut [u8; BEFORE_BYTES]) -> &'a [u8] {
    for (to, c) in room.iter_mut().zip(text) {
        *to = match c {
            b'-' | b'_' => b' ',
            c => c.to_ascii_lowercase(),
        };
    }
    room.get(..text.len()).unwrap_or_default()
}

/// The words of a field name: `phoneNumber`, `phone_number` and `Phone-Number` are `phone number`.
fn split(name: &str) -> String {
    let folded = fold::Folded::new(name);
    let mut words = String::with_capacity(name.len() + 8);
    let mut chars = folded.text().chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let begins = c.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase() && next.is_ascii_lowercase());
        if begins {
            words.push(' ');
        }
        words.push(match c {
            '-' | '_' | '.' | '/' | ':' => ' ',
            c => c.to_ascii_lowercase(),
        });
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words::new(&[]).unwrap()
    }

    fn field(name: &str) -> Named {
        words().field(name)
    }

    #[test]
    fn a_field_name_speaks_however_its_words_are_joined() {
        for name in [
            "phoneNumber",
            "phone_number",
            "Phone-Number",
            "homePhone",
            "phones",
            "customer.phone",
            "PHONE",
            "電話番号",
            "ｹｰﾀｲ電話",
        ] {
            assert!(field(name).said.has(Kind::Phone.id()), "{name}");
        }
        for name in [
            "dateOfBirth",
            "date_of_birth",
            "dateofbirth",
            "DOB",
            "birthDate",
            "生年月日",
        ] {
            assert!(field(name).said.has(Kind::BirthDate.id()), "{name}");
        }
        assert!(field("myNumber").said.has(Kind::MyNumber.id()));
        assert!(field("mynumber").said.has(Kind::MyNumber.id()));
        assert!(field("ssn").said.has(Kind::Ssn.id()));
    }

    #[test]
    fn a_word_inside_a_word_says_nothing() {
        for name in [
            "hotel",
            "telemetry",
            "discard",
            "panel",
            "zipper",
            "administrator",
            "emailer",
        ] {
            assert!(field(name).said.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_name_of_an_id_a_time_or_a_count_is_no_label() {
        for name in [
            "phoneId",
            "card_id",
            "phoneUpdatedAt",
            "orderPhone",
            "phone_count",
            "passportExpiresOn",
        ] {
            assert!(field(name).other && field(name).said.is_empty(), "{name}");
        }
        for name in ["tax_id", "residentId", "phone"] {
            assert!(!field(name).other, "{name}");
        }
    }

    #[track_caller]
    fn near(text: &str) -> Near {
        let folded = fold::Folded::new(text);
        let at = folded.text().find("123").unwrap();
        words().near(folded.text().as_bytes(), &(at..at + 3), &mut 0)
    }

    #[test]
    fn the_nearest_word_is_the_label_and_an_id_between_ends_what_was_said() {
        assert!(near("call my phone 123").label.has(Kind::Phone.id()));
        assert!(
            near("マイナンバー（個人番号）は123です")
                .label
                .has(Kind::MyNumber.id())
        );
        assert!(near("123 is my phone").label.has(Kind::Phone.id()));
        assert!(
            near("phone: 5, passport 123")
                .label
                .has(Kind::Passport.id())
        );
        assert!(near("phone: 5, passport 123").said.has(Kind::Phone.id()));
        let order = near("the phone of order 123");
        assert!(!order.said.has(Kind::Phone.id()) && order.label.has(OTHER));
        assert!(near("phone: 5, ref: 123").said.is_empty());
        assert!(near("Tel: 123").label.has(Kind::Phone.id()));
    }
}
