//! A report as somebody reads it: headings, sentences, tables, charts and places to fill in. What it says is decided here
//! and in `compose`; how it is written, in `markdown` and `html`, each of which escapes everything that it is given.

use super::stamp::Time;

/// The document, from its title on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    pub(super) title: Text,
    pub(super) blocks: Vec<Block>,
}

/// A piece of the document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    /// 2: of the document; 3: of an incident; 4: within it.
    Heading(u8, Text),
    Paragraph(Text),
    /// The sentence that matters.
    Quote(Text),
    List(Vec<Text>),
    Table(Table),
    Chart(Chart),
    /// A place to fill in, with what belongs there.
    Blank(&'static str),
}

/// Text with names in it.
pub(super) type Text = Vec<Piece>;

/// A piece of text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Plain(String),
    Strong(String),
    /// Something to be read letter by letter: a name, an address, a place in a file.
    Name(String),
}

/// Text without more.
pub(super) fn plain(text: impl Into<String>) -> Text {
    vec![Piece::Plain(text.into())]
}

/// A table. The first `names` columns are aligned to the left, the others are figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) names: usize,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) cells: Vec<Text>,
    /// It is what the verdict is about.
    pub(super) stands_out: bool,
}

/// Lines over time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) unit: Unit,
    pub(super) times: Vec<Time>,
    pub(super) lines: Vec<Line>,
    /// What is expected, over the same times; one for each different expectation.
    pub(super) expected: Vec<Vec<Option<f64>>>,
    /// When the incident was.
    pub(super) during: [Time; 2],
    /// Moments that are marked, with what they are called.
    pub(super) marks: Vec<(Time, &'static str)>,
    /// When nothing was counted.
    pub(super) gaps: Vec<[Time; 2]>,
    /// Members without a line of their own.
    pub(super) left_out: usize,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) stands_out: bool,
    pub(super) values: Vec<Option<f64>>,
}

/// What a chart's figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Share,
    PerSecond,
    Seconds,
}
