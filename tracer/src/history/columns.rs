//! The columns of `points` and `seconds`: what is kept of a member.

use super::durations::Durations;
use crate::collect::{Counters, Failures, Other, Stock, each_cause, each_counter};
use crate::pools::{Exchanges, MemberSample, Recorded};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, Statement, ToSql};

macro_rules! names {
    ($($(#[$doc:meta])* $counter:ident,)*) => {
        const COUNTERS: &[&str] = &[$(stringify!($counter)),*];

        fn counters(of: &Counters) -> [u64; COUNTERS.len()] {
            let Counters { $($counter,)* .. } = of;
            [$(*$counter),*]
        }
    };
}

macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident,)*) => {
        const CAUSES: &[&str] = &[$(stringify!($cause)),*];
        const CAUSE_COLUMNS: &[&str] = &[$(concat!("failed_", stringify!($cause))),*];

        fn causes(of: &Failures) -> [u64; CAUSES.len()] {
            [$(of.$cause),*]
        }
    };
}

each_counter!(names);
each_cause!(causes);

/// Counts that are not among [`Counters`]' whole numbers, or are known otherwise.
const OWN: &[&str] = &["decisions", "requests", "exchanges"];
const STOCK: &[&str] = &["live", "pending", "closing", "rtt_sum_us"];
const DURATIONS: &[&str] = &["connect_times", "cancelled_ages", "response_times", "lifetimes"];

/// Numbers that are added up over time.
pub(super) const SUMS: usize = OWN.len() + COUNTERS.len() + CAUSES.len();
/// All whole numbers.
const NUMBERS: usize = SUMS + STOCK.len();

const ATTEMPTS: usize = OWN.len();
/// Where the present connections are.
const LIVE: usize = SUMS;

/// Names of the columns in common, in the order of [`Figures::bind`].
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    [OWN, COUNTERS, CAUSE_COLUMNS, STOCK, DURATIONS].into_iter().flatten().copied()
}

/// How many they are.
pub(super) const COLUMNS: usize = NUMBERS + DURATIONS.len();

/// What is kept of a member in some time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// Counts, then stock.
    numbers: [u64; NUMBERS],
    /// A bit for each number: it is not known.
    unknown: u32,
    /// `None`: not measured.
    durations: [Option<Durations>; DURATIONS.len()],
    /// Live connections times seconds; `None`: not known.
    live_seconds: Option<f64>,
}

const _: () = assert!(NUMBERS <= 32, "a bit for each");

impl Figures {
    /// Of a member; `None` when there was nothing of it: it needs no row.
    pub(super) fn of_member(member: &MemberSample, seconds: f64) -> Option<Self> {
        let figures = Self::of(
            &member.delta,
            Some(member.decisions),
            member.requests,
            &member.exchanges,
            member.stock,
            &member.recorded,
            seconds,
        );
        (!figures.is_nothing()).then_some(figures)
    }

    /// Of what is nobody's.
    pub(super) fn of_other(other: &Other, seconds: f64) -> Option<Self> {
        let exchanges = Exchanges::of(&other.delta, other.exchanges);
        let figures =
            Self::of(&other.delta, None, None, &exchanges, other.stock, &Recorded::default(), seconds);
        (!figures.is_nothing()).then_some(figures)
    }

