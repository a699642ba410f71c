//! Whether a commit waits for others: it costs the same for one record as for many.

/// So many were waited for in the last commit where the next one waits for others: fewer callers than that are held up by nobody.
const SIBLINGS: usize = 4;

/// What others are waited for before records are committed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gather {
    /// Nothing.
    No,
    /// For a while, until somebody waits for the disk.
    UntilAwaited,
    /// For a moment, with those who wait.
    Awaited,
}

impl Gather {
    /// With so many who wait for the disk now, and so many who waited for the last commit.
    pub(super) fn of(awaited: usize, before: usize) -> Self {
        match awaited {
            0 => Self::UntilAwaited,
            _ if before >= SIBLINGS => Self::Awaited,
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_many_wait_does_one_wait_for_others() {
        for (awaited, before, expected) in [
            (0, 0, Gather::UntilAwaited),
            (0, 64, Gather::UntilAwaited),
            (1, 0, Gather::No),
            (1, SIBLINGS - 1, Gather::No),
            (1, SIBLINGS, Gather::Awaited),
            (64, 64, Gather::Awaited),
        ] {
            assert_eq!(Gather::of(awaited, before), expected, "{awaited} {before}");
        }
    }
}
