//! Which columns a table of members has in a given width.

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Backend,
    Finding,
    Bar,
    Share,
    Expected,
    Interval,
    Exchanges,
    Rate,
    Trend,
    Live,
    Failed,
    Response,
    Bytes,
}

use Column::{
    Backend, Bar, Bytes, Exchanges, Expected, Failed, Finding, Interval, Live, Rate, Response, Share, Trend,
};

/// As they stand, from the left.
const ORDER: [Column; 13] =
    [Backend, Finding, Bar, Share, Expected, Interval, Exchanges, Rate, Trend, Live, Failed, Response, Bytes];

/// Who comes first when there is little room, and how wide it is at least.
const BY_IMPORTANCE: [(Column, usize); 10] = [
    (Share, 7),
    (Bar, 10),
    (Rate, 7),
    (Failed, 6),
    (Response, 8),
    (Live, 6),
    (Expected, 8),
    (Interval, 11),
    (Trend, 12),
    (Bytes, 19),
];

/// Who takes what is left, up to which width.
const GROWING: [(Column, usize); 5] = [(Bar, 24), (Response, 15), (Failed, 22), (Trend, 30), (Bar, 40)];

/// Between two columns.
pub(super) const GAP: usize = 1;

impl Column {
    /// What stands above it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Finding => "",
            Self::Bar => "┃ expected",
            Self::Share => "share",
            Self::Expected => "expected",
            Self::Interval => "95 % range",
            Self::Exchanges => "exch/s",
            Self::Rate => "conn/s",
            Self::Trend => "trend",
            Self::Live => "live",
            Self::Failed => "failed",
            Self::Response => "resp p50",
            Self::Bytes => "bytes/s out/in",
        }
    }

    /// Whether what stands in it begins at the left.
    pub(super) const fn is_left(self) -> bool {
        matches!(self, Self::Backend | Self::Finding | Self::Bar | Self::Trend)
    }
}

/// The columns that fit into `width`, each with its width, when the names of the backends need `names`, what is found
/// of them needs `findings`, and how many exchanges they have needs `exchanges`; 0: there is no such column.
pub(super) fn fit(width: usize, names: usize, findings: usize, exchanges: usize) -> Vec<(Column, usize)> {
    // The name may take a half, and everything where there is nothing else.
    let names = names.clamp(1, (width / 2).max(12)).min(width.max(1));
    let mut widths = vec![(Backend, names)];
    let mut left = width.saturating_sub(names);
    let mut take = |column: Column, least: usize| {
        if least > 0 && left >= least + GAP {
            left -= least + GAP;
            widths.push((column, least));
        }
    };
    take(Finding, findings);
    take(Exchanges, exchanges);
    for (column, least) in BY_IMPORTANCE {
        take(column, least);
    }
    for (column, most) in GROWING {
        if let Some((_, width)) = widths.iter_mut().find(|(one, _)| *one == column) {
            let more = most.saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
    }
    let place = |column: Column| ORDER.iter().position(|one| *one == column);
    widths.sort_by_key(|(column, _)| place(*column));
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_width_the_columns_fit_and_the_backend_comes_first() {
        for width in 1..300 {
            for (names, findings) in [(11, 0), (21, 10), (47, 5)] {
                let columns = fit(width, names, findings, 0);
                let sum: usize = columns.iter().map(|(_, width)| width).sum();
                assert!(sum + GAP * (columns.len() - 1) <= width, "{width}: {columns:?}");
                assert_eq!(columns[0].0, Backend);
            }
        }
    }

    #[test]
    fn a_terminal_of_eighty_columns_shows_who_fails_and_who_is_slow() {
        let columns: Vec<_> = fit(78, 15, 7, 0).into_iter().map(|(column, _)| column).collect();
        assert_eq!(columns, [Backend, Finding, Bar, Share, Rate, Live, Failed, Response]);
        assert_eq!(fit(248, 21, 10, 7).len(), ORDER.len(), "a wide one shows everything");
        let columns: Vec<_> = fit(78, 15, 7, 7).into_iter().map(|(column, _)| column).collect();
        assert_eq!(
            columns,
            [Backend, Finding, Bar, Share, Exchanges, Rate, Failed, Response],
            "what shares are of"
        );
    }
}
