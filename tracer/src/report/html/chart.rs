//! A chart as an SVG within the page: its lines stretch with the window, its words do not.

use super::super::document::{Chart, Line, Unit};
use super::super::stamp::Time;
use super::super::words::{clock, day, moment, rate};
use super::escaped;
use crate::detect::percent;
use crate::outputs::seconds;
use std::fmt::Write as _;

/// Width and height in units of the drawing, which is stretched to the place that there is.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
/// Room above the highest line.
const ROOM: f64 = 1.02;
/// Where an axis may end, times a power of ten: half of each is a round figure too.
const ROUND: [f64; 9] = [1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0];
/// Colours that lines have in turn.
const COLOURS: usize = 8;

pub(super) fn render(chart: &Chart) -> String {
    let most = highest(chart);
    let place = Place { chart, most };
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}; the \
         tables have the figures\">\n",
        escaped(&chart.title)
    );
    let [from, to] = chart.during.map(|time| place.x(time));
    rectangle(&mut svg, "during", from, to);
    for gap in &chart.gaps {
        let [from, to] = gap.map(|time| place.x(time));
        rectangle(&mut svg, "gap", from, to);
    }
    for part in [0.25, 0.5, 0.75] {
        let y = HEIGHT * part;
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M0 {y}H{WIDTH}\"/>");
    }
    for expected in &chart.expected {
        let _ = writeln!(svg, "<path class=\"expected\" d=\"{}\"/>", place.path(expected));
    }
    // What stands out is drawn last, and so above the others.
    let mut order: Vec<(usize, &Line)> = chart.lines.iter().enumerate().collect();
    order.sort_by_key(|(_, line)| line.stands_out);
    for (number, line) in order {
        let _ = writeln!(svg, "<path class=\"{}\" d=\"{}\"/>", class(number, line), place.path(&line.values));
    }
    for (time, what) in &chart.marks {
        let (x, class) = (place.x(*time), mark(what));
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{x:.1} 0V{HEIGHT}\"/>");
    }
    svg.push_str("</svg>\n");
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n<div class=\"plot\">\n<span class=\"most\">{}</span>\n<span \
         class=\"half\">{}</span>\n<span class=\"least\">0</span>\n{svg}<span class=\"from\">{}</span>\n<span \
         class=\"to\">{}</span>\n</div>\n{}</figure>\n",
        escaped(&chart.title),
        escaped(&figure(chart.unit, most)),
        escaped(&figure(chart.unit, most / 2.0)),
        escaped(&moment(chart.from.0)),
        escaped(&end(chart)),
        legend(chart)
    )
}

/// The end of the time, without its day when that is the day on which it began.
fn end(chart: &Chart) -> String {
    if day(chart.from.0) == day(chart.to.0) { clock(chart.to.0) } else { moment(chart.to.0) }
}

fn rectangle(svg: &mut String, class: &str, from: f64, to: f64) {
    let width = to - from;
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\"/>"
    );
}

fn class(number: usize, line: &Line) -> String {
    let guilty = if line.stands_out { " guilty" } else { "" };
    format!("line c{}{guilty}", number % COLOURS)
}

/// `mark first-verdict`
fn mark(what: &str) -> String {
    format!("mark {}", what.replace(' ', "-"))
}

fn highest(chart: &Chart) -> f64 {
    let lines = chart.lines.iter().map(|line| &line.values).chain(&chart.expected);
    let highest = lines.flatten().flatten().copied().fold(0.0, f64::max);
    match chart.unit {
        Unit::Share => round(highest * ROOM).min(1.0),
        Unit::PerSecond | Unit::Seconds => round(highest * ROOM),
    }
}

/// The next round figure; 1 for nothing.
fn round(figure: f64) -> f64 {
    let size = 10_f64.powf(figure.log10().floor());
    if figure <= 0.0 || !size.is_normal() {
        return 1.0;
    }
    ROUND.into_iter().map(|round| round * size).find(|round| *round >= figure).unwrap_or(figure)
}

fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Share => percent(value),
        Unit::PerSecond => format!("{}/s", rate(value)),
        Unit::Seconds => seconds(value),
    }
}

