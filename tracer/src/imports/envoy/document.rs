//! A YAML text as a tree in which everything knows its place.
//!
//! From the events of `granit-parser`: pure Rust without `unsafe`, released every few weeks, with places and comments, and
//! fuzzed by its authors. `saphyr-parser`, from which it comes, drops comments; `serde-saphyr`, which is built on it, gives
//! typed values and keeps no place of what it does not know; `marked-yaml` has places and no limits; `serde_yaml` and
//! what descends from it have neither and wrap a translation of C. JSON is read by it too: it takes more than Envoy's parser
//! of JSON, and everything that that one takes.
//!
//! As Envoy does: the first document of a text counts, of fields with the same name the last does, and a field whose name has
//! the tag `!ignore` is not there. An alias shares the value of its anchor, so that a text is as large as its tree; how
//! large the tree would be without that is counted, since whoever walks it walks all of that.

use super::super::is_vouching;
use crate::input::{Position, Positions, utf8};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag, options};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Values in a text with every alias written out: far beyond what anybody has, and a bound for who multiplies them.
const MOST_NODES: usize = 1_000_000;
/// Lists and mappings within each other.
const MOST_DEPTH: usize = 128;

/// A text.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Rc<Node>,
    /// Lines with a comment that vouches for the weights on them.
    pub(super) vouched: BTreeSet<usize>,
    /// Fields that are there again further down.
    pub(super) doubled: Vec<Position>,
    /// Where a second document begins.
    pub(super) second: Option<Position>,
}

/// A value.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
    /// Values in it, itself among them, with every alias written out.
    nodes: usize,
    /// Lists and mappings within each other in it.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A word or a number; a plain one, without quotes, may be null or a truth value too.
    Scalar {
        text: Box<str>,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Field>),
}

/// A field of a mapping.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) at: Position,
    pub(super) value: Rc<Node>,
}

/// Why a text is none, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) at: Position,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    fn new(at: Position, code: &'static str, message: impl Into<String>) -> Self {
        Self { at, code, message: message.into() }
    }
}

/// Reads a text.
pub(super) fn parse(bytes: &[u8]) -> Result<Document, Refusal> {
    let text = utf8(bytes)
        .map_err(|(offset, message)| Refusal::new(Positions::new(bytes).of(offset), "not-utf8", message))?;
    // The parser would take it for the end of the text.
    if let Some(offset) = text.find('\0') {
        let message = "a NUL byte cannot stand in a configuration: save the file as text";
        return Err(Refusal::new(Positions::new(bytes).of(offset), "syntax", message));
    }
    // A long comment is no danger here: nothing is looked ahead over it twice.
    let mut parser =
        Parser::new_from_str_with_options(text, options! { max_buffered_comment_events: usize::MAX });
    let mut builder = Builder::default();
    let mut ended = false;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            // What comes behind the first document is nothing that Envoy reads.
            Err(_) if ended => break,
            Err(error) => return Err(syntax(&error)),
        };
        match event {
            Event::DocumentEnd => ended = true,
            Event::DocumentStart(..) if ended => {
                builder.second = Some(start(&span));
                break;
            }
            event if !ended => builder.take(event, &span)?,
            _ => {}
        }
    }
    let empty = || {
        let message = "is empty: name the bootstrap configuration";
        Refusal::new(Position { line: 0, column: 0 }, "syntax", message)
    };
    let root = builder.root.ok_or_else(empty)?;
    let Builder { vouched, doubled, second, .. } = builder;
    Ok(Document { root, vouched, doubled, second })
}

/// The parser's complaint; it quotes nothing of the text.
fn syntax(error: &ScanError) -> Refusal {
    let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(at);
    }
    Refusal::new(at, "syntax", format!("this is not YAML: {}", error.info()))
}

fn start(span: &Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

/// A list or mapping that is not complete.
struct Open {
    at: Position,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Rc<Node>>),
    Map {
        fields: Vec<Field>,
        /// A name whose value has not come yet.
        name: Option<Name>,
    },
}

struct Name {
    text: Box<str>,
    at: Position,
    ignored: bool,
}

