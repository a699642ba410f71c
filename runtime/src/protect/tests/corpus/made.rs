//! Values that are made up: each class by its own rules, and what looks like them.

mod national;

use super::super::super::checks;
use super::*;
use national::{
    aadhaar, codice, cpf, insurance, itin, licence, my_number, nhs, nie, nif, nino, nir, nric,
    pension, personnummer, pesel, residence, resident, rrn, ssn, tax_id,
};

/// Numbers that look random and are the same in every run (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub(super) fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }

    fn of(&mut self, letters: &str, count: usize) -> String {
        let letters: Vec<char> = letters.chars().collect();
        (0..count)
            .map(|_| letters[self.below(letters.len() as u64) as usize])
            .collect()
    }

    fn digits(&mut self, count: usize) -> String {
        self.of("0123456789", count)
    }

    pub(super) fn hex(&mut self, count: usize) -> String {
        self.of("0123456789abcdef", count)
    }

    fn date(&mut self) -> (u64, u64, u64) {
        (
            self.between(1930, 2009),
            self.between(1, 12),
            self.between(1, 28),
        )
    }

    /// A number that passes a check, from a head and so many more digits.
    fn checked(&mut self, check: fn(&[u8]) -> bool, head: &str, more: usize) -> String {
        loop {
            let text = format!("{head}{}", self.digits(more));
            if check(text.as_bytes()) {
                return text;
            }
        }
    }
}

/// Groups of these lengths with a sign between them.
fn grouped(text: &str, lengths: &[usize], sign: &str) -> String {
    let mut at = 0;
    let parts: Vec<&str> = lengths
        .iter()
        .map(|length| {
            at += length;
            &text[at - length..at]
        })
        .collect();
    parts.join(sign)
}

/// The same in wide letters and digits, where people write such: not in keys and tokens.
pub(super) fn wide(plant: &Plant, text: &str) -> String {
    if plant.narrow {
        return text.to_owned();
    }
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
        c => c,
    };
    text.chars().map(wide).collect()
}

/// A class, how its values are made, and what they are called.
pub(super) struct Plant {
    pub(super) class: &'static str,
    pub(super) make: fn(&mut Chance) -> String,
    pub(super) en: &'static [&'static str],
    pub(super) ja: &'static [&'static str],
    pub(super) fields: &'static [&'static str],
    /// Never in wide letters.
    pub(super) narrow: bool,
    /// Only where a field is called so.
    pub(super) field_alone: bool,
    /// Least precision and recall.
    pub(super) floor: f64,
}

const fn plant(
    class: &'static str,
    floor: f64,
    make: fn(&mut Chance) -> String,
    en: &'static [&'static str],
    ja: &'static [&'static str],
    fields: &'static [&'static str],
) -> Plant {
    Plant {
        class,
        make,
        en,
        ja,
        fields,
        narrow: false,
        field_alone: false,
        floor,
    }
}

const fn secret(class: &'static str, make: fn(&mut Chance) -> String) -> Plant {
    Plant {
        narrow: true,
        ..plant(
            class,
            0.98,
            make,
            &["key", "token"],
            &["キー", "トークン"],
            &["value", "config", "header"],
        )
    }
}

