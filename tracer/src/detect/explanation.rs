//! Skew that is no fault of the balancer: a load-aware one gives less to who holds connections for longer, and more to
//! who is done with them sooner. detector.md §7.

use super::assessment::Signal;
use super::judge::{Member, PoolJudge};
use super::live::Holder;
use super::slow;
use super::spread::{Named, Spread, divergence, tilt};
use super::standing::Window;
use crate::collect::{Counters, Stock};
use crate::pools::{ExpectedSource, Method, PoolIdentity};

/// How fast what was seen is forgotten, seconds (e-folding): a member that just became slow shows it in the last
/// seconds, and a pool with little traffic in minutes.
const MEMORIES_SECONDS: [f64; 3] = [4.0, 30.0, 300.0];
/// Ended connections of the pool before lifetimes are known.
const LEAST_ENDED: f64 = 5.0;
/// Times as long as the rest from which on a member is slow.
const SLOW: f64 = 1.5;
/// And from which on it is beyond doubt, where it differs by so many standard errors and shares moved as a consequence.
/// Own choice: the least that the slow rule tests.
const SURELY_SLOW: f64 = 2.5;
const SURE: f64 = 4.0;
/// Times by which a share may lie outside what lifetimes explain. detector.md §7.
const WIDENED: f64 = 1.15;
/// Standard errors by which a lifetime must differ from the others' to explain anything: it is computed from a stock that
/// is seen once a second. Where the method is declared, and where it may be another. detector.md §7, detector-study.md §4.5.
const DEVIATIONS: f64 = 2.0;
const DEVIATIONS_ASSUMED: f64 = 3.0;
/// And from which on it may yet come to explain something. Own choice.
const DEVIATIONS_SUSPECTED: f64 = 1.0;
/// Squared coefficient of variation of lifetimes: that of lognormal ones with sigma 1. Own choice.
const VARIATION: f64 = 1.7;
/// Part of a threshold that a share outside of that must show to count as outside. detector.md §7.
const OUTSIDE: f64 = 0.5;
/// Part of the others' lifetime, and of their bytes per connection, below which a member that attracts traffic is likely
/// to answer with errors. Own choice: an error page is a few hundred bytes.
const HOLLOW: f64 = 0.25;
/// Times the connections of somebody else, each in its due, from which on a member is rightly passed over by who counts
/// them: one that holds a single very long connection while hardly any other lasts. Own choice, as `SLOW`.
const BUSIER: f64 = 1.5;
/// Connections it holds at least, averaged over the time that is explained: less is a moment of it.
const BUSY: f64 = 0.5;

/// What a member's lifetime is computed from (Little's law), and what it answers, over one memory.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Held {
    /// Live connections, and attempts without an outcome (a balancer counts them in), summed over time.
    seconds: f64,
    /// Those that ended in that time: not those that began, or a member that is drained would look slow.
    ended: f64,
    /// Bytes received in that time.
    received_bytes: f64,
    /// How long somebody else clearly held less, seconds.
    busier_seconds: f64,
}

/// How long a member holds its connections, lately.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Lifetime {
    /// Over each memory.
    held: [Held; MEMORIES_SECONDS.len()],
    /// For how long it has held anything at all, and the longest of such times, which fades with the longest memory,
    /// seconds.
    stretch_seconds: f64,
    longest_seconds: f64,
}

/// What an interval leaves of what every memory held before it, and its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fading {
    kept: [f64; MEMORIES_SECONDS.len()],
    seconds: f64,
}

impl Fading {
    /// After an interval of so many seconds.
    pub(super) fn over(seconds: f64) -> Self {
        Self { kept: MEMORIES_SECONDS.map(|memory| (-seconds / memory).exp()), seconds }
    }
}

