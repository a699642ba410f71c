//! Values that no log may hold: they have no text of their own, and whoever reads them says so.

use std::fmt;

/// What a caller sent, or what a tool answered. It can be neither printed nor serialized; [`Sensitive::expose`] is the one way to
/// it, which a reader of the code can look for.
///
/// ```compile_fail,E0277
/// let given = bailiwick::protect::Sensitive::new("somebody@example.com".to_owned());
/// println!("{given}");
/// ```
///
/// ```compile_fail,E0277
/// let given = bailiwick::protect::Sensitive::new("somebody@example.com".to_owned());
/// let _ = serde_json::to_string(&given);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// From here on it is not printed.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value: for deciding about it, and for whom it is meant.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, for whom it is meant.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Sensitive<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sensitive_is_in_no_text_about_what_holds_it() {
        #[derive(Debug)]
        struct Held {
            _given: Sensitive<Vec<String>>,
        }
        let value = vec!["somebody@example.com".to_owned()];
        let held = Held {
            _given: Sensitive::new(value.clone()),
        };
        assert_eq!(format!("{held:?}"), "Held { _given: … }");
        assert_eq!(held._given.expose(), &value);
        assert_eq!(held._given.into_exposed(), value);
    }
}