#[rustfmt::skip]
pub(super) static PLANTS: &[Plant] = &[
    plant("email", 0.98, email, &["e-mail", "address"], &["メール", "連絡先"], &["email", "mailAddress", "user", "メールアドレス"]),
    plant("phone", 0.90, phone, &["phone", "mobile number", "telephone", "fax"], &["電話番号", "携帯", "連絡先"], &["phone", "phoneNumber", "tel", "mobile_phone", "電話番号"]),
    plant("card", 0.98, card, &["card", "credit card number", "Visa"], &["カード番号", "クレジットカード"], &["card", "cardNumber", "credit_card", "カード番号"]),
    plant("iban", 0.98, iban, &["IBAN", "account"], &["口座", "IBAN"], &["iban", "bankAccount", "account"]),
    plant("ip-address", 0.98, ip, &["IP address", "client IP"], &["IPアドレス", "接続元"], &["ip", "clientIp", "remote_addr", "ipAddress"]),
    Plant { narrow: true, ..plant("mac-address", 0.98, mac, &["MAC address"], &["MACアドレス"], &["mac", "macAddress", "hw_addr"]) },
    plant("birth-date", 0.98, birth, &["date of birth", "birthday", "DOB"], &["生年月日", "誕生日"], &["birthDate", "dob", "date_of_birth", "生年月日"]),
    Plant { field_alone: true, ..plant("postal-address", 0.98, address, &["address"], &["住所"], &["address", "shippingAddress", "home_address", "住所", "お届け先"]) },
    plant("postcode", 0.98, postcode, &["postcode", "zip code", "postal code"], &["郵便番号"], &["postcode", "zip", "postalCode", "郵便番号"]),
    plant("passport", 0.98, passport, &["passport", "passport number"], &["旅券番号", "パスポート番号"], &["passport", "passportNo", "旅券番号"]),
    plant("jp-my-number", 0.98, my_number, &["My Number", "individual number"], &["マイナンバー", "個人番号"], &["myNumber", "my_number", "個人番号"]),
    plant("jp-residence-card", 0.98, residence, &["residence card", "zairyu card"], &["在留カード番号", "在留カード"], &["residenceCard", "residence_card_number", "在留カード"]),
    plant("jp-driving-licence", 0.98, licence, &["driving licence", "driver's license"], &["運転免許証番号", "免許証番号"], &["drivingLicence", "drivers_license", "免許証番号"]),
    plant("jp-pension-number", 0.98, pension, &["basic pension number", "pension number"], &["基礎年金番号", "年金番号"], &["pensionNumber", "pension", "基礎年金番号"]),
    plant("jp-health-insurance", 0.98, insurance, &["health insurance number", "insurer number"], &["保険者番号", "健康保険証の番号"], &["healthInsurance", "insurerNumber", "保険者番号"]),
    plant("us-ssn", 0.98, ssn, &["SSN", "social security number"], &["社会保障番号", "SSN"], &["ssn", "socialSecurityNumber"]),
    plant("us-itin", 0.98, itin, &["ITIN", "taxpayer identification number"], &["ITIN"], &["itin", "taxId"]),
    plant("uk-nino", 0.98, nino, &["NINO", "national insurance number"], &["NINO"], &["nino", "nationalInsurance"]),
    plant("uk-nhs", 0.98, nhs, &["NHS number", "NHS"], &["NHS番号"], &["nhs", "nhsNumber"]),
    plant("de-tax-id", 0.98, tax_id, &["Steuer-ID", "tax ID"], &["Steuer-ID"], &["steuerId", "steuer_id", "taxId"]),
    plant("fr-nir", 0.98, nir, &["numéro de sécurité sociale", "NIR"], &["NIR"], &["nir", "insee"]),
    plant("es-nif", 0.98, nif, &["DNI", "NIF"], &["DNI"], &["dni", "nif"]),
    plant("es-nie", 0.98, nie, &["NIE"], &["NIE"], &["nie"]),
    plant("it-codice-fiscale", 0.98, codice, &["codice fiscale"], &["codice fiscale"], &["codiceFiscale", "codice_fiscale"]),
    plant("pl-pesel", 0.98, pesel, &["PESEL"], &["PESEL"], &["pesel"]),
    plant("se-personnummer", 0.98, personnummer, &["personnummer"], &["personnummer"], &["personnummer"]),
    plant("br-cpf", 0.98, cpf, &["CPF"], &["CPF"], &["cpf"]),
    plant("in-aadhaar", 0.98, aadhaar, &["Aadhaar", "Aadhaar number"], &["Aadhaar"], &["aadhaar", "aadhaarNumber"]),
    plant("kr-rrn", 0.98, rrn, &["RRN", "resident registration number"], &["주민등록번호"], &["rrn", "residentRegistration"]),
    plant("sg-nric", 0.98, nric, &["NRIC"], &["NRIC"], &["nric"]),
    plant("cn-resident-id", 0.98, resident, &["resident ID", "ID card"], &["身份证"], &["residentId", "idCard"]),
    secret("private-key", |chance| format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", chance.of(BASE64, 64))),
    secret("jwt", |chance| format!("eyJhbGciOiJFUzI1NiJ9.{}.{}", chance.of(BASE62, 40), chance.of(BASE62, 86))),
    secret("aws-key", |chance| format!("AKIA{}", chance.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))),
    secret("github-token", |chance| format!("ghp_{}", chance.of(BASE62, 36))),
    secret("google-key", |chance| format!("AIza{}", chance.of(BASE62, 35))),
    secret("slack-token", |chance| format!("xoxb-{}-{}-{}", chance.digits(12), chance.digits(13), chance.of(BASE62, 24))),
    secret("stripe-key", |chance| format!("sk_live_{}", chance.of(BASE62, 24))),
    secret("api-key", |chance| format!("glpat-{}", chance.of(BASE62, 20))),
    Plant { field_alone: true, narrow: true, ..plant("password", 0.98, |chance| chance.of(BASE62, 12), &["password"], &["パスワード"], &["password", "dbPassword", "client_secret", "パスワード"]) },
];

