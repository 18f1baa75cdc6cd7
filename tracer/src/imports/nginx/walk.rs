//! From file to file and block to block.

use super::elsewhere::Elsewhere;
use super::found::{Found, Half, Lines};
use super::lexer::{Fault, Item, Lexer, Spot, Word};
use super::table::{self, look_up};
use super::{pass, resolver, time, upstream};
use crate::imports::{Problem, Reading};
use crate::input::Place;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that include one another, and blocks within one another: more than anybody has.
const DEEPEST_INCLUDE: usize = 32;
const DEEPEST_BLOCK: usize = 256;

/// Blocks of parameters: their words are no directives, and they have no blocks within.
const PARAMETERS: &[&[u8]] = &[b"types", b"map", b"geo", b"split_clients", b"charset_map"];

/// What the words of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Main,
    /// `http`, `stream` or a block below them, with its number.
    Below(Half, usize),
    /// The upstream of this index.
    Upstream(usize),
    /// Parameters.
    Parameters,
    /// Directives that pass nothing to anybody, such as those of `events`.
    Other,
}

/// A directive: its words, and where it is.
pub(super) struct Statement<'a> {
    pub(super) words: Vec<Word<'a>>,
    pub(super) lines: Lines,
}

impl Statement<'_> {
    /// Its word of this index; none is empty.
    pub(super) fn word(&self, index: usize) -> &[u8] {
        self.words.get(index).map(|word| word.text.as_ref()).unwrap_or_default()
    }

    /// What follows its name.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&[u8], Place)> {
        self.words.iter().skip(1).map(|word| (word.text.as_ref(), self.place(word.at)))
    }

    /// Where it begins.
    pub(super) fn at(&self) -> Place {
        self.lines.at.clone()
    }

    /// Refuses any other number of parameters.
    pub(super) fn takes(&self, name: &str, least: usize, most: usize) -> Result<(), Problem> {
        if (least..=most).contains(&(self.words.len() - 1)) {
            return Ok(());
        }
        let message = format!("nginx does not take `{name}` with so many parameters");
        Err(Problem::error("wrong-parameters", self.at(), message).hint("is a ';' missing?"))
    }

    fn place(&self, at: Spot) -> Place {
        place(&self.lines.at.file, at)
    }
}

fn place(file: &Arc<str>, at: Spot) -> Place {
    Place { file: Arc::clone(file), line: at.line, column: at.column }
}

/// Reads files into what is found.
pub(super) struct Walk<'w, 's> {
    reading: &'w mut Reading<'s>,
    found: &'w mut Found,
    /// What relative names are relative to: the directory of the main file.
    prefix: PathBuf,
    /// Files that are being read, each included by the one before.
    open: Vec<PathBuf>,
    /// Blocks that have been opened, which numbers them.
    blocks: usize,
    /// `http` and `stream`, once they have been there.
    halves: [bool; 2],
    elsewhere: Elsewhere,
    /// Words that were told as unknown.
    told: HashSet<Vec<u8>>,
}

impl<'w, 's> Walk<'w, 's> {
    pub(super) fn new(reading: &'w mut Reading<'s>, found: &'w mut Found, main: &Path) -> Self {
        let prefix = main.parent().map(Path::to_owned).unwrap_or_default();
        found.workers = Some(1);
        Self {
            reading,
            found,
            prefix,
            open: Vec::new(),
            blocks: 0,
            halves: [false; 2],
            elsewhere: Elsewhere::new(),
            told: HashSet::new(),
        }
    }

    /// Reads the main file and all that it includes.
    pub(super) fn main(mut self, main: &Path) -> Result<(), Problem> {
        let whole =
            |message| Problem::error("unreadable-file", Place::of_file(&main.to_string_lossy()), message);
        self.file(main, Block::Main, whole)
    }

    fn file(
        &mut self,
        path: &Path,
        within: Block,
        unreadable: impl FnOnce(String) -> Problem,
    ) -> Result<(), Problem> {
        let bytes = self.reading.read(path).map_err(unreadable)?;
        let file: Arc<str> = path.to_string_lossy().into();
        let mut lexer = Lexer::new(&bytes);
        self.open.push(path.to_owned());
        let read = self.items(&mut lexer, &file, within);
        self.open.pop();
        let lines = std::mem::take(&mut lexer.vouched);
        self.found.vouched.extend(lines.into_iter().map(|line| (Arc::clone(&file), line)));
        read
    }

