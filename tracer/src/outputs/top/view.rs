//! What the operator looks at, and what a key changes of that.

use super::draw;
use super::keys::Key;
use super::rows::{self, MemberOrder, PoolOrder};
use super::share::Measure;
use super::world::World;
use crate::chronicle::PoolName;
use std::net::SocketAddr;

/// A filter of so many characters is no filter any more.
const LONGEST_FILTER: usize = 64;

/// What follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The screen is drawn again.
    Draw,
    /// All of it, whatever the terminal shows.
    Repaint,
    /// The end.
    Quit,
}

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// All pools.
    #[default]
    Pools,
    /// One pool and all its members.
    Pool(PoolName),
    /// One member.
    Member(PoolName, SocketAddr),
}

/// What the operator looks at. What is selected is remembered by its name, so that it stays selected when the order
/// changes; as long as nothing was chosen, it is the first.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(super) place: Place,
    pub(super) pool: Option<PoolName>,
    pub(super) member: Option<SocketAddr>,
    pub(super) pool_order: PoolOrder,
    pub(super) member_order: MemberOrder,
    pub(super) measure: Measure,
    pub(super) filter: String,
    /// Whether what is written goes to the filter.
    pub(super) typing: bool,
    /// Whether the keys are explained.
    pub(super) help: bool,
    /// Lines that are scrolled away, of help or of a member.
    pub(super) scrolled: usize,
    /// The world as it was when it was told to stand still.
    paused: Option<Box<World>>,
}

impl View {
    /// What is to be shown: the world as it is, or as it was when it was told to stand still.
    #[must_use]
    pub fn shown<'a>(&'a self, now: &'a World) -> &'a World {
        self.paused.as_deref().unwrap_or(now)
    }

    /// Whether it stands still.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Takes a key, on a screen of so many columns and lines.
    pub fn press(&mut self, key: Key, now: &World, size: [u16; 2]) -> Effect {
        match key {
            Key::Interrupt => return Effect::Quit,
            Key::Repaint => return Effect::Repaint,
            _ if self.typing => self.write(key),
            Key::Character('q') => return Effect::Quit,
            Key::Character('?') => self.turn_help(!self.help),
            _ if self.help => self.press_in_help(key, now, size),
            Key::Character(' ' | 'p') => {
                self.paused = if self.is_paused() { None } else { Some(Box::new(now.clone())) };
            }
            Key::Character('m') => self.measure = self.measure.next(),
            Key::Character('s') => self.sort(),
            Key::Character('/') => self.typing = true,
            Key::Back | Key::Erase | Key::Character('h') => self.back(),
            Key::Open | Key::Character('l') => self.open(now),
            key => self.go(key, now, size),
        }
        Effect::Draw
    }

    fn turn_help(&mut self, help: bool) {
        self.help = help;
        self.scrolled = 0;
    }

    fn press_in_help(&mut self, key: Key, now: &World, size: [u16; 2]) {
        match step(key, size) {
            Some(step) => {
                let most = draw::lines_below_help(self.shown(now), size);
                self.scroll(step, most);
            }
            None => self.turn_help(false),
        }
    }

    /// Takes a key while the filter is written.
    fn write(&mut self, key: Key) {
        match key {
            Key::Character(character) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(character);
            }
            Key::Erase => _ = self.filter.pop(),
            Key::Open => self.typing = false,
            Key::Back => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn sort(&mut self) {
        match self.place {
            Place::Pools => self.pool_order = self.pool_order.next(),
            Place::Pool(_) => self.member_order = self.member_order.next(),
            Place::Member(..) => {}
        }
    }

    /// Out of where one is; out of the filter, where one is at the outermost.
    fn back(&mut self) {
        self.scrolled = 0;
        self.place = match std::mem::take(&mut self.place) {
            Place::Member(pool, _) => Place::Pool(pool),
            Place::Pool(_) => Place::Pools,
            Place::Pools => {
                self.filter.clear();
                Place::Pools
            }
        };
    }

    fn open(&mut self, now: &World) {
        let world = self.shown(now);
        let next = match &self.place {
            Place::Pools => {
                let pools = rows::pools(world, self);
                pools.get(self.selected_pool(&pools)).map(|pool| Place::Pool(pool.name.clone()))
            }
            Place::Pool(name) => world.pool(name).and_then(|pool| {
                let members = rows::members(pool, self, self.measure).rows;
                let row = members.get(self.selected_member(pool, &members))?;
                Some(Place::Member(name.clone(), pool.judged.sample.members.get(row.member)?.backend))
            }),
            Place::Member(..) => None,
        };
        let Some(next) = next else { return };
        match &next {
            Place::Pool(name) => {
                // Of another pool, other members.
                if self.pool.replace(name.clone()).as_ref() != Some(name) {
                    self.member = None;
                }
            }
            Place::Member(_, backend) => self.member = Some(*backend),
            Place::Pools => {}
        }
        self.place = next;
        self.scrolled = 0;
    }

    /// Which of these pools is selected.
    pub(super) fn selected_pool(&self, pools: &[&super::world::Pool]) -> usize {
        let chosen = self.pool.as_ref();
        chosen.and_then(|name| pools.iter().position(|pool| pool.name == *name)).unwrap_or(0)
    }

    /// Which of these members of a pool is selected.
    pub(super) fn selected_member(&self, pool: &super::world::Pool, rows: &[rows::Row]) -> usize {
        let backend =
            |row: &rows::Row| pool.judged.sample.members.get(row.member).map(|member| member.backend);
        let chosen = |chosen: SocketAddr| rows.iter().position(|row| backend(row) == Some(chosen));
        self.member.and_then(chosen).unwrap_or(0)
    }

    /// To another row, or other lines.
    fn go(&mut self, key: Key, now: &World, size: [u16; 2]) {
        let Some(step) = step(key, size) else { return };
        let world = self.shown(now);
        match &self.place {
            Place::Pools => {
                let pools = rows::pools(world, self);
                let to = moved(self.selected_pool(&pools), step, pools.len());
                if let Some(name) = pools.get(to).map(|pool| pool.name.clone()) {
                    self.pool = Some(name);
                }
            }
            Place::Pool(name) => {
                let Some(pool) = world.pool(name) else { return };
                let members = rows::members(pool, self, self.measure).rows;
                let to = moved(self.selected_member(pool, &members), step, members.len());
                if let Some(row) = members.get(to) {
                    let backend = pool.judged.sample.members.get(row.member).map(|member| member.backend);
                    self.member = backend.or(self.member);
                }
            }
            Place::Member(..) => {
                let most = draw::lines_below(world, self, size);
                self.scroll(step, most);
            }
        }
    }

    fn scroll(&mut self, step: isize, most: usize) {
        self.scrolled = self.scrolled.min(most).saturating_add_signed(step).min(most);
    }
}

/// How far a key goes; `None` for one that goes nowhere.
fn step(key: Key, [_, lines]: [u16; 2]) -> Option<isize> {
    let page = isize::try_from(lines).unwrap_or(isize::MAX).saturating_sub(6).max(1);
    Some(match key {
        Key::Up | Key::Character('k') => -1,
        Key::Down | Key::Character('j') => 1,
        Key::PageUp => -page,
        Key::PageDown => page,
        Key::First | Key::Character('g') => -LAST,
        Key::Last | Key::Character('G') => LAST,
        _ => return None,
    })
}

/// Further than any list goes.
const LAST: isize = isize::MAX / 2;

fn moved(from: usize, step: isize, count: usize) -> usize {
    from.saturating_add_signed(step).min(count.saturating_sub(1))
}
