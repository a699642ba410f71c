//! What is found, and what is not.

use serde_json::json;

use super::*;
use crate::limits;

/// The classes found in a text without any context, each with how sure it is.
fn found(text: &str) -> Vec<(String, Confidence)> {
    let scan = Detector::built_in().scan_text(text, "");
    assert!(!scan.truncated);
    scan.findings
        .iter()
        .map(|one| (one.class.to_string(), one.confidence))
        .collect()
}

#[track_caller]
fn sure(text: &str, class: &str, value: &str) {
    let scan = Detector::built_in().scan_text(text, "");
    let is = |one: &&Finding| {
        one.class.as_str() == class
            && one.confidence == Confidence::Sure
            && &text[one.span.clone()] == value
    };
    assert!(
        scan.findings.iter().any(|one| is(&one)),
        "no {class} {value} in {text}: {:?}",
        found(text)
    );
}

#[track_caller]
fn likely(text: &str, class: &str) {
    assert!(
        found(text).contains(&(class.to_owned(), Confidence::Likely)),
        "{text}: {:?}",
        found(text)
    );
}

#[track_caller]
fn clean(text: &str) {
    assert_eq!(found(text), [], "{text}");
}

/// Nothing is sure.
#[track_caller]
fn unsure(text: &str) {
    assert!(
        found(text).iter().all(|one| one.1 == Confidence::Likely),
        "{text}: {:?}",
        found(text)
    );
}

