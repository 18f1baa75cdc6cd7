//! Shares differ from the expected ones, and no backend's health explains it.

use super::{Answer, Doubt, Found, Question};
use crate::detect::assessment::{Finding, Signal, Verdict};
use crate::detect::live::Holder;
use crate::detect::spread::{Episode, Named, Spread, divergence, tilt};
use crate::detect::standing::Window;
use crate::detect::words;
use crate::pools::{ExpectedSource, Method};

/// Share of one member, out of so many counts, that is no accident of hashing.
const COLLAPSED: f64 = 0.9;
const COLLAPSED_COUNTS: f64 = 200.0;
/// In a pool whose members are due at most this: two members of which one gets nearly everything may have one client.
const DUE_AT_MOST: f64 = 0.34;

pub(super) fn judge(question: &Question) -> Answer {
    match strongest(question) {
        Some(Skew::Spread(spread, episode)) => {
            let found = departs(question, spread, episode);
            if follows_clients(question, spread, episode) {
                return Doubt { sentence: found.sentence, needed: None }.into();
            }
            Answer::Found(found)
        }
        Some(Skew::Live(holder)) => Answer::Found(holds(question, holder)),
        None => uneven(question).map_or(Answer::Clear, Answer::Unsure),
    }
}

/// Whether it may be a matter of who the clients are: under hashing a few heavy ones move shares by any factor, so that
/// only nearly everything on one member of many is a fault of the balancer. detector-study.md §4.1.
fn follows_clients(question: &Question, spread: &Spread, episode: &Episode) -> bool {
    let Question { judge, sample, now, .. } = question;
    if sample.pool.method != Method::Hash {
        return false;
    }
    let window = spread.window_from(Some(&episode.base), judge.roster.shares(), *now);
    let most =
        (0..judge.members.len()).filter_map(|member| window.observed_of_pool(member)).fold(0.0, f64::max);
    let due = |share: &f64| *share > 0.0 && *share <= DUE_AT_MOST;
    let collapsed =
        most >= COLLAPSED && window.pool >= COLLAPSED_COUNTS && judge.roster.shares().iter().any(due);
    !collapsed
}

/// What departs.
enum Skew<'a> {
    Spread(&'a Spread, &'a Episode),
    Live(&'a Holder),
}

/// The signal with the strongest evidence. The stock of connections is asked only where the choices made now are even:
/// it follows from them.
fn strongest<'a>(question: &Question<'a>) -> Option<Skew<'a>> {
    let judge = question.judge;
    let standing = judge.spreads().filter_map(|spread| Some((spread, spread.episode()?)));
    let unexplained = standing
        .filter(|(spread, _)| !spread.is_held_back() && !judge.is_explained(spread, &question.sample.pool));
    let strongest = unexplained.max_by(|a, b| a.1.nats.total_cmp(&b.1.nats));
    let live = || judge.live.found().filter(|holder| judge.holds_for_no_reason(holder)).map(Skew::Live);
    strongest.map(|(spread, episode)| Skew::Spread(spread, episode)).or_else(live)
}

/// What shares are shown of, and over which time.
pub(super) fn shown(question: &Question) -> (Signal, Window) {
    let judge = question.judge;
    match strongest(question) {
        Some(Skew::Spread(spread, episode)) => {
            (spread.signal, spread.window_from(Some(&episode.base), judge.roster.shares(), question.now))
        }
        Some(Skew::Live(_)) => (Signal::Live, Window::of_stock(judge.live.counts(), judge.roster.shares())),
        None => (judge.leading().signal, question.judged.clone()),
    }
}

fn departs(question: &Question, spread: &Spread, episode: &Episode) -> Found {
    let Question { judge, sample, now, .. } = question;
    let window = spread.window_from(Some(&episode.base), judge.roster.shares(), *now);
    let finding = |ratio: f64| if ratio > 1.0 { Finding::Over } else { Finding::Under };
    let noun = spread.signal.noun();
    let mut sentence = match (episode.named.first(), episode.diffuse) {
        (_, Some(variation)) => format!(
            "{noun} are spread unevenly over the whole pool: members differ by about {} from {}",
            words::percent(variation),
            if sample.pool.expected_source == ExpectedSource::Assumed {
                "assumed equal shares"
            } else {
                "their weights"
            },
        ),
        (Some(named), None) => format!(
            "{} gets {} of {noun}, {}{}{}",
            question.address(named.member),
            words::percent(window.observed(named.member).unwrap_or(0.0)),
            question.due(named.member),
            as_if(question, &window, &episode.named),
            words::and_others(episode.named.len() - 1),
        ),
        (None, None) => format!("{noun} do not follow the expected shares"),
    };
    if spread.signal == Signal::Exchanges && judge.connections.episode().is_none() {
        sentence.push_str("; connections are reused, and new ones do not show it");
    }
    sentence.push_str(words::hint(judge, &window, sample.pool.method).unwrap_or_default());
    if sample.pool.method == Method::Hash {
        sentence.push_str(words::CLIENTS);
    }
    Found {
        verdict: Verdict::Skewed,
        since_seconds: episode.since_seconds,
        nats: episode.nats,
        members: episode.named.iter().map(|named| (named.member, finding(named.ratio))).collect(),
        sentence,
    }
}

/// `, as with 10 times its weight`, where one member departs, upwards, and one whole number explains that: in the
/// balancer's configuration that is a digit too many.
fn as_if(question: &Question, window: &Window, named: &[Named]) -> String {
    let Question { judge, sample, .. } = question;
    let share = |member: usize| judge.roster.shares()[member];
    let weighted = matches!(sample.pool.method, Method::RoundRobin | Method::Random);
    let times = match named {
        [one] if weighted => window.interval_of_pool(one.member).and_then(|of| factor(of, share(one.member))),
        _ => None,
    };
    times.map_or(String::new(), |times| format!(", as with {times} times its weight"))
}

