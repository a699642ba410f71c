//! Published examples, and every wrong check digit beside them.

use super::*;

/// The number passes, and with any other last digit it does not.
#[track_caller]
fn only(check: fn(&[u8]) -> bool, text: &str) {
    assert!(check(text.as_bytes()), "{text}");
    let mut others = text.as_bytes().to_vec();
    let last = others.pop().unwrap();
    let row = if last.is_ascii_digit() {
        b'0'..=b'9'
    } else {
        b'A'..=b'Z'
    };
    for c in row.filter(|c| *c != last) {
        others.push(c);
        assert!(!check(&others), "{text} with {}", char::from(c));
        others.pop();
    }
}

#[test]
fn a_card_has_an_issuer_a_length_and_a_check_digit() {
    // Test numbers that the card networks publish.
    for text in [
        "4111111111111111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "4222222222222",
    ] {
        only(card, text);
    }
    // Luhn holds, nobody issues it.
    assert!(luhn(b"1234567812345670") && !card(b"1234567812345670"));
    assert!(luhn(b"0000000000000000") && !card(b"0000000000000000"));
}

#[test]
fn an_iban_has_the_length_of_its_country() {
    for text in [
        "GB82WEST12345698765432",
        "DE89370400440532013000",
        "FR1420041010050500013M02606",
        "NO9386011117947",
    ] {
        assert!(iban(text.as_bytes()), "{text}");
        let mut wrong = text.as_bytes().to_vec();
        wrong.swap(2, 3);
        assert!(!iban(&wrong), "{text} with its check digits turned");
    }
    assert!(!iban(b"DE8937040044053201300"));
    assert!(!iban(b"XX89370400440532013000"));
}

#[test]
fn japanese_numbers() {
    // The example of the ordinance's weights: the sum is 212.
    only(my_number, "123456789018");
    assert!(!my_number(b"111111111111"));
}

#[test]
fn numbers_of_other_countries() {
    // Published examples: NHS Digital, BZSt, INSEE, the Spanish and Italian ministries, Wikipedia's for the rest.
    only(nhs, "9434765919");
    only(tax_id, "86095742719");
    only(tax_id, "65929970489");
    only(nif, "12345678Z");
    only(nie, "X1234567L");
    only(codice_fiscale, "RSSMRA85T10A562S");
    only(pesel, "44051401359");
    only(personnummer, "8112189876");
    only(personnummer, "198112189876");
    only(cpf, "52998224725");
    only(nric, "S1234567D");
    only(nric, "T1234567J");
    only(nric, "F1234567N");
    only(nric, "G1234567X");
    only(resident_id, "11010519491231002X");
    only(rrn, "9001011234568");
    assert!(nir(b"184127645108946") && !nir(b"184127645108947"));
    assert!(nir(b"255081416802538"));
    assert!(!tax_id(b"00095742719") && !cpf(b"11111111111") && !pesel(b"44131401359"));
    assert!(rrn_form(b"9001011234560") && !rrn_form(b"9013011234560"));
    assert!(
        nino(b"AB123456C") && !nino(b"GB123456C") && !nino(b"AB123456E") && !nino(b"QQ123456C")
    );
    assert!(ssn(b"123456789") && !ssn(b"666456789") && !ssn(b"900456789") && !ssn(b"123006789"));
    assert!(itin(b"912704567") && !itin(b"912004567") && !itin(b"123704567"));
}

#[test]
fn aadhaar_finds_every_wrong_digit_and_every_swap() {
    only(aadhaar, "234123412346");
    let text = b"234123412346";
    for at in 0..11 {
        let mut turned = *text;
        turned.swap(at, at + 1);
        assert!(turned == *text || !verhoeff(&turned));
    }
}

#[test]
fn a_validator_is_known_by_its_name_and_reads_letters_and_digits_alone() {
    for name in Validator::NAMES.split(", ") {
        assert!(name.parse::<Validator>().is_ok(), "{name}");
    }
    assert!("crc32".parse::<Validator>().is_err());
    assert!(
        Validator::Luhn.accepts("4111-1111-1111-1111")
            && !Validator::Luhn.accepts("4111-1111-1111-1112")
    );
    assert!(Validator::Mod97.accepts("gb82 west 1234 5698 7654 32"));
    assert!(Validator::Mod11.accepts("0-306-40615-2") && Validator::Mod11.accepts("080442957X"));
    for validator in [
        Validator::Luhn,
        Validator::Mod97,
        Validator::Verhoeff,
        Validator::Mod11,
        Validator::Mod11_10,
        Validator::Mod11_2,
    ] {
        assert!(
            !validator.accepts("") && !validator.accepts("個人番号") && !validator.accepts("XXXX")
        );
    }
}
