//! What an importer knows of a balancer's language: a table, from which the documentation and the tests are made.

/// A word of a balancer's configuration, and what it means for who gets what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The word, as it is written.
    pub name: &'static str,
    /// Where it may stand, such as `upstream` or `server in backend`.
    pub context: &'static str,
    /// What is made of it.
    pub effect: Effect,
    /// The folder of a fixture that has it. One whose name begins with `live-` is also run: the real balancer is started
    /// with it, and has to be found balanced.
    pub fixture: &'static str,
}

/// What is made of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It decides who is a member, or what a member should get; how, in a few words.
    Understood(&'static str),
    /// It changes nothing about who gets what; why, in a few words.
    Irrelevant(&'static str),
    /// It changes who gets what in a way that cannot be foreseen: a located note says so; why, in a few words.
    Noted(&'static str),
}