impl Lifetime {
    /// Takes in one interval. Without the stock of sockets, or without the closed ones, it says nothing.
    pub(super) fn tick(
        &mut self,
        stock: Option<Stock>,
        closed: Option<f64>,
        delta: &Counters,
        busier: bool,
        fading: &Fading,
    ) {
        let (Some(stock), Some(closed)) = (stock, closed) else { return };
        let Fading { kept, seconds } = *fading;
        let holds = stock.live as f64 + stock.pending as f64;
        let ended = closed + delta.failed.total() as f64;
        self.stretch_seconds = if holds > 0.0 { self.stretch_seconds + seconds } else { 0.0 };
        self.longest_seconds = (self.longest_seconds * kept[kept.len() - 1]).max(self.stretch_seconds);
        for (held, kept) in self.held.iter_mut().zip(kept) {
            held.seconds = held.seconds * kept + holds * seconds;
            held.ended = held.ended * kept + ended;
            held.received_bytes = held.received_bytes * kept + delta.received_bytes as f64;
            held.busier_seconds = held.busier_seconds * kept + if busier { seconds } else { 0.0 };
        }
    }

    /// What is left of the time for which connections were held when one that was there all along in the longest
    /// stretch is left out, 0 to 1.
    fn part_without_longest(&self, memory: usize) -> f64 {
        let seconds = self.held[memory].seconds;
        let left = (seconds - remembered(self.longest_seconds, memory)).max(0.0);
        if seconds > 0.0 { left / seconds } else { 0.0 }
    }
}

/// Why shares are uneven.
pub(super) struct Explanation {
    /// The member whose lifetime departs most.
    pub(super) member: usize,
    /// How many times longer than the others it holds its connections; below 1: for less long.
    pub(super) times_longer: f64,
    /// The same without the longest time for which it held anything: one connection that lasts is its client's doing.
    times_longer_without: f64,
    /// Standard errors by which that differs from 1.
    pub(super) deviations: f64,
    /// Its bytes per connection, in those of the others; `None` where they have none.
    pub(super) bytes: Option<f64>,
    /// What it explains.
    pub(super) window: Window,
}

impl Explanation {
    /// Whether it gets less because it is slow: not just so much that nobody minds.
    pub(super) fn is_slow(&self) -> bool {
        self.times_longer >= SLOW
    }

    /// Whether it is slow even without the one connection that lasts longest.
    pub(super) fn is_slow_without_longest(&self) -> bool {
        self.times_longer_without >= SLOW
    }

    /// Whether that is beyond doubt: it gets less, and holds what it gets for far longer, and not just one of them.
    pub(super) fn is_surely_slow(&self) -> bool {
        self.times_longer >= SURELY_SLOW && self.is_slow_without_longest() && self.deviations >= SURE
    }

    /// Whether it gets more because it answers sooner, with next to nothing.
    pub(super) fn is_hollow(&self) -> bool {
        self.times_longer <= HOLLOW && self.bytes.is_some_and(|bytes| bytes <= HOLLOW)
    }
}

impl PoolJudge {
    /// Why an episode is none of the balancer's: every member that is named lies where its lifetime puts it.
    pub(super) fn explanation(&self, spread: &Spread, pool: &PoolIdentity) -> Option<Explanation> {
        let load_aware = may_be_load_aware(pool);
        let episode = spread.episode().filter(|episode| load_aware && !episode.named.is_empty())?;
        let window = spread.window_from(Some(&episode.base), self.roster.shares(), self.now_seconds?);
        if spread.signal == Signal::Exchanges {
            // How long connections last says nothing of exchanges; who answers slowly does.
            return self.slow_members(spread, &window, |_| true);
        }
        let by_stock = (0..MEMORIES_SECONDS.len())
            .filter_map(|memory| self.explained_by(memory, spread, &window, pool.method))
            .max_by(|a, b| a.deviations.total_cmp(&b.deviations));
        by_stock.or_else(|| self.slow_members(spread, &window, slow::Measure::is_of_ended))
    }

    /// Whether an episode is none of the balancer's, for whatever reason.
    pub(super) fn is_explained(&self, spread: &Spread, pool: &PoolIdentity) -> bool {
        self.explanation(spread, pool).is_some() || self.passed_over(spread, pool).is_some()
    }

