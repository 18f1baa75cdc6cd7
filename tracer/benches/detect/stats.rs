//! Figures from runs, and what they are measured against.

/// Natural logarithm of the seconds in a year: the false alarms that are allowed for, one a pool and year.
pub(crate) const LOG_ARL: f64 = 17.267_5;

/// Least mean delay of any test with that many false alarms, in connections: log(ARL) / KL (Lorden 1971), for the
/// shares of a pool before and after, each summing to 1. Infinite when nothing changes.
pub(crate) fn bound(before: &[f64], after: &[f64]) -> f64 {
    let nats: f64 = before.iter().zip(after).filter(|(_, q)| **q > 0.0).map(|(p, q)| q * (q / p).ln()).sum();
    LOG_ARL / nats
}

pub(crate) fn shares(weights: &[u32]) -> Vec<f64> {
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    weights.iter().map(|&weight| f64::from(weight) / sum).collect()
}

/// `None` of nothing.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count(values.len()))
}

/// The value below which a share of the others lies (nearest rank); `None` of nothing.
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let rank = (share * count(values.len())).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

/// Upper 95 % limit of a Poisson mean of which `events` were seen (exact, one-sided): 3.0 for none.
pub(crate) fn poisson_limit(events: u64) -> f64 {
    let at_most = |mean: f64| {
        let (mut term, mut sum) = ((-mean).exp(), 0.0);
        for event in 0..=events {
            sum += term;
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
            let next = (event + 1) as f64;
            term *= mean / next;
        }
        sum
    };
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let events = events as f64;
    if events > 200.0 {
        // The normal approximation; exp(−mean) would be too small a number.
        return events + 1.645 * events.sqrt() + 1.35;
    }
    let (mut low, mut high) = (0.0, 3.0 * events + 20.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if at_most(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}