    fn of(
        delta: &Counters,
        decisions: Option<u64>,
        requests: Option<u64>,
        exchanges: &Exchanges,
        stock: Option<Stock>,
        recorded: &Recorded,
        seconds: f64,
    ) -> Self {
        let known = |name: &str| recorded.unmeasured.is_empty() || !recorded.unmeasured.contains(name);
        let mut numbers = [0; NUMBERS];
        let mut unknown = 0;
        let mut at = 0;
        let mut put = |number: Option<u64>| {
            match number {
                Some(number) => numbers[at] = number,
                None => unknown |= 1 << at,
            }
            at += 1;
        };
        [decisions, requests, exchanges.count].into_iter().for_each(&mut put);
        for (name, count) in COUNTERS.iter().zip(counters(delta)) {
            put(known(name).then_some(count));
        }
        for (name, count) in CAUSES.iter().zip(causes(&delta.failed)) {
            put(known(name).then_some(count));
        }
        put(stock.map(|stock| stock.live));
        put(stock.filter(|_| known("pending")).map(|stock| stock.pending));
        put(stock.filter(|_| known("closing")).map(|stock| stock.closing));
        put(stock.filter(|_| known("rtt_sum_us")).map(|stock| stock.rtt_sum_us));
        let durations = [
            Some(Durations::from(&delta.connect_time)),
            Some(Durations::from(&delta.cancelled_age)),
            exchanges.response_time.as_ref().map(Durations::from),
            known("lifetime").then(|| Durations::from(&delta.lifetime)),
        ];
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let live_seconds = stock.map(|stock| stock.live as f64 * seconds);
        Self { numbers, unknown, durations, live_seconds }
    }

    /// Whether a row would say no more than that there is none: nothing happened, and nothing was there. What else is
    /// not known of it (exchanges) cannot have been.
    fn is_nothing(&self) -> bool {
        let must_be_known = 1 << ATTEMPTS | 1 << LIVE;
        self.unknown & must_be_known == 0 && self.numbers == [0; NUMBERS]
    }

    /// Takes in what came later.
    pub(super) fn add(&mut self, later: &Self) {
        for (sum, more) in self.numbers[..SUMS].iter_mut().zip(later.numbers) {
            *sum = sum.saturating_add(more);
        }
        self.numbers[SUMS..].copy_from_slice(&later.numbers[SUMS..]);
        const OF_SUMS: u32 = (1 << SUMS) - 1;
        // A sum of which a part is not known is not known; a stock is that of the end.
        self.unknown = (self.unknown | later.unknown) & OF_SUMS | later.unknown & !OF_SUMS;
        for (sum, more) in self.durations.iter_mut().zip(&later.durations) {
            match (sum.as_mut(), more) {
                (Some(sum), Some(more)) => sum.add(more),
                _ => *sum = None,
            }
        }
        self.live_seconds = self.live_seconds.zip(later.live_seconds).map(|(sum, more)| sum + more);
    }

    /// Nothing is there any more; whether something was.
    pub(super) fn end_empty(&mut self) -> bool {
        const OF_STOCK: u32 = !((1 << SUMS) - 1);
        let was = self.numbers[SUMS..].iter().any(|&number| number > 0) || self.unknown & OF_STOCK > 0;
        self.numbers[SUMS..].fill(0);
        self.unknown &= !OF_STOCK;
        was
    }

    /// A number by its place among [`names`]; `None`: not known.
    pub(super) fn number(&self, at: usize) -> Option<u64> {
        (self.unknown & 1 << at == 0).then_some(self.numbers[at])
    }

    /// Live connections times seconds.
    pub(super) fn live_seconds(&self) -> Option<f64> {
        self.live_seconds
    }

    /// Binds the columns of [`names`] from parameter `first` on.
    pub(super) fn bind(&self, statement: &mut Statement<'_>, first: usize) -> rusqlite::Result<()> {
        for at in 0..NUMBERS {
            statement.raw_bind_parameter(first + at, self.number(at).map(whole))?;
        }
        for (at, durations) in self.durations.iter().enumerate() {
            statement.raw_bind_parameter(first + NUMBERS + at, Column(durations.as_ref()))?;
        }
        Ok(())
    }
}

/// SQLite's numbers end at 2^63.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Durations as a value.
struct Column<'a>(Option<&'a Durations>);

impl ToSql for Column<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(self.0.map_or(Value::Null, |durations| Value::Text(durations.text()))))
    }
}

/// A whole number of a row, if it is one; what is NULL, or no number, is not known.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => u64::try_from(number).ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_numbers_are_those_of_their_names() {
        let names: Vec<_> = names().collect();
        assert_eq!(names.len(), COLUMNS);
        assert_eq!((names[ATTEMPTS], names[LIVE]), ("attempts", "live"));
    }
}