/// What the colours and marks are.
fn legend(chart: &Chart) -> String {
    let mut legend = String::from("<ul class=\"legend\">\n");
    let swatch = |class: &str| {
        format!(
            "<svg class=\"swatch\" viewBox=\"0 0 20 10\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M0 5H20\"/></svg>"
        )
    };
    for (number, line) in chart.lines.iter().enumerate() {
        let _ = writeln!(legend, "<li>{}{}</li>", swatch(&class(number, line)), escaped(&line.name));
    }
    if !chart.expected.is_empty() {
        let _ = writeln!(legend, "<li>{}expected</li>", swatch("expected"));
    }
    if chart.left_out > 0 {
        let _ = writeln!(legend, "<li>and {} without a line; the tables have all</li>", chart.left_out);
    }
    for (time, what) in &chart.marks {
        let time = if day(chart.from.0) == day(chart.to.0) { clock(time.0) } else { moment(time.0) };
        let swatch = format!(
            "<svg class=\"swatch\" viewBox=\"0 0 20 10\" aria-hidden=\"true\"><path class=\"{}\" d=\"M10 0V10\"/></svg>",
            mark(what)
        );
        let _ = writeln!(legend, "<li>{swatch}{what} {time}</li>");
    }
    if !chart.gaps.is_empty() {
        let swatch = "<svg class=\"swatch\" viewBox=\"0 0 20 10\" aria-hidden=\"true\"><rect class=\"gap\" width=\"20\" height=\"10\"/></svg>";
        let _ = writeln!(legend, "<li>{swatch}not counted</li>");
    }
    legend.push_str("</ul>\n");
    legend
}

/// Where something is in the drawing.
struct Place<'a> {
    chart: &'a Chart,
    most: f64,
}

impl Place<'_> {
    fn x(&self, time: Time) -> f64 {
        let length = self.chart.to.0 - self.chart.from.0;
        let part = if length > 0.0 { (time.0 - self.chart.from.0) / length } else { 0.0 };
        part.clamp(0.0, 1.0) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - (value / self.most).clamp(0.0, 1.0) * HEIGHT
    }

    /// A line through what is known, broken where it is not, and at every gap.
    fn path(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut before: Option<Time> = None;
        for (time, value) in self.chart.times.iter().zip(values) {
            let Some(value) = value else {
                before = None;
                continue;
            };
            let goes_on = before.is_some_and(|before| !self.is_gap_between(before, *time));
            let _ =
                write!(path, "{}{:.1} {:.1}", if goes_on { 'L' } else { 'M' }, self.x(*time), self.y(*value));
            if !goes_on {
                // A point by itself is to be seen too.
                path.push_str("h.1");
            }
            before = Some(*time);
        }
        path
    }

    fn is_gap_between(&self, before: Time, after: Time) -> bool {
        self.chart.gaps.iter().any(|[from, to]| from.0 < after.0 && to.0 > before.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<Option<f64>>, gaps: Vec<[Time; 2]>) -> Chart {
        let times =
            (0..values.len()).map(|place| Time(f64::from(u32::try_from(place).unwrap()) * 10.0)).collect();
        Chart {
            title: "Shares".into(),
            from: Time(0.0),
            to: Time(40.0),
            unit: Unit::Share,
            times,
            lines: vec![Line { name: "a".into(), stands_out: true, values }],
            expected: Vec::new(),
            during: [Time(10.0), Time(20.0)],
            marks: vec![(Time(10.0), "onset")],
            gaps,
            left_out: 0,
        }
    }

    fn path(chart: &Chart) -> String {
        Place { chart, most: 1.0 }.path(&chart.lines[0].values)
    }

    #[test]
    fn a_line_is_broken_where_nothing_is_known_and_at_a_gap() {
        let known = |value| Some(value);
        let whole = chart(vec![known(0.0), known(0.5), known(1.0)], Vec::new());
        assert_eq!(path(&whole), "M0.0 300.0h.1L250.0 150.0L500.0 0.0");
        let unknown = chart(vec![known(0.0), None, known(1.0)], Vec::new());
        assert_eq!(path(&unknown), "M0.0 300.0h.1M500.0 0.0h.1");
        let gap = chart(vec![known(0.0), known(0.5)], vec![[Time(2.0), Time(8.0)]]);
        assert_eq!(path(&gap), "M0.0 300.0h.1M250.0 150.0h.1");
    }

    #[test]
    fn an_axis_ends_at_a_round_figure() {
        let said =
            [0.769, 0.25, 54.3, 0.033, 1.0, 0.0, f64::NAN].map(|figure| format!("{:.3}", round(figure)));
        assert_eq!(said, ["0.800", "0.300", "60.000", "0.040", "1.000", "1.000", "1.000"]);
    }

    #[test]
    fn what_is_outside_is_at_the_edge_and_nothing_is_no_division_by_zero() {
        let empty = chart(vec![Some(0.0)], Vec::new());
        let drawn = render(&empty);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        let place = Place { chart: &empty, most: 1.0 };
        assert_eq!((place.x(Time(-5.0)), place.x(Time(1e9))), (0.0, WIDTH));
    }
}