/// The only whole number, 2 to 100, by which a weight has to be multiplied for its share `due` to become one in this interval.
fn factor([low, high]: [f64; 2], due: f64) -> Option<u32> {
    let odds = |share: f64| share / (1.0 - share);
    let [low, high] = [low, high].map(|share| odds(share) / odds(due));
    let mut explaining = (2..=100).filter(|&times| (low..=high).contains(&f64::from(times)));
    let only = explaining.next().filter(|_| explaining.next().is_none())?;
    // Of a wide interval that has no other whole number by chance, nothing follows.
    (high - low < 1.0).then_some(only)
}

fn holds(question: &Question, holder: &Holder) -> Found {
    let judge = question.judge;
    let window = Window::of_stock(judge.live.counts(), judge.roster.shares());
    let sentence = format!(
        "{} holds {} of live connections, {}; hardly any of them end, so they were spread that way before",
        question.address(holder.member),
        words::percent(window.observed(holder.member).unwrap_or(0.0)),
        question.due(holder.member),
    );
    Found {
        verdict: Verdict::Skewed,
        since_seconds: holder.since_seconds,
        nats: holder.nats,
        members: vec![(holder.member, Finding::Over)],
        sentence,
    }
}

/// A member whose share lies outside the margin, as far as can be told. While one is left out the others get its share:
/// counted is since the same members take part, once that is enough to tell.
fn uneven(question: &Question) -> Option<Doubt> {
    let Question { judge, sample, now, judged } = question;
    let leading = judge.leading();
    for (spread, episode) in judge.spreads().filter_map(|spread| Some((spread, spread.episode()?))) {
        if spread.is_held_back() {
            return Some(may_be_slow(question, episode));
        }
        // Who is slow holds more as well, which then is what there is to say.
        let explanation = judge.explanation(spread, &sample.pool);
        let is_slow = explanation.is_some_and(|explanation| explanation.is_slow_without_longest());
        if let Some(named) = judge.passed_over(spread, &sample.pool).filter(|_| !is_slow) {
            return Some(passed_over(question, named));
        }
    }
    // It stands, and is explained.
    if leading.episode().is_some() {
        return None;
    }
    let shares = judge.roster.shares();
    let since = leading.steady_from_seconds();
    let steady = (since > now - judged.seconds).then(|| leading.window_since(since, shares, *now));
    let judged = steady.as_ref().filter(|steady| steady.pool >= leading.enough()).unwrap_or(judged);
    let departs = (0..shares.len()).filter(|&member| shares[member] > 0.0).filter_map(|member| {
        let [low, high] = judged.interval_of_pool(member)?;
        let above = tilt(shares[member], judge.margin);
        let below = tilt(shares[member], 1.0 / judge.margin);
        let edge = if low > above { Some(above) } else { (high < below).then_some(below) }?;
        let observed = judged.observed_of_pool(member)?;
        Some((member, observed, divergence(observed, edge)))
    });
    let (member, observed, per_count) = departs.max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(&a.0)))?;
    let threshold = leading.bank().threshold_in_force();
    let strongest = leading.bank().strongest();
    // At the pace of the tests where they say something already, which knows the dispersion they are held to.
    let lacks = if strongest.nats > 1.0 {
        strongest.pool * (threshold / strongest.nats - 1.0)
    } else {
        threshold * judged.dispersion() / per_count.max(1e-9)
    };
    let mut sentence = format!(
        "{} gets {} so far, {}",
        question.address(member),
        words::percent(observed),
        question.due(member)
    );
    sentence.push_str(words::hint(judge, judged, sample.pool.method).unwrap_or_default());
    Some(question.sure_after(sentence, lacks))
}

/// A member that a balancer which counts connections leaves alone while it holds more than the others, or prefers while
/// they do: what it would do otherwise cannot be told.
fn passed_over(question: &Question, named: &Named) -> Doubt {
    let why = if named.ratio < 1.0 {
        "gets less while it holds more connections than the others: load-aware balancing passes it over"
    } else {
        "gets more while the others hold more connections: load-aware balancing prefers it"
    };
    Doubt { sentence: format!("{} {why}", question.address(named.member)), needed: None }
}

/// A skew that a slow member would cause, while one seems to be slow.
fn may_be_slow(question: &Question, episode: &Episode) -> Doubt {
    let who = episode.named.first().map(|named| question.address(named.member).to_string());
    let sentence = format!(
        "{} departs from its share, and slow answers may be why; a moment more to be sure",
        who.as_deref().unwrap_or("the pool")
    );
    Doubt { sentence, needed: None }
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn one_whole_number_that_explains_a_share_is_told_and_nothing_else() {
        assert_eq!(factor([0.765, 0.773], 0.25), Some(10), "10 of 13");
        assert_eq!(factor([0.737, 0.797], 0.25), None, "8.4 to 11.8: 9, 10 and 11 explain it");
        assert_eq!(factor([0.44, 0.46], 0.25), None, "2.4 to 2.6: none does");
        assert_eq!(factor([0.39, 0.41], 0.25), Some(2), "2 of 5");
        assert_eq!(factor([0.949, 0.957], 0.25), None, "a client, not a weight");
        assert_eq!(factor([0.2, 0.3], 0.25), None, "as it is due");
        assert_eq!(factor([0.9, 1.0], 0.5), None, "everything");
        assert_eq!(factor([0.5, 0.6], 0.0), None, "nothing is due");
    }
}
