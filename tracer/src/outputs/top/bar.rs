//! A share as a bar, and the last minutes as a sparkline.

use super::look::{self, Tone};
use super::share::Share;
use super::trend::{Pace, mean};
use ratatui::text::Span;

/// Surely there; within the interval; nothing; the mark of what is expected.
const SURE: char = '█';
const MAYBE: char = '▒';
const NONE: char = '·';
const EXPECTED: char = '┃';
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a cell of a bar says.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Filled(char),
    Empty,
    Mark,
}

/// A bar of `width` cells, of which all mean the share `scale`: solid as far as is sure, hatched as far as the interval
/// reaches, and a mark where the share should be.
pub(super) fn bar(share: &Share, scale: f64, width: usize, tone: Tone) -> Vec<Span<'static>> {
    let Some(observed) = share.observed else { return vec![Span::styled(" ".repeat(width), look::quiet())] };
    let [low, high] = share.interval.unwrap_or([observed, observed]);
    let mut cells = vec![Cell::Empty; width];
    let (sure, maybe) = (cells_of(low, scale, width), cells_of(high, scale, width));
    for (place, cell) in cells.iter_mut().enumerate().take(maybe.max(sure)) {
        *cell = Cell::Filled(if place < sure { SURE } else { MAYBE });
    }
    if let Some(expected) = share.expected.filter(|&expected| expected > 0.0) {
        let mark = cells_of(expected, scale, width).saturating_sub(1);
        if let Some(cell) = cells.get_mut(mark) {
            *cell = Cell::Mark;
        }
    }
    let spans = cells.chunk_by(|a, b| a == b).map(|run| match run[0] {
        Cell::Filled(symbol) => {
            Span::styled(symbol.to_string().repeat(run.len()), look::fill(tone, symbol == MAYBE))
        }
        Cell::Empty => Span::styled(NONE.to_string().repeat(run.len()), look::quiet()),
        Cell::Mark => Span::styled(EXPECTED.to_string().repeat(run.len()), look::mark()),
    });
    spans.collect()
}

/// Cells that a share takes, to the nearest; something that is there takes one.
fn cells_of(share: f64, scale: f64, width: usize) -> usize {
    let part = (share / scale).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and the width")]
    let cells = (part * width as f64).round() as usize;
    if share > 0.0 { cells.clamp(usize::from(width > 0), width) } else { 0 }
}

/// Intervals that a cell of a sparkline stands for, so that all of them fit.
pub(super) fn intervals_per_cell(intervals: usize, width: usize) -> usize {
    // One cell more may be needed, since cells begin at round numbers.
    if width < 2 {
        intervals.max(1)
    } else {
        intervals.div_ceil(width - usize::from(intervals > width)).max(1)
    }
}

/// Means of the intervals that each cell stands for, the newest last; a cell keeps its intervals while they move left.
fn cells(pace: &Pace, width: usize, ticks: usize) -> Vec<Option<f64>> {
    let rates = pace.intervals();
    let each = intervals_per_cell(rates.len(), width);
    let first = ticks.saturating_sub(rates.len());
    let mut cells: Vec<Vec<Option<f32>>> = Vec::new();
    for (place, rate) in (first..).zip(rates) {
        if cells.is_empty() || place % each == 0 {
            cells.push(Vec::new());
        }
        if let Some(cell) = cells.last_mut() {
            cell.push(*rate);
        }
    }
    let skipped = cells.len().saturating_sub(width);
    cells.into_iter().skip(skipped).map(|rates| mean(rates.into_iter())).collect()
}

/// A line of rates over the last minutes, right-aligned in `width` cells; blank where nothing is known. Full height is
/// `most`, or the largest of them.
pub(super) fn sparkline(pace: &Pace, width: usize, ticks: usize, most: Option<f64>) -> String {
    rows(pace, width, 1, ticks, most).pop().unwrap_or_default()
}

/// The same over several rows, the topmost first.
pub(super) fn chart(pace: &Pace, width: usize, height: usize, ticks: usize) -> Vec<String> {
    rows(pace, width, height, ticks, None)
}

/// The highest mean of a cell.
pub(super) fn peak(pace: &Pace, width: usize, ticks: usize) -> Option<f64> {
    cells(pace, width, ticks).into_iter().flatten().reduce(f64::max)
}

fn rows(pace: &Pace, width: usize, height: usize, ticks: usize, most: Option<f64>) -> Vec<String> {
    let cells = cells(pace, width, ticks);
    let most = most.unwrap_or_else(|| cells.iter().flatten().copied().fold(0.0, f64::max));
    let steps = STEPS.len() * height;
    let level = |rate: f64| {
        let part = if most > 0.0 { (rate / most).clamp(0.0, 1.0) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and the steps")]
        let level = (part * steps as f64).round() as usize;
        // What is known is seen, nothing too.
        level.max(1)
    };
    let symbol = |rate: Option<f64>, row: usize| {
        let below = (height - 1 - row) * STEPS.len();
        match rate.map(level).unwrap_or(0).saturating_sub(below) {
            0 => ' ',
            step => STEPS[step.min(STEPS.len()) - 1],
        }
    };
    let pad = width.saturating_sub(cells.len());
    let row = |row: usize| {
        std::iter::repeat_n(' ', pad).chain(cells.iter().map(|rate| symbol(*rate, row))).collect::<String>()
    };
    (0..height).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(share: Share, scale: f64, width: usize) -> String {
        bar(&share, scale, width, Tone::Plain).iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn a_bar_shows_what_is_sure_what_may_be_and_what_is_expected() {
        let share = Share { expected: Some(0.25), observed: Some(0.75), interval: Some([0.7, 0.8]) };
        assert_eq!(text(share, 1.0, 10), "██┃████▒··");
        let share = Share { expected: Some(0.5), observed: Some(0.1), interval: Some([0.1, 0.2]) };
        assert_eq!(text(share, 1.0, 10), "█▒··┃·····");
        assert_eq!(text(Share::default(), 1.0, 4), "    ", "what is not known has no bar");
        assert_eq!(text(Share { observed: Some(0.0), ..Share::default() }, 1.0, 4), "····");
    }

    #[test]
    fn a_sparkline_leaves_blank_what_is_not_known_and_shows_zero() {
        let mut pace = Pace::default();
        for count in [Some(0), None, Some(4), Some(8)] {
            pace.take(count, 1.0);
        }
        assert_eq!(sparkline(&pace, 6, 4, None), "  ▁ ▄█");
        assert_eq!(chart(&pace, 4, 2, 4), ["   █", "▁ ██"]);
    }

    proptest! {
        #[test]
        fn every_bar_and_line_has_its_width(
            observed in proptest::option::of(any::<f64>()),
            expected in proptest::option::of(any::<f64>()),
            scale in any::<f64>(),
            width in 0_usize..80,
            counts in proptest::collection::vec(proptest::option::of(any::<u64>()), 0..400),
        ) {
            let share = Share { expected, observed, interval: observed.map(|observed| [observed / 2.0, observed]) };
            prop_assert_eq!(text(share, scale, width).chars().count(), width);
            let mut pace = Pace::default();
            counts.iter().for_each(|count| pace.take(*count, 1.0));
            prop_assert_eq!(sparkline(&pace, width, counts.len(), None).chars().count(), width);
        }
    }
}
