//! Takes the title and the text out of HTML.
//!
//! It does not build a tree: pages are often broken and may be hostile, and one pass over the bytes has neither depth
//! nor memory beyond the text itself. It does not promise to agree with a browser, only to end.

/// Elements whose contents nobody reads.
const SILENT: [&str; 7] = [
    "script", "style", "noscript", "template", "svg", "iframe", "title",
];

/// Elements that stand in a line of text, so that their tags do not break it.
const INLINE: [&str; 21] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "img", "kbd", "mark", "q",
    "s", "small", "span", "strong", "sub", "sup", "u",
];

/// The title, if there is one, and the text.
pub fn read(html: &str) -> (Option<String>, String) {
    let title = element(html, "title")
        .map(|inner| lines(&decode(inner)).replace('\n', " "))
        .filter(|title| !title.is_empty());
    (title, lines(&text(html)))
}

/// The text with entities decoded, block elements on lines of their own, and white space as it was written.
fn text(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        out.push_str(&decode(before));
        rest = match tag.strip_prefix("<!--") {
            Some(comment) => after(comment, "-->"),
            None => {
                let name = name(tag);
                match name.is_empty() {
                    // A `<` that begins no tag is text.
                    true => out.push('<'),
                    false if INLINE.contains(&name.trim_start_matches('/')) => {}
                    false => out.push('\n'),
                }
                match SILENT.contains(&name.as_str()) {
                    true => after_end(tag, &name),
                    false if name.is_empty() => &tag[1..],
                    false => after(tag, ">"),
                }
            }
        };
    }
    out.push_str(&decode(rest));
    out
}

/// The name of the tag at the start of the text, in lower case, with `/` before it if it is an end tag.
fn name(tag: &str) -> String {
    let inner = &tag[1..];
    let end = inner
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_alphanumeric() || (at == 0 && matches!(c, '/' | '!' | '?'))))
        .map_or(inner.len(), |(at, _)| at);
    inner[..end].to_ascii_lowercase()
}

/// What follows the first `mark`; nothing if there is none.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or("", |(_, rest)| rest)
}

/// What follows the end tag of the element. Without one the element takes the rest of the page, as in a browser; to go
/// on behind its start instead would let a page of nothing but such starts be searched over and over.
fn after_end<'a>(tag: &'a str, name: &str) -> &'a str {
    find_end(tag, name).map_or("", |at| after(&tag[at..], ">"))
}

/// What is inside the first element of this name.
fn element<'a>(html: &'a str, name: &str) -> Option<&'a str> {
    let start = find(html, &format!("<{name}"))?;
    let inner = after(&html[start..], ">");
    Some(&inner[..find_end(inner, name)?])
}

fn find_end(text: &str, name: &str) -> Option<usize> {
    find(text, &format!("</{name}"))
}

/// Where an ASCII text in lower case is found, in any case.
fn find(text: &str, ascii: &str) -> Option<usize> {
    text.as_bytes()
        .windows(ascii.len())
        .position(|window| window.eq_ignore_ascii_case(ascii.as_bytes()))
}

/// The text with its character references replaced.
fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at(at);
        out.push_str(before);
        // The longest name that we know has six letters; a number has at most eight signs.
        let end = reference.bytes().take(10).position(|b| b == b';');
        match end.and_then(|end| Some((end, character(&reference[1..end])?))) {
            Some((end, c)) => {
                out.push(c);
                rest = &reference[end + 1..];
            }
            None => {
                out.push('&');
                rest = &reference[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    let number = |digits, radix| {
        let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
        (!c.is_control() || c == '\n').then_some(c)
    };
    if let Some(digits) = name.strip_prefix("#x").or(name.strip_prefix("#X")) {
        return number(digits, 16);
    }
    if let Some(digits) = name.strip_prefix('#') {
        return number(digits, 10);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "copy" => '©',
        _ => return None,
    })
}

/// The lines that say something, each with single spaces.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(first);
        for word in words {
            out.push(' ');
            out.push_str(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_its_title_and_text() {
        let (title, text) = read(
            "<!DOCTYPE html><html><head><title> A &amp;\n B </title><style>p{}</style></head>\
             <body><h1>Head</h1><p>One <b>bold</b>&nbsp;word.<!-- no --><br>Two &lt;3 &#x41;&#66;\
             <script>alert('<p>no</p>')</script><ul><li>a<li>b</ul></body></html>",
        );
        assert_eq!(title.as_deref(), Some("A & B"));
        assert_eq!(text, "Head\nOne bold word.\nTwo <3 AB\na\nb");
    }

    #[test]
    fn a_broken_page_ends() {
        for html in [
            "",
            "<",
            "<p",
            "<!--",
            "</",
            "<script>x",
            "&",
            "&#",
            "&#x110000;",
            "&#27;",
            "a < b",
            "<title>x",
            "<ä",
            "&ä;",
            "<SCRIPT>no</Script>yes",
        ] {
            let (_, text) = read(html);
            assert!(!text.contains("no"), "{html}");
        }
        assert_eq!(read("a < b & c").1, "a < b & c");
        assert_eq!(read("<p>&#27;[31m").1, "&#27;[31m");
    }
}