const BASE62: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";

fn email(chance: &mut Chance) -> String {
    let (name, more) = (chance.of(SMALL, 5), chance.digits(2));
    let host = chance.one(&[
        "example.com",
        "mail.example.co.jp",
        "example.org",
        "corp-mail.example.net",
    ]);
    format!("{name}{}{more}@{host}", chance.one(&[".", "_", "+", ""]))
}

fn phone(chance: &mut Chance) -> String {
    let (a, b) = (chance.digits(4), chance.digits(4));
    let mobile = chance.one(&["070", "080", "090"]);
    let city = chance.one(&["03", "06"]);
    let (area, exchange) = (chance.between(201, 989), chance.between(200, 999));
    match chance.below(10) {
        0 => format!("{mobile}-{a}-{b}"),
        1 => format!("{mobile}{a}{b}"),
        2 => format!("{city}-{a}-{b}"),
        3 => format!("+81 {}-{a}-{b}", &mobile[1..]),
        4 => format!("({city}) {a}-{b}"),
        5 => format!("({area}) {exchange}-{b}"),
        6 => format!("+1 {area} {exchange} {b}"),
        7 => format!("{area}-{exchange}-{b}"),
        8 => format!("+44 20 7{} {b}", &a[1..]),
        _ => format!(
            "0{}-{}-{b}",
            chance.between(42, 99),
            chance.between(200, 999)
        ),
    }
}

fn card(chance: &mut Chance) -> String {
    let (head, length) = match chance.below(4) {
        0 => ("4".to_owned(), 16),
        1 => (chance.between(51, 55).to_string(), 16),
        2 => (chance.between(3528, 3589).to_string(), 16),
        _ => (chance.one(&["34", "37"]).to_owned(), 15),
    };
    let text = chance.checked(checks::card, &head, length - head.len());
    let groups: &[usize] = if length == 15 {
        &[4, 6, 5]
    } else {
        &[4, 4, 4, 4]
    };
    match chance.below(3) {
        0 => text,
        1 => grouped(&text, groups, " "),
        _ => grouped(&text, groups, "-"),
    }
}

fn iban(chance: &mut Chance) -> String {
    let (country, body) = match chance.below(4) {
        0 => ("DE", chance.digits(18)),
        1 => (
            "GB",
            format!("{}{}", chance.of(CAPITALS, 4), chance.digits(14)),
        ),
        2 => ("NO", chance.digits(11)),
        _ => ("FR", chance.digits(23)),
    };
    let checked = (2..=98)
        .map(|check| format!("{country}{check:02}{body}"))
        .find(|text| checks::iban(text.as_bytes()));
    let text = checked.unwrap();
    match chance.below(3) {
        0 => text,
        1 => text.to_lowercase(),
        _ => {
            let parts: Vec<_> = text
                .as_bytes()
                .chunks(4)
                .map(|part| std::str::from_utf8(part).unwrap())
                .collect();
            parts.join(" ")
        }
    }
}