    /// What a file has, block after block, until it ends.
    fn items(&mut self, lexer: &mut Lexer<'_>, file: &Arc<str>, within: Block) -> Result<(), Problem> {
        let refused =
            |fault: Fault| Problem::error("syntax", place(file, fault.at), fault.message).hint(fault.hint);
        let mut open: Vec<(Block, Place)> = Vec::new();
        loop {
            let block = open.last().map_or(within, |&(block, _)| block);
            let before = lexer.here();
            match lexer.next().map_err(refused)? {
                Item::Simple(words) => {
                    let statement = statement(words, file, lexer.here());
                    self.simple(block, &statement)?;
                }
                Item::Open(words) => {
                    let statement = statement(words, file, lexer.here());
                    if statement.word(0).ends_with(b"_by_lua_block") {
                        self.simple(block, &statement)?;
                        lexer.skip_lua().map_err(refused)?;
                        continue;
                    }
                    let block = self.opened(block, &statement)?;
                    if open.len() == DEEPEST_BLOCK {
                        let message = format!("blocks are nested deeper than {DEEPEST_BLOCK}");
                        return Err(Problem::error("syntax", statement.at(), message)
                            .hint("is a '}' missing in the lines before?"));
                    }
                    open.push((block, statement.at()));
                }
                Item::Close => match open.pop() {
                    Some((Block::Upstream(index), _)) => upstream::closed(self.found, index)?,
                    Some(_) => {}
                    None => {
                        let message = "'}' closes no block of this file";
                        return Err(Problem::error("syntax", place(file, before), message)
                            .hint("take it away, or find the '{' that is missing before it"));
                    }
                },
                Item::End => {
                    let Some((_, at)) = open.pop() else { return Ok(()) };
                    let message = "the block that begins here is not closed within its file";
                    return Err(Problem::error("syntax", at, message).hint("close it with '}'"));
                }
            }
        }
    }

    /// A directive that ends with a semicolon.
    fn simple(&mut self, block: Block, statement: &Statement<'_>) -> Result<(), Problem> {
        match (block, statement.word(0)) {
            (Block::Parameters | Block::Other, _) => Ok(()),
            (_, b"include") => self.include(block, statement),
            (Block::Upstream(index), _) => upstream::directive(self.found, index, statement),
            (Block::Main, b"worker_processes") => {
                statement.takes("worker_processes", 1, 1)?;
                self.found.workers = time::number(statement.word(1));
                Ok(())
            }
            (Block::Main, name) => {
                self.tell_unknown(&[table::MAIN], statement);
                misplaced(name, statement)
            }
            (Block::Below(half, number), name) => {
                complete(statement)?;
                self.tell_unknown(half.contexts(), statement);
                // Upstreams resolve with that of the whole half, wherever it stands in it.
                if number == 0 && name == b"resolver" {
                    self.found.families[half as usize] = resolver::family(statement)?;
                }
                pass::directive(self.found, half, number, statement)
            }
        }
    }

    /// What the block is that a directive opens.
    fn opened(&mut self, block: Block, statement: &Statement<'_>) -> Result<Block, Problem> {
        match (block, statement.word(0)) {
            (Block::Parameters, _) => {
                let message = "a block stands where only parameters can";
                Err(Problem::error("syntax", statement.at(), message)
                    .hint("is a ';' missing, or the quotes around a '{'?"))
            }
            (Block::Main, b"http") => self.half(Half::Http, statement),
            (Block::Main, b"stream") => self.half(Half::Stream, statement),
            (Block::Main, name) => {
                self.tell_unknown(&[table::MAIN], statement);
                misplaced(name, statement).map(|()| Block::Other)
            }
            (Block::Other, _) => Ok(Block::Other),
            (Block::Upstream(_), _) => {
                let message = "a block stands inside an upstream, which has none";
                Err(Problem::error("syntax", statement.at(), message).hint("is a '}' missing before it?"))
            }
            (Block::Below(half, 0), b"upstream") => {
                upstream::opened(self.found, half, statement).map(Block::Upstream)
            }
            (Block::Below(..), b"upstream") => misplaced(b"upstream", statement).map(|()| Block::Other),
            (Block::Below(..), name) if PARAMETERS.contains(&name) => Ok(Block::Parameters),
            (Block::Below(half, _), _) => {
                complete(statement)?;
                self.tell_unknown(half.contexts(), statement);
                self.blocks += 1;
                Ok(Block::Below(half, self.blocks))
            }
        }
    }