/// Makes the tree of the parser's events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    root: Option<Rc<Node>>,
    vouched: BTreeSet<usize>,
    doubled: Vec<Position>,
    second: Option<Position>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Refusal> {
        let at = start(span);
        match event {
            Event::Comment(text, _) => {
                if is_vouching(text.as_bytes()) {
                    self.vouched.insert(at.line);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                // The tag `!` alone says that it is a text; Envoy does not look at others.
                let plain = style == ScalarStyle::Plain && !is_tag(tag.as_deref(), "");
                let value = Value::Scalar { text: text.into(), plain };
                let ignored = is_tag(tag.as_deref(), "ignore");
                self.complete(Node { at, value, nodes: 1, depth: 0 }, anchor, ignored)
            }
            Event::SequenceStart(_, anchor, _) => self.enter(at, anchor, Items::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.enter(at, anchor, Items::Map { fields: Vec::new(), name: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    let message = "this alias stands within the value that it refers to: write the value out";
                    return Err(Refusal::new(at, "alias-cycle", message));
                };
                let node = Rc::clone(node);
                self.count(node.nodes, at)?;
                if self.open.len() + node.depth > MOST_DEPTH {
                    return Err(too_deep(at));
                }
                self.add(node, at, false)
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, at: Position, anchor: usize, items: Items) -> Result<(), Refusal> {
        if self.open.len() >= MOST_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, items });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Refusal> {
        let Some(Open { at, anchor, items }) = self.open.pop() else { return Ok(()) };
        let (value, nodes, depth) = match items {
            Items::List(items) => {
                let (nodes, depth) = measure(items.iter());
                (Value::List(items), nodes, depth)
            }
            Items::Map { fields, .. } => {
                let (nodes, depth) = measure(fields.iter().map(|field| &field.value));
                let fields = self.last_of_each(fields);
                (Value::Map(fields), nodes, depth)
            }
        };
        self.complete(Node { at, value, nodes, depth }, anchor, false)
    }

    /// Of fields with the same name the last, in the order of the text.
    fn last_of_each(&mut self, mut fields: Vec<Field>) -> Vec<Field> {
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            last.insert(&field.name, index);
        }
        if last.len() == fields.len() {
            return fields;
        }
        let kept: BTreeSet<usize> = last.into_values().collect();
        let mut index = 0;
        fields.retain(|field| {
            let keep = kept.contains(&index);
            index += 1;
            if !keep {
                self.doubled.push(field.at);
            }
            keep
        });
        fields
    }

    fn complete(&mut self, node: Node, anchor: usize, ignored: bool) -> Result<(), Refusal> {
        let at = node.at;
        self.count(1, at)?;
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node, at, ignored)
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Refusal> {
        self.nodes += nodes;
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        let message = format!(
            "with its aliases written out the configuration has more than {MOST_NODES} values up to here, which none \
             has: check the aliases"
        );
        Err(Refusal::new(at, "too-large", message))
    }

    fn add(&mut self, node: Rc<Node>, at: Position, ignored: bool) -> Result<(), Refusal> {
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { fields, name }) => match name.take() {
                Some(Name { ignored: true, .. }) => {}
                Some(Name { text, at, .. }) => fields.push(Field { name: text, at, value: node }),
                None => {
                    let Value::Scalar { text, .. } = &node.value else {
                        let message = "the name of a field is a list or mapping: write a word";
                        return Err(Refusal::new(at, "wrong-type", message));
                    };
                    *name = Some(Name { text: text.clone(), at, ignored });
                }
            },
        }
        Ok(())
    }
}

fn is_tag(tag: Option<&Tag>, suffix: &str) -> bool {
    tag.is_some_and(|tag| tag.handle() == "!" && tag.suffix() == suffix)
}

fn measure<'a>(below: impl Iterator<Item = &'a Rc<Node>>) -> (usize, usize) {
    below.fold((1, 1), |(nodes, depth), node| (nodes + node.nodes, depth.max(node.depth + 1)))
}

fn too_deep(at: Position) -> Refusal {
    let message = format!(
        "more than {MOST_DEPTH} lists and mappings stand within each other here, which no configuration has: check \
         the brackets and aliases"
    );
    Refusal::new(at, "too-deep", message)
}