fn ip(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 => format!(
            "2400:{}:{}::{}",
            chance.of("123456789abcdef", 4),
            chance.of("123456789abcdef", 3),
            chance.of("123456789abcdef", 2)
        ),
        _ => format!(
            "{}.{}.{}.{}",
            chance.one(&["8", "13", "52", "93", "133", "210"]),
            chance.below(256),
            chance.below(256),
            chance.between(1, 254)
        ),
    }
}

fn mac(chance: &mut Chance) -> String {
    let sign = chance.one(&[":", "-"]);
    let rest: Vec<String> = (0..5).map(|_| chance.hex(2)).collect();
    format!(
        "{}{sign}{}",
        chance.one(&["a4", "3c", "f0", "00"]),
        rest.join(sign)
    )
}

fn birth(chance: &mut Chance) -> String {
    let (year, month, day) = chance.date();
    match chance.below(6) {
        0 | 1 => format!("{year}-{month:02}-{day:02}"),
        2 => format!("{month:02}/{day:02}/{year}"),
        3 => format!("{year}年{month}月{day}日"),
        4 => format!("昭和{}年{month}月{day}日", chance.between(10, 63)),
        _ => format!(
            "{day} {} {year}",
            chance.one(&["January", "Mar", "August", "Dec"])
        ),
    }
}

fn address(chance: &mut Chance) -> String {
    let (a, b) = (chance.between(1, 9), chance.between(1, 99));
    match chance.below(3) {
        0 => format!("東京都千代田区丸の内{a}-{b}"),
        1 => format!("大阪市北区梅田{a}丁目{b}番"),
        _ => format!(
            "{b}{a} {} Street, {}",
            chance.one(&["Oak", "High", "Market"]),
            chance.one(&["Springfield", "Leeds"])
        ),
    }
}

fn postcode(chance: &mut Chance) -> String {
    match chance.below(3) {
        0 => format!("{}-{}", chance.digits(3), chance.digits(4)),
        1 => chance.digits(5),
        _ => format!("{}-{}", chance.digits(5), chance.digits(4)),
    }
}

fn passport(chance: &mut Chance) -> String {
    match chance.below(2) {
        0 => format!("{}{}", chance.one(&["TR", "TK", "MU"]), chance.digits(7)),
        _ => format!("{}{}", chance.between(1, 9), chance.digits(8)),
    }
}

/// Thirteen digits whose last checks the others with weights 1 and 3.
fn ean(chance: &mut Chance, head: &str) -> String {
    let text = format!("{head}{}", chance.digits(12 - head.len()));
    let sum: u32 = text
        .bytes()
        .enumerate()
        .map(|(at, c)| u32::from(c - b'0') * if at % 2 == 0 { 1 } else { 3 })
        .sum();
    format!("{text}{}", (10 - sum % 10) % 10)
}

/// 法人番号: the first digit checks the other twelve.
fn corporate(chance: &mut Chance) -> String {
    let text = chance.digits(12);
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, c)| u32::from(c - b'0') * if at % 2 == 0 { 1 } else { 2 })
        .sum();
    format!("{}{text}", 9 - sum % 9)
}