    /// Says once of a word that is not known that it is not. One that ends in `_pass` is told where it is read.
    fn tell_unknown(&mut self, contexts: &[&str], statement: &Statement<'_>) {
        const MOST: usize = 100;
        let name = statement.word(0);
        let known = look_up(name, contexts).is_some() || self.elsewhere.has(name) || name.ends_with(b"_pass");
        if known || self.told.len() >= MOST || !self.told.insert(name.to_vec()) {
            return;
        }
        let message = "this directive is not known: neither nginx nor a common module has it";
        self.found.problems.push(Problem::note("unknown-directive", statement.at(), message).hint(
            "check its spelling; if it decides who gets traffic, say what is expected in a pools file",
        ));
    }

    fn half(&mut self, half: Half, statement: &Statement<'_>) -> Result<Block, Problem> {
        let name = if half == Half::Http { "http" } else { "stream" };
        statement.takes(name, 0, 0)?;
        let [http, stream] = &mut self.halves;
        let there = if half == Half::Http { http } else { stream };
        if std::mem::replace(there, true) {
            let message = format!("there is a second block `{name}`");
            return Err(Problem::error("duplicate", statement.at(), message).hint("merge it with the first"));
        }
        Ok(Block::Below(half, 0))
    }

    fn include(&mut self, block: Block, statement: &Statement<'_>) -> Result<(), Problem> {
        statement.takes("include", 1, 1)?;
        let pattern = self.prefix.join(OsStr::from_bytes(statement.word(1)));
        let refused = |message: String| {
            Problem::error("unreadable-include", statement.at(), format!("what is included here: {message}"))
        };
        for path in self.reading.glob(&pattern).map_err(refused)? {
            if self.open.contains(&path) {
                let message = "this includes a file that includes this one";
                return Err(Problem::error("include-cycle", statement.at(), message).hint("break the cycle"));
            }
            if self.open.len() == DEEPEST_INCLUDE {
                let message = format!("files include one another deeper than {DEEPEST_INCLUDE}");
                return Err(
                    Problem::error("include-depth", statement.at(), message).hint("include them from fewer")
                );
            }
            self.file(&path, block, refused)?;
        }
        Ok(())
    }
}

fn statement<'a>(words: Vec<Word<'a>>, file: &Arc<str>, end: Spot) -> Statement<'a> {
    let at = words.first().map_or(end, |word| word.at);
    Statement { lines: Lines { at: place(file, at), last: end.line }, words }
}

/// What belongs into `http` or `stream` is refused outside of them: that is how a file looks that is no main file.
fn misplaced(name: &[u8], statement: &Statement<'_>) -> Result<(), Problem> {
    let Some(known) = [b"upstream".as_slice(), b"server", b"location", b"proxy_pass"]
        .into_iter()
        .find(|&known| known == name)
    else {
        return Ok(());
    };
    let message = format!("`{}` is not allowed here", String::from_utf8_lossy(known));
    let problem = Problem::error("misplaced", statement.at(), message);
    Err(problem.hint("name nginx's main file, which includes the others, or close the block before it"))
}

/// Refuses a directive that has swallowed the next, because its semicolon is missing: nginx does by counting parameters.
fn complete(statement: &Statement<'_>) -> Result<(), Problem> {
    let begins_one = |word: &Word<'_>| {
        let name = word.text.as_ref();
        matches!(name, b"upstream" | b"server" | b"location")
            || look_up(name, &[table::BELOW, table::HTTP]).is_some()
    };
    let mut last = statement.lines.at.line;
    for word in &statement.words {
        if word.at.line > last && !word.quoted && begins_one(word) {
            let message = "a directive begins here within another that has not ended";
            let problem = Problem::error("syntax", statement.place(word.at), message);
            return Err(problem.hint("end the one before with ';'"));
        }
        last = word.at.line;
    }
    Ok(())
}
