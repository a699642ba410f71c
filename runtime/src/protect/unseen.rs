//! Characters that nobody sees: one table for names, pages, replies and the search.

use std::borrow::Cow;

/// Whether a character shows nothing, or changes the order of what stands around it. Controls are not among them, nor is plain
/// space.
pub fn is_unseen(c: char) -> bool {
    is_joining(c) || is_needless(c)
}

/// Characters of which scripts and emoji need one, beside others: joiners, marks of direction, variation selectors.
pub(super) fn is_joining(c: char) -> bool {
    matches!(
        c,
        '\u{200c}'..='\u{200f}' | '\u{61c}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Those that no text needs.
pub(super) fn is_needless(c: char) -> bool {
    matches!(
        c,
        // soft hyphen, grapheme joiner, Hangul and Khmer fillers, Mongolian selectors
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{ffa0}'
            // zero width, separators of lines, embeddings, overrides and isolates, invisible operators, byte order marks
            | '\u{200b}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            // shorthand and music, tags, and what lies behind them
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}'
    )
}

/// Whether a control character has no business in a text: all but tab and the ends of lines.
pub fn is_stray_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// Text without control characters and terminal escape sequences; line feed and tab stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // ECMA-48: a sequence begins with ESC and a byte that names its kind, or with the C1 character that stands for both.
        let kind = match c {
            '\u{1b}' => rest.next_if(|next| matches!(next, ' '..='~')),
            '\u{9b}' => Some('['),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => Some(']'),
            _ if is_control(c) => continue,
            _ => {
                out.push(c);
                continue;
            }
        };
        match kind {
            // A control sequence: parameters and intermediates, then one final byte.
            Some('[') => {
                while rest.next_if(|next| matches!(next, ' '..='?')).is_some() {}
                rest.next_if(|next| matches!(next, '@'..='~'));
            }
            // A control string: all until BEL or the string terminator. One without an end takes its line alone, so that it
            // cannot swallow the rest of a reply.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while let Some(next) = rest.next_if(|next| *next != '\n') {
                    match next {
                        '\u{7}' | '\u{9c}' => break,
                        '\u{1b}' => {
                            rest.next_if(|next| *next == '\\');
                            break;
                        }
                        _ => {}
                    }
                }
            }
            // Intermediates, then one final byte.
            Some(' '..='/') => {
                while rest.next_if(|next| matches!(next, ' '..='/')).is_some() {}
                rest.next_if(|next| matches!(next, '0'..='~'));
            }
            Some(_) | None => {}
        }
    }
    Cow::Owned(out)
}