    /// Whether a member seems to hold its connections for longer than the others, over any memory.
    fn may_hold_longer(&self, member: usize) -> bool {
        let longer = |memory: usize| self.times_longer(member, memory).is_some_and(|ratio| ratio >= SLOW);
        let clearly = |memory: usize| {
            self.lifetime_deviation(member, memory)
                .is_some_and(|deviations| deviations >= DEVIATIONS_SUSPECTED)
        };
        (0..MEMORIES_SECONDS.len()).any(|memory| longer(memory) && clearly(memory))
    }

    /// Whether an episode may turn out to be a slow member's in a moment: who gets less answers as
    /// if it were slow, or seems to hold its connections for longer.
    pub(super) fn may_be_slowness(&self, spread: &Spread, pool: &PoolIdentity) -> bool {
        let load_aware = may_be_load_aware(pool);
        let answers_slowly = |member: usize| self.slow.is_suspected(member);
        let suspected = |member: usize| answers_slowly(member) || self.may_hold_longer(member);
        spread.episode().filter(|_| load_aware).is_some_and(|episode| {
            let mut under = episode.named.iter().filter(|named| named.ratio < 1.0).peekable();
            match under.peek() {
                Some(_) => under.all(|named| suspected(named.member)),
                None => (0..self.members.len()).any(answers_slowly),
            }
        })
    }

