//! Smooth weighted round robin (nginx, Envoy's and HAProxy's are as smooth): the order of one full turn.

/// One full turn: which member each choice falls on.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Vec<u32>);

impl Turn {
    /// Of whole weights, not all of them zero: every choice adds to each member its weight, and takes from the one
    /// that has most the sum of all.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
        let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
        let sum: i64 = weights.iter().sum();
        let mut current = vec![0; weights.len()];
        let mut order = Vec::new();
        for _ in 0..sum {
            let mut best = None;
            for (member, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
                current[member] += weight;
                if best.is_none_or(|best: usize| current[member] > current[best]) {
                    best = Some(member);
                }
            }
            let Some(best) = best else { break };
            current[best] -= sum;
            order.push(u32::try_from(best).unwrap_or(u32::MAX));
        }
        Self(order)
    }

    /// Choices in a full turn.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Who is chosen at a place in the turn.
    pub(crate) fn at(&self, place: usize) -> usize {
        self.0[place % self.0.len()] as usize
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