/// What is no personal data, in the fields where it stands.
pub(super) static OTHERS: &[fn(&mut Chance) -> Value] = &[
    |chance| json!({"id": format!("{}-{}-4{}-a{}-{}", chance.hex(8), chance.hex(4), chance.hex(3), chance.hex(3), chance.hex(12))}),
    |chance| json!({"commit": chance.hex(40), "digest": format!("sha256:{}", chance.hex(64)), "text": chance.hex(40)}),
    |chance| json!({"createdAt": 1_700_000_000 + chance.below(100_000_000), "ts": chance.between(1_600_000_000_000, 1_800_000_000_000)}),
    |chance| json!({"text": format!("seen at {} and {}", 1_600_000_000 + chance.below(200_000_000), chance.between(1_600_000_000_000, 1_800_000_000_000))}),
    |chance| {
        let length = chance.between(8, 16) as usize;
        json!({"orderId": chance.digits(length), "ticket": chance.digits(10), "注文番号": chance.digits(12)})
    },
    |chance| json!({"text": format!("Order {} and ticket {} are open.", chance.digits(10), chance.digits(12))}),
    |chance| json!({"text": format!("注文番号{}、伝票番号{}の件", chance.digits(11), chance.digits(12))}),
    |chance| json!({"reference": chance.digits(16), "code": chance.digits(12), "number": chance.digits(11), "text": format!("{} / {}", chance.digits(9), chance.digits(10))}),
    |chance| {
        let length = chance.between(6, 19) as usize;
        json!({"reference": chance.digits(length), "n": chance.below(1_000_000_000_000)})
    },
    |chance| json!({"version": format!("{}.{}.{}", chance.below(20), chance.below(40), chance.below(100)), "build": format!("{}.{}.{}.{}", chance.below(20), chance.below(40), chance.below(100), chance.below(256))}),
    |chance| json!({"text": format!("upgrade to version {}.{}.{}.{} soon", chance.between(1, 20), chance.below(40), chance.below(100), chance.below(256))}),
    |chance| json!({"lat": chance.below(90_000_000) as f64 / 1e6, "lng": chance.below(180_000_000) as f64 / 1e6, "at": format!("35.{}, 139.{}", chance.digits(6), chance.digits(6))}),
    |chance| json!({"isbn": ean(chance, "978"), "ean": ean(chance, "40"), "jan": ean(chance, "49"), "item": ean(chance, "45")}),
    |chance| json!({"法人番号": corporate(chance), "text": format!("法人番号は{}です", corporate(chance))}),
    |chance| json!({"size": chance.below(1_000_000_000), "text": format!("{} bytes, {}.{} MiB", chance.below(100_000_000), chance.below(900), chance.below(10))}),
    |chance| json!({"colour": format!("#{}", chance.hex(6)), "price": format!("¥{},{}", chance.below(900), chance.digits(3)), "total": format!("${}.{}", chance.below(100_000), chance.digits(2))}),
    |chance| json!({"name": chance.one(&["notes_read", "files.write", "web-search", "db.query2"]), "arguments": {"limit": chance.below(500), "cursor": chance.of(BASE62, 24)}}),
    |chance| {
        let (year, month, day) = chance.date();
        json!({"date": format!("{year}-{month:02}-{day:02}"), "due": format!("{year}-{month:02}-{day:02}T{:02}:{}:{}Z", chance.below(24), chance.between(10, 59), chance.between(10, 59)), "日付": format!("{year}年{month}月{day}日")})
    },
    |chance| json!({"text": format!("{}-{} moved to {}-{}", chance.one(&["JIRA", "OPS", "AB"]), chance.digits(5), chance.one(&["PR", "MR"]), chance.digits(4)), "sku": format!("{}{}", chance.of(CAPITALS, 2), chance.digits(8))}),
    |chance| json!({"host": chance.one(&["127.0.0.1", "10.0.0.5", "192.168.1.20", "fe80::1", "::1", "203.0.113.9"]), "url": format!("https://example.com/items/{}?page={}", chance.digits(9), chance.below(90))}),
    |chance| json!({"trace_id": chance.hex(32), "span": chance.hex(16), "session_id": chance.of(BASE62, 22), "serial": format!("{}{}{}", chance.of(CAPITALS, 1), chance.digits(7), chance.of(CAPITALS, 1))}),
    |chance| json!({"phoneId": chance.digits(11), "cardCount": chance.below(9_999), "addressType": "billing", "phone_verified": "2024-01-15", "passwordPolicy": "at least 12 characters"}),
    |chance| json!({"text": format!("The meeting on 2026-03-{:02} at 10:30 is in room {}-{}, floor {}.", chance.between(10, 28), chance.digits(2), chance.digits(3), chance.below(30))}),
];
