//! Histograms without their empty buckets: most have a few that are filled.

use crate::collect::Histogram;
use std::fmt::Write as _;

/// Filled buckets, in order: number and count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Durations(Box<[(u8, u64)]>);

impl From<&Histogram> for Durations {
    fn from(histogram: &Histogram) -> Self {
        let buckets = (0_u8..).zip(histogram.counts()).filter(|(_, count)| **count > 0);
        Self(buckets.map(|(bucket, &count)| (bucket, count)).collect())
    }
}

impl From<&Durations> for Histogram {
    fn from(durations: &Durations) -> Self {
        let mut histogram = Self::default();
        durations.add_to(&mut histogram);
        histogram
    }
}

impl Durations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both together.
    pub(super) fn add(&mut self, more: &Self) {
        if self.is_empty() {
            self.clone_from(more);
        } else if !more.is_empty() {
            let mut sum = Histogram::from(&*self);
            more.add_to(&mut sum);
            *self = Self::from(&sum);
        }
    }

    /// Adds them to a histogram.
    pub(super) fn add_to(&self, histogram: &mut Histogram) {
        if self.is_empty() {
            return;
        }
        let counts = histogram.counts_mut();
        for &(bucket, count) in &self.0 {
            let sum = &mut counts[usize::from(bucket)];
            *sum = sum.saturating_add(count);
        }
    }

    /// A JSON list: number of the first bucket, then the count of it and of each that follows, up to the last that is
    /// filled. Empty: `[]`.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("[");
        let mut next = None;
        for &(bucket, count) in &self.0 {
            if next.is_none() {
                let _ = write!(text, "{bucket}");
            }
            for _ in next.unwrap_or(bucket)..bucket {
                text.push_str(",0");
            }
            let _ = write!(text, ",{count}");
            next = Some(bucket + 1);
        }
        text.push(']');
        text
    }

    /// Adds what [`text`](Self::text) made to a histogram; false when it is anything else.
    pub(super) fn add_text_to(histogram: &mut Histogram, text: &str) -> bool {
        add_text_to(histogram, text).is_some()
    }
}

fn add_text_to(histogram: &mut Histogram, text: &str) -> Option<()> {
    let list = text.strip_prefix('[')?.strip_suffix(']')?;
    if list.is_empty() {
        return Some(());
    }
    let mut numbers = list.split(',').map(str::parse::<u64>);
    let first = usize::try_from(numbers.next()?.ok()?).ok()?;
    let counts = histogram.counts_mut().get_mut(first..)?;
    let mut sums = counts.iter_mut();
    for count in numbers {
        let sum = sums.next()?;
        *sum = sum.saturating_add(count.ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tracer_ebpf::histogram::BUCKETS;

    fn read(text: &str) -> Option<Histogram> {
        let mut histogram = Histogram::default();
        Durations::add_text_to(&mut histogram, text).then_some(histogram)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_sums_are_those_of_histograms(
            one in prop::collection::vec((0..BUCKETS, 1..1_000_u64), 0..9),
            other in prop::collection::vec((0..BUCKETS, 1..1_000_u64), 0..9),
        ) {
            let histogram = |buckets: Vec<(usize, u64)>| {
                let mut histogram = Histogram::default();
                buckets.into_iter().for_each(|(bucket, count)| histogram.counts_mut()[bucket] += count);
                histogram
            };
            let (one, other) = (histogram(one), histogram(other));
            let mut sum = Durations::from(&one);
            prop_assert_eq!(&Histogram::from(&sum), &one);
            prop_assert_eq!(read(&sum.text()), Some(one.clone()));
            sum.add(&Durations::from(&other));
            let mut wanted = one;
            wanted += &other;
            prop_assert_eq!(Histogram::from(&sum), wanted);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\[?[0-9, \\-\\.x]{0,40}\\]?") {
            let _ = read(&text);
        }
    }

    #[test]
    fn a_list_begins_with_the_number_of_its_first_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(Durations::from(&histogram).text(), "[]");
        (histogram.counts_mut()[12], histogram.counts_mut()[14]) = (3, 8);
        assert_eq!(Durations::from(&histogram).text(), "[12,3,0,8]");
        for wrong in ["", "[", "[12,3", "[x,1]", "[-1,2]", "[999,1]", "[85,1,1,1,1]", "{}", "[1,2.5]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