#[test]
fn mail() {
    sure(
        "write to taro.yamada+x@mail.example.co.jp.",
        "email",
        "taro.yamada+x@mail.example.co.jp",
    );
    sure("メールはtaro@example.comまで", "email", "taro@example.com");
    sure(
        "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ",
        "email",
        "ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    );
    sure(
        "\"O'Brien\" <o'brien@example.ie>",
        "email",
        "o'brien@example.ie",
    );
    sure("?mail=a_b@example.org&x=1", "email", "a_b@example.org");
    for text in [
        "git@github.com:owner/name.git",
        "icon@2x.png",
        "@scope/package",
        "serde@1.0.2",
        "a@b",
        "user@host",
        "x @ y.z",
        "foo@-bar.com",
    ] {
        clean(text);
    }
}

#[test]
fn cards() {
    sure("card 4111 1111 1111 1111", "card", "4111 1111 1111 1111");
    sure("4111-1111-1111-1111", "card", "4111-1111-1111-1111");
    sure(
        "カード番号は４１１１１１１１１１１１１１１１です",
        "card",
        "４１１１１１１１１１１１１１１１",
    );
    sure("3782 822463 10005", "card", "3782 822463 10005");
    sure("pay with 5555555555554444 now", "card", "5555555555554444");
    unsure("order 4111111111111111");
    clean("card 4111 1111 1111 1112");
    clean("1234567812345670");
    unsure("4111-1111-1111-1111-1111");
}

#[test]
fn accounts() {
    sure(
        "IBAN: DE89 3704 0044 0532 0130 00.",
        "iban",
        "DE89 3704 0044 0532 0130 00",
    );
    sure("gb82west12345698765432", "iban", "gb82west12345698765432");
    clean("IBAN: DE89 3704 0044 0532 0130 01");
}

#[test]
fn telephones() {
    sure("call +81 90-1234-5678", "phone", "+81 90-1234-5678");
    sure("+1 (212) 555-0123", "phone", "+1 (212) 555-0123");
    sure("+44 (0)20 7946 0958", "phone", "+44 (0)20 7946 0958");
    sure("090-1234-5678", "phone", "090-1234-5678");
    sure(
        "電話：０３－１２３４－５６７８",
        "phone",
        "０３－１２３４－５６７８",
    );
    sure("TEL03-1234-5678", "phone", "03-1234-5678");
    sure("電話 0312345678", "phone", "0312345678");
    sure("phone: (212) 555-0123", "phone", "(212) 555-0123");
    sure("Tel. 03-1234-5678 090-1111-2222", "phone", "03-1234-5678");
    sure("Tel. 03-1234-5678 090-1111-2222", "phone", "090-1111-2222");
    likely("03-1234-5678", "phone");
    likely("212-555-0123", "phone");
    for text in [
        "1700000000",
        "phone model 12",
        "2024-01-15 10:30:00",
        "phone order 1234567890",
        "+12345678",
        "lat 35.689512 lon 139.691711",
        "+35.6895+139.6917/",
    ] {
        clean(text);
    }
}

#[test]
fn internet_addresses() {
    sure("client ip 203.0.114.7", "ip-address", "203.0.114.7");
    sure("2400:4051:1:2::7", "ip-address", "2400:4051:1:2::7");
    sure(
        "[2400:4051:1:2:a:b:c:d]:443",
        "ip-address",
        "2400:4051:1:2:a:b:c:d",
    );
    likely("8.8.8.8", "ip-address");
    for text in [
        "ip 127.0.0.1",
        "ip 10.1.2.3",
        "ip 192.168.0.1",
        "ip 203.0.113.7",
        "ip 0.0.0.0",
        "ip 224.0.0.1",
        "::1",
        "fe80::1",
        "2001:db8::1",
        "std::vec::Vec",
        "a::b",
        "v1.2.3.4",
        "nginx/1.18.0.1",
        "10.0.19041.1",
        "1.2.3",
        "12:30:45",
        "::",
    ] {
        clean(text);
    }
    unsure("version 1.2.3.4");
}

#[test]
fn devices() {
    sure("a4:5e:60:c2:11:0f", "mac-address", "a4:5e:60:c2:11:0f");
    sure("MAC A4-5E-60-C2-11-0F.", "mac-address", "A4-5E-60-C2-11-0F");
    sure("MAC:a4:5e:60:c2:11:0f", "mac-address", "a4:5e:60:c2:11:0f");
    sure(
        "機器：a4:5e:60:c2:11:0f",
        "mac-address",
        "a4:5e:60:c2:11:0f",
    );
    sure("mac a45e.60c2.110f", "mac-address", "a45e.60c2.110f");
    for text in [
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "01:00:5e:00:00:fb",
        "a4:5e:60:c2:11",
        "a4:5e:60:c2:11:0f:aa:bb",
    ] {
        clean(text);
    }
}

#[test]
fn days_of_birth() {
    sure("born 1990-01-02", "birth-date", "1990-01-02");
    sure("DOB: 01/02/1990", "birth-date", "01/02/1990");
    sure("生年月日：1990年1月2日", "birth-date", "1990年1月2日");
    sure("生年月日 昭和55年3月4日", "birth-date", "昭和55年3月4日");
    sure(
        "date of birth: 2 January 1990",
        "birth-date",
        "2 January 1990",
    );
    sure(
        "date of birth: March 14th, 1990",
        "birth-date",
        "March 14th, 1990",
    );
    for text in [
        "1990-01-02",
        "due 2026-01-02T00:00:00Z",
        "born 1990-13-02",
        "1990年1月2日",
        "born in ward 12 of 1990",
    ] {
        clean(text);
    }
}

#[test]
fn japanese_numbers() {
    sure(
        "マイナンバー 1234-5678-9018",
        "jp-my-number",
        "1234-5678-9018",
    );
    sure(
        "個人番号は１２３４５６７８９０１８",
        "jp-my-number",
        "１２３４５６７８９０１８",
    );
    sure("my number: 123456789018", "jp-my-number", "123456789018");
    likely("123456789018", "jp-my-number");
    clean("マイナンバー 123456789012");
    sure(
        "在留カード AB12345678CD",
        "jp-residence-card",
        "AB12345678CD",
    );
    likely("AB12345678CD", "jp-residence-card");
    sure(
        "運転免許証 305012345670",
        "jp-driving-licence",
        "305012345670",
    );
    sure("旅券番号 TR1234567", "passport", "TR1234567");
    sure("passport no. 123456789", "passport", "123456789");
    sure(
        "基礎年金番号：1234-567890",
        "jp-pension-number",
        "1234-567890",
    );
    sure("保険者番号 06123456", "jp-health-insurance", "06123456");
    sure("〒100-0001", "postcode", "100-0001");
    sure("zip 94105-1234", "postcode", "94105-1234");
    for text in [
        "305012345671",
        "TR1234567",
        "1234-567890",
        "100-0001",
        "法人番号 7000012050002",
        "ab12345678cd",
    ] {
        clean(text);
    }
}

#[test]
fn numbers_of_other_countries() {
    for (label, class, value) in [
        ("SSN", "us-ssn", "123-45-6789"),
        ("social security", "us-ssn", "123456789"),
        ("ITIN", "us-itin", "912-70-4567"),
        ("NINO", "uk-nino", "AB123456C"),
        ("national insurance", "uk-nino", "AB 12 34 56 C"),
        ("NHS", "uk-nhs", "943 476 5919"),
        ("NHS number", "uk-nhs", "9434765919"),
        ("Steuer-ID", "de-tax-id", "86 095 742 719"),
        ("sécurité sociale", "fr-nir", "1 84 12 76 451 089 46"),
        ("DNI", "es-nif", "12345678Z"),
        ("DNI", "es-nif", "12345678-Z"),
        ("NIE", "es-nie", "X1234567L"),
        ("NIE", "es-nie", "X-1234567-L"),
        ("codice fiscale", "it-codice-fiscale", "RSSMRA85T10A562S"),
        ("PESEL", "pl-pesel", "44051401359"),
        ("personnummer", "se-personnummer", "811218-9876"),
        ("CPF", "br-cpf", "529.982.247-25"),
        ("Aadhaar", "in-aadhaar", "2341 2341 2346"),
        ("Aadhaar", "in-aadhaar", "234123412346"),
        ("주민등록번호", "kr-rrn", "900101-1234568"),
        ("NRIC", "sg-nric", "S1234567D"),
        ("身份证", "cn-resident-id", "11010519491231002X"),
    ] {
        sure(&format!("{label}: {value}"), class, value);
        sure(&format!("{label} {value}."), class, value);
        unsure(&format!("ticket-{value}"));
    }
    // A country, a date or a form that few numbers have is enough without a label.
    for (class, value) in [
        ("it-codice-fiscale", "RSSMRA85T10A562S"),
        ("cn-resident-id", "11010519491231002X"),
        ("kr-rrn", "900101-1234568"),
        ("br-cpf", "529.982.247-25"),
        ("fr-nir", "184127645108946"),
    ] {
        sure(value, class, value);
    }
    for (class, value) in [
        ("us-ssn", "123-45-6789"),
        ("uk-nino", "AB123456C"),
        ("uk-nhs", "943 476 5919"),
        ("de-tax-id", "86095742719"),
        ("es-nif", "12345678Z"),
        ("es-nie", "X1234567L"),
        ("pl-pesel", "44051401359"),
        ("se-personnummer", "811218-9876"),
        ("in-aadhaar", "2341 2341 2346"),
        ("sg-nric", "S1234567D"),
        ("kr-rrn", "900101-1234560"),
    ] {
        likely(value, class);
    }
    for text in [
        "SSN 666-45-6789",
        "Steuer-ID 86095742718",
        "DNI 12345678A",
        "NIE X1234567M",
        "codice fiscale RSSMRA85T10A562T",
        "PESEL 44051401358",
        "personnummer 811218-9875",
        "CPF 529.982.247-24",
        "NRIC S1234567E",
        "身份证 110105194912310021",
    ] {
        clean(text);
    }
}

#[test]
fn what_opens_something() {
    let github = ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    sure(&format!("token={github}"), "github-token", &github);
    sure(
        "key AKIAQ3EGUZ5PLKT2VN7B.",
        "aws-key",
        "AKIAQ3EGUZ5PLKT2VN7B",
    );
    let google = ["AIza", "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"].concat();
    sure(&google, "google-key", &google);
    let slack = [
        "xoxb-",
        "263594206564-2343594206574-FGqddMF8t08v8N7Oq4i57vs1",
    ]
    .concat();
    sure(&slack, "slack-token", &slack);
    let stripe = ["sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"].concat();
    sure(&stripe, "stripe-key", &stripe);
    let jwt = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    sure(&format!("Bearer {jwt}"), "jwt", jwt);
    sure(
        "postgres://app:s3cr3t@db.example.com/x",
        "url-password",
        "s3cr3t",
    );
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n-----END PRIVATE KEY-----";
    sure(pem, "private-key", pem);
    for text in [
        "AKIAIOSFODNN7EXAMPLE",
        "postgres://user:password@db.example.com/x",
        "postgres://user:${PASSWORD}@db/x",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ] {
        clean(text);
    }
}

#[test]
fn what_is_no_personal_data_stays_clean() {
    for text in [
        "550e8400-e29b-41d4-a716-446655440000",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "1700000000",
        "1700000000000",
        "2024-01-15T10:30:00.000Z",
        "10:30:45",
        "v1.22.3-rc.1",
        "35.689487, 139.691711",
        "#ff8800",
        "$1,234.56",
        "¥12,345,678",
        "1.5 GiB",
        "notes_read",
        "files.write",
        "https://example.com/a/b?c=1",
        "978-3-16-148410-0",
        "4902102072618",
        "sha256:e3b0c44298fc1c149afbf4c8996fb924",
        "ORD-2024-000123",
        "JIRA-12345",
        "1,234,567,890",
        "9007199254740993",
        "0x7ffeefbff5c8",
        "100%",
        "1/2/3",
        "-1",
        "1e10",
        "",
        " ",
        "\u{0}\u{0}",
    ] {
        clean(text);
    }
}

#[test]
fn every_class_has_its_words() {
    let mut names: Vec<_> = built_in().iter().map(|one| one.name).collect();
    for (kind, one) in class::KINDS.iter().zip(built_in()) {
        assert!(one.name.parse::<Class>().is_ok() && !one.en.is_empty() && !one.ja.is_empty());
        assert_eq!(built_in()[usize::from(kind.id())].name, one.name);
        assert!(usize::from(kind.id()) + limits::PROTECT_RULES_MAX < usize::from(class::OTHER));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), class::KINDS.len());
}

#[test]
fn a_class_is_named_plainly() {
    for name in ["email", "jp-my-number", "x1", &"a".repeat(40)] {
        assert_eq!(name.parse::<Class>().unwrap().to_string(), name);
    }
    for name in [
        "",
        "1a",
        "-a",
        "a-",
        "A",
        "a_b",
        "é",
        "a b",
        &"a".repeat(41),
    ] {
        assert!(name.parse::<Class>().is_err(), "{name}");
    }
    assert_eq!(
        serde_json::from_str::<Class>("\"card\"").unwrap().as_str(),
        "card"
    );
    assert!(serde_json::from_str::<Class>("\"No\"").is_err());
}

mod attacks;
mod corpus;
mod json;
mod own;
