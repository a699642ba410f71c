//! Pictures and sound of a reply are what they are declared to be.
//!
//! A client hands them to programs that look for themselves, and these find all kinds of things in what is called a picture. Only
//! types whose beginning is known pass, and only with that beginning. What draws by program, such as SVG, is no picture here.

/// Whether these bytes begin as a picture of this type does.
pub(super) fn is_image(essence: &str, data: &[u8]) -> bool {
    match essence {
        "image/png" => data.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => data.starts_with(b"\xff\xd8\xff"),
        "image/gif" => data.starts_with(b"GIF87a") || data.starts_with(b"GIF89a"),
        "image/webp" => is_riff(data, b"WEBP"),
        "image/avif" => is_iso(data, &[b"avif", b"avis"]),
        "image/bmp" => data.starts_with(b"BM"),
        _ => false,
    }
}

/// Whether these bytes begin as sound of this type does.
pub(super) fn is_audio(essence: &str, data: &[u8]) -> bool {
    match essence {
        "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => is_riff(data, b"WAVE"),
        // A tag, or the eleven set bits of a frame.
        "audio/mpeg" | "audio/mp3" => {
            data.starts_with(b"ID3")
                || matches!(data, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0)
        }
        "audio/ogg" | "audio/opus" => data.starts_with(b"OggS"),
        "audio/flac" => data.starts_with(b"fLaC"),
        "audio/webm" => data.starts_with(b"\x1a\x45\xdf\xa3"),
        "audio/mp4" | "audio/m4a" | "audio/x-m4a" => is_iso(data, &[b"M4A ", b"mp42", b"isom"]),
        "audio/aac" => matches!(data, [0xff, second, ..] if second & 0xf6 == 0xf0),
        _ => false,
    }
}

fn is_riff(data: &[u8], form: &[u8]) -> bool {
    data.starts_with(b"RIFF") && data.get(8..12) == Some(form)
}

/// ISO 14496-12: a box `ftyp` with its brand.
fn is_iso(data: &[u8], brands: &[&[u8; 4]]) -> bool {
    let brand = data.get(8..12);
    data.get(4..8) == Some(b"ftyp") && brands.iter().any(|known| brand == Some(&known[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_begins_as_its_type_does() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        assert!(is_image("image/png", png));
        assert!(is_image("image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF"));
        assert!(is_image("image/gif", b"GIF89a\x01\0"));
        assert!(is_image("image/webp", b"RIFF\x24\0\0\0WEBPVP8 "));
        assert!(is_image("image/avif", b"\0\0\0\x20ftypavif\0\0\0\0"));
        for (declared, data) in [
            ("image/jpeg", &png[..]),
            ("image/png", b"<html><script>"),
            ("image/png", b""),
            ("image/webp", b"RIFF\x24\0\0\0WAVEfmt "),
            (
                "image/svg+xml",
                b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            ),
            ("text/html", png),
            ("audio/wav", png),
        ] {
            assert!(!is_image(declared, data), "{declared}");
        }
    }

    #[test]
    fn sound_begins_as_its_type_does() {
        assert!(is_audio("audio/wav", b"RIFF\x24\0\0\0WAVEfmt "));
        assert!(is_audio("audio/mpeg", b"ID3\x04\0"));
        assert!(is_audio("audio/mpeg", b"\xff\xfb\x90\x64"));
        assert!(is_audio("audio/ogg", b"OggS\0\x02"));
        assert!(is_audio("audio/flac", b"fLaC\0"));
        assert!(is_audio("audio/mp4", b"\0\0\0\x20ftypM4A \0"));
        for (declared, data) in [
            ("audio/wav", &b"RIFF\x24\0\0\0WEBPVP8 "[..]),
            ("audio/mpeg", b"MZ\x90\0"),
            ("audio/mpeg", b"\xff\xd8\xff"),
            ("audio/x-unknown", b"RIFF\x24\0\0\0WAVE"),
            ("audio/ogg", b""),
        ] {
            assert!(!is_audio(declared, data), "{declared}");
        }
    }
}