    /// Who gets less than their due because they held more connections than the others all the while, or more because the
    /// others did: what load-aware balancing looks at is what a member holds, whatever holds it. With little traffic that
    /// may be one connection, which says nothing of how long the member holds others. The first who is named, if that
    /// holds of everybody who gets less.
    pub(super) fn passed_over<'a>(&self, spread: &'a Spread, pool: &PoolIdentity) -> Option<&'a Named> {
        // Of kept connections, which exchanges come over, it is not known who is idle.
        let of_connections = spread.signal == Signal::Connections;
        let episode = spread.episode().filter(|_| of_connections && may_be_load_aware(pool))?;
        let seconds = self.now_seconds? - episode.base.seconds;
        // The shortest memory that is not far too short; it is full of the episode to this many seconds.
        let long_enough = |memory: &f64| *memory >= seconds / 2.0;
        let memory = MEMORIES_SECONDS.iter().position(long_enough).unwrap_or(MEMORIES_SECONDS.len() - 1);
        let full = remembered(seconds, memory);
        let shares = self.roster.shares();
        let under =
            |member: usize| episode.named.iter().any(|named| named.member == member && named.ratio < 1.0);
        let over =
            |member: usize| episode.named.iter().any(|named| named.member == member && named.ratio > 1.0);
        let anybody_under = episode.named.iter().any(|named| named.ratio < 1.0);
        let gets_less = |member: &usize| if anybody_under { under(*member) } else { !over(*member) };
        let held = |member: usize| self.members[member].lifetime.held[memory].seconds;
        let due = (0..shares.len()).filter(|member| self.eligible[*member] && shares[*member] > 0.0);
        let (less, more): (Vec<usize>, Vec<usize>) = due.partition(gets_less);
        let held_by_more: f64 = more.iter().map(|member| held(*member)).sum();
        let due_to_more: f64 = more.iter().map(|member| shares[*member]).sum();
        let is_busy = |member: &usize| {
            let own = held(*member);
            own >= BUSY * full && own * due_to_more > BUSIER * held_by_more * shares[*member]
        };
        let known = !less.is_empty() && less.iter().all(is_busy);
        let rightly = known || self.is_turned_to_idle(spread, memory, full);
        episode.named.first().filter(|_| rightly)
    }

    /// Whether everybody got what is left of their due without the time for which somebody else clearly held less: with few
    /// connections at a time, one or two that last keep every other away from a member, though on average it holds hardly more.
    fn is_turned_to_idle(&self, spread: &Spread, memory: usize, full: f64) -> bool {
        let idle = |member: &Member| (1.0 - member.lifetime.held[memory].busier_seconds / full).max(0.0);
        let shares = self.roster.shares().iter();
        let mut fair: Vec<f64> =
            shares.zip(&self.members).map(|(share, member)| share * idle(member)).collect();
        let sum: f64 = fair.iter().sum();
        fair.iter_mut().for_each(|fair| *fair /= sum);
        let window = self
            .now_seconds
            .zip(spread.episode())
            .map(|(now, episode)| spread.window_from(Some(&episode.base), self.roster.shares(), now));
        sum > 0.0 && window.is_some_and(|window| self.are_fair(spread, &window, &fair))
    }

    /// Who began the tick with clearly more connections than somebody else, so that a balancer that counts them has no
    /// reason to choose it; empty where they are not known.
    pub(super) fn began_busier(&self) -> Vec<bool> {
        let live = || self.live.counts().iter().zip(self.roster.shares()).zip(&self.eligible);
        let per_due = |((live, share), takes_part): ((&f64, &f64), &bool)| {
            (*takes_part && *share > 0.0).then(|| live / share)
        };
        let least = live().filter_map(per_due).fold(f64::INFINITY, f64::min);
        live().map(|of| per_due(of).is_some_and(|own| own > BUSIER * least)).collect()
    }

    /// Why, by who is found slow by measures that `tell`: everybody gets what that makes of their shares.
    fn slow_members(
        &self,
        spread: &Spread,
        window: &Window,
        tell: impl Fn(slow::Measure) -> bool,
    ) -> Option<Explanation> {
        let slow::Answer::Found { mut members, .. } = self.slow.judge() else { return None };
        members.retain(|slow| tell(slow.measure));
        let slowest = members.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio()))?;
        let mut fair = self.roster.shares().to_vec();
        members.iter().for_each(|slow| fair[slow.member] /= slow.ratio().max(1.0));
        let sum: f64 = fair.iter().sum();
        fair.iter_mut().for_each(|fair| *fair /= sum);
        self.are_fair(spread, window, &fair).then(|| Explanation {
            member: slowest.member,
            times_longer: slowest.ratio(),
            times_longer_without: slowest.ratio(),
            deviations: DEVIATIONS,
            bytes: None,
            window: window.clone(),
        })
    }

    /// Why, by what one memory says of the member that departs most.
    fn explained_by(
        &self,
        memory: usize,
        spread: &Spread,
        window: &Window,
        method: Method,
    ) -> Option<Explanation> {
        let fair = self.fair_shares(memory)?;
        let deviations = if method == Method::LeastConnections { DEVIATIONS } else { DEVIATIONS_ASSUMED };
        let clear = |member: usize| self.lifetime_deviation(member, memory).is_some_and(|z| z >= deviations);
        if !(0..self.members.len()).any(clear) || !self.are_fair(spread, window, &fair) {
            return None;
        }
        let departs = |member: &usize| self.times_longer(*member, memory).map(|ratio| (*member, ratio));
        let members: Vec<(usize, f64)> =
            (0..self.members.len()).filter_map(|member| departs(&member)).collect();
        let (member, times_longer) = members.into_iter().reduce(|a, b| {
            // Of two members each is as slow as the other is fast, but for rounding: the slow one.
            let (departs, other) = (a.1.ln().abs(), b.1.ln().abs());
            let alike = (departs - other).abs() <= 1e-9 * departs.max(other);
            if if alike { b.1 > a.1 } else { other > departs } { b } else { a }
        })?;
        Some(Explanation {
            member,
            times_longer,
            times_longer_without: times_longer * self.members[member].lifetime.part_without_longest(memory),
            deviations: self.lifetime_deviation(member, memory)?,
            bytes: self.bytes(member, memory),
            window: window.clone(),
        })
    }

    /// Whether everybody who is named lies between what is due to them and `fair`, widened, or next to it.
    fn are_fair(&self, spread: &Spread, window: &Window, fair: &[f64]) -> bool {
        let outside = OUTSIDE * spread.bank().threshold_in_force();
        let explains = |named: &Named| {
            let (due, fair) = (self.roster.shares()[named.member], fair[named.member]);
            let Some(share) = window.observed_of_pool(named.member) else { return false };
            let above = named.ratio > 1.0;
            let edge = if above { tilt(due.max(fair), WIDENED) } else { tilt(due.min(fair), 1.0 / WIDENED) };
            let inside = if above { share <= edge } else { share >= edge };
            let nats = window.pool * divergence(share.min(1.0), edge) / window.dispersion();
            nats < outside || (inside && if above { fair > due } else { fair < due })
        };
        spread.episode().is_some_and(|episode| episode.named.iter().all(explains))
    }

    /// Shares in proportion to weight and to connections ended per connection held: what least connections tends to.
    fn fair_shares(&self, memory: usize) -> Option<Vec<f64>> {
        let shares = self.roster.shares();
        let ended: f64 = self.members.iter().map(|member| member.lifetime.held[memory].ended).sum();
        let speed = |member: usize| {
            let held = self.members[member].lifetime.held[memory];
            shares[member] * held.ended / held.seconds.max(f64::MIN_POSITIVE)
        };
        let sum: f64 = (0..shares.len()).map(speed).sum();
        let known = ended >= LEAST_ENDED && sum > 0.0 && sum.is_finite();
        known.then(|| (0..shares.len()).map(|member| speed(member) / sum).collect())
    }

    /// The others with an expected share, as if they were one.
    fn others(&self, member: usize, memory: usize) -> Held {
        let mut rest = Held::default();
        for (index, other) in self.members.iter().enumerate() {
            if index != member && self.roster.shares()[index] > 0.0 {
                let held = other.lifetime.held[memory];
                rest.seconds += held.seconds;
                rest.ended += held.ended;
                rest.received_bytes += held.received_bytes;
            }
        }
        rest
    }

    /// How many times longer than the others a member holds its connections.
    fn times_longer(&self, member: usize, memory: usize) -> Option<f64> {
        let (own, rest) = (self.members[member].lifetime.held[memory], self.others(member, memory));
        // One that ends nothing at all holds its connections at least so long.
        let ratio = (own.seconds / own.ended.max(1.0)) / (rest.seconds / rest.ended);
        let known = self.roster.shares()[member] > 0.0 && rest.ended >= LEAST_ENDED;
        (known && ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }

    /// Standard errors by which that differs from 1, either way.
    fn lifetime_deviation(&self, member: usize, memory: usize) -> Option<f64> {
        let ratio = self.times_longer(member, memory)?;
        let (own, rest) = (self.members[member].lifetime.held[memory], self.others(member, memory));
        let error = |held: &Held| VARIATION / held.ended.max(0.5) + 1.0 / held.seconds.max(0.5);
        Some(ratio.ln().abs() / (error(&own) + error(&rest)).sqrt())
    }

    /// Bytes that a member answers per connection, in those of the others.
    fn bytes(&self, member: usize, memory: usize) -> Option<f64> {
        let (own, rest) = (self.members[member].lifetime.held[memory], self.others(member, memory));
        let ratio = (own.received_bytes / own.ended) / (rest.received_bytes / rest.ended);
        (own.ended >= LEAST_ENDED && ratio.is_finite()).then_some(ratio)
    }

    /// Whether a member that holds too many live connections does not simply hold each for longer than the others.
    pub(super) fn holds_for_no_reason(&self, holder: &Holder) -> bool {
        let memory = MEMORIES_SECONDS.len() - 1;
        self.times_longer(holder.member, memory).is_none_or(|ratio| ratio < SLOW)
    }
}

/// What a memory holds of the last so many seconds, seconds.
fn remembered(seconds: f64, memory: usize) -> f64 {
    let memory = MEMORIES_SECONDS[memory];
    memory * -(-seconds / memory).exp_m1()
}

/// Whether the balancer may look at what its members hold: a method that nobody declared may be any.
fn may_be_load_aware(pool: &PoolIdentity) -> bool {
    pool.method == Method::LeastConnections || pool.expected_source == ExpectedSource::Assumed
}
