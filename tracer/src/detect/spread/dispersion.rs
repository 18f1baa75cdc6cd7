//! How much more, or less, counts scatter than drawn lots would: measured, per time scale.
//!
//! detector.md §3, detector-study.md §4.3. Round robin is far steadier than chance, hashing with heavy clients far
//! wilder, and both depend on how long one looks.

/// Time scales: blocks of at least 4^s ticks, s = 0 to 6.
pub(in crate::detect) const SCALES: usize = 7;
/// One block may pull a scale up by at most this factor of what it was.
const CLIP: f64 = 4.0;
/// Blocks after which a scale is known.
const KNOWN: u64 = 4;
/// Below this on every known scale, the pool is steadier than chance.
const STEADY: f64 = 0.5;
/// And never trusted to be steadier than this.
const STEADIEST: f64 = 0.25;

/// One time scale.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Scale {
    block: Block,
    previous: Block,
    phi: f64,
    seen: u64,
}

/// Counts of every member over some ticks in a row.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Block {
    /// Per member; 0 for those who do not count.
    pub(in crate::detect) counts: Vec<f64>,
    /// Of all of them.
    pub(in crate::detect) total: f64,
    /// When it began, seconds.
    pub(in crate::detect) began_seconds: f64,
    ticks: u64,
}

impl Block {
    fn restart(&mut self, members: usize) {
        self.counts.resize(members, 0.0);
        self.counts.fill(0.0);
        self.total = 0.0;
        self.ticks = 0;
    }
}

/// The dispersion of one pool.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(in crate::detect) struct Dispersion {
    scales: [Scale; SCALES],
    by_scale: [f64; SCALES],
}

impl Dispersion {
    /// Of a pool with so many members, nothing known.
    pub(in crate::detect) fn new(members: usize) -> Self {
        let mut new = Self {
            scales: std::array::from_fn(|_| Scale { phi: 1.0, ..Scale::default() }),
            by_scale: [1.0; SCALES],
        };
        new.drop_blocks(members);
        new
    }

    /// Forgets the blocks under way, which straddle a change of members; what was learned is kept. detector.md §6.
    pub(in crate::detect) fn drop_blocks(&mut self, members: usize) {
        for scale in &mut self.scales {
            scale.block.restart(members);
            scale.previous.restart(members);
        }
    }

    /// Takes in one tick: counts of every member (0 where not eligible), how many are eligible, and their sum.
    /// Says which scales closed a block, one bit each.
    pub(in crate::detect) fn tick(
        &mut self,
        counts: &[f64],
        eligible: usize,
        total: f64,
        began_seconds: f64,
    ) -> u8 {
        if eligible < 2 || total <= 0.0 {
            return 0;
        }
        let freedom = eligible as f64 - 1.0;
        let least_total = least_total(eligible);
        let least_weight = (freedom / 192.0).clamp(1.0 / 192.0, 1.0 / 16.0);
        let mut closed = 0;
        let mut below = 1.0;
        for (index, scale) in self.scales.iter_mut().enumerate() {
            let block = &mut scale.block;
            if block.ticks == 0 {
                block.began_seconds = began_seconds;
            }
            block.ticks = block.ticks.saturating_add(1);
            block.total += total;
            for (sum, count) in block.counts.iter_mut().zip(counts) {
                *sum += count;
            }
            if block.ticks >= 1 << (2 * index) && block.total >= least_total {
                if scale.previous.total > 0.0 {
                    let found = scatter(&scale.previous, block) / freedom;
                    let found = found.min(CLIP * scale.phi.max(STEADIEST));
                    if scale.seen == 0 && index > 0 {
                        scale.phi = below;
                    }
                    let clipped = found.min(CLIP * scale.phi.max(STEADIEST));
                    scale.seen = scale.seen.saturating_add(1);
                    scale.phi += least_weight.max(1.0 / (scale.seen as f64 + 8.0)) * (clipped - scale.phi);
                }
                std::mem::swap(&mut scale.block, &mut scale.previous);
                scale.block.restart(counts.len());
                closed |= 1 << index;
            }
            below = scale.phi;
        }
        if closed != 0 {
            self.summarise();
        }
        closed
    }

    /// Dispersion of counts over `ticks` ticks: the larger of the two scales around it, at least 1 unless the pool is
    /// steadier than chance on all of them.
    pub(in crate::detect) fn over(&self, ticks: u64) -> f64 {
        self.by_scale[scale_of(ticks)]
    }

    /// Dispersion of a run of so many ticks and counts. Fewer counts than a block has were never measured: of them not
    /// even a steady pool is trusted to be steadier than chance, since its workers may just have begun their turns again.
    pub(in crate::detect) fn of_run(&self, ticks: u64, counts: f64, eligible: usize) -> f64 {
        let dispersion = self.over(ticks);
        if counts < least_total(eligible) { dispersion.max(1.0) } else { dispersion }
    }

    /// Whether it was measured, if only over the shortest time.
    pub(in crate::detect) fn is_known(&self) -> bool {
        self.scales[0].seen >= KNOWN
    }

    fn summarise(&mut self) {
        let known = self.scales.iter().filter(|scale| scale.seen >= KNOWN);
        let (count, largest) =
            known.fold((0, 0.0_f64), |(count, most), scale| (count + 1, most.max(scale.phi)));
        let floor = if count >= 2 && largest < STEADY { largest.max(STEADIEST) } else { 1.0 };
        let inherited = self.inherited();
        for index in 0..SCALES {
            self.by_scale[index] = floor.max(inherited[index.saturating_sub(1)]).max(inherited[index]);
        }
    }

    /// Dispersion of every scale: of the nearest known one that is not above it, or 1.
    fn inherited(&self) -> [f64; SCALES] {
        let [lowest, ..] = &self.scales;
        let mut nearest = lowest.phi.max(1.0);
        let mut inherited = self.scales.each_ref().map(|scale| {
            if scale.seen >= KNOWN {
                nearest = scale.phi;
            }
            nearest
        });
        inherited[0] = lowest.phi;
        inherited
    }

    #[cfg(test)]
    pub(in crate::detect) fn scales(&self) -> [f64; SCALES] {
        std::array::from_fn(|index| self.scales[index].phi)
    }
}

/// Counts of a block at least, of so many members.
fn least_total(eligible: usize) -> f64 {
    (eligible as f64).max(16.0)
}

/// The smallest scale whose blocks are at least `ticks` long.
fn scale_of(ticks: u64) -> usize {
    if ticks <= 1 { 0 } else { ((ticks - 1).ilog2() as usize / 2 + 1).min(SCALES - 1) }
}

/// How far the shares of two successive blocks are apart, in units of what lots would give per degree of freedom.
/// Neighbours are compared, so that a standing skew does not count as scatter.
fn scatter(before: &Block, after: &Block) -> f64 {
    let both = before.total + after.total;
    let mut sum = 0.0;
    for (&earlier, &later) in before.counts.iter().zip(&after.counts) {
        let joint = (earlier + later) / both;
        if joint > 0.0 {
            let difference = later / after.total - earlier / before.total;
            sum += difference * difference / joint;
        }
    }
    sum / (1.0 / before.total + 1.0 / after.total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_find_their_scale() {
        for (ticks, scale) in
            [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2), (16, 2), (17, 3), (4096, 6), (u64::MAX, 6)]
        {
            assert_eq!(scale_of(ticks), scale, "{ticks}");
        }
    }

    #[test]
    fn perfectly_even_counts_are_steadier_than_chance_but_not_trusted_below_a_quarter() {
        let mut dispersion = Dispersion::new(4);
        for _ in 0..400 {
            dispersion.tick(&[50.0; 4], 4, 200.0, 0.0);
        }
        assert!((dispersion.over(3) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_steady_pool_is_not_trusted_over_fewer_counts_than_were_ever_measured() {
        let mut dispersion = Dispersion::new(4);
        for _ in 0..400 {
            dispersion.tick(&[50.0; 4], 4, 200.0, 0.0);
        }
        assert!((dispersion.of_run(13, 13.0, 4) - 1.0).abs() < 1e-12);
        assert!((dispersion.of_run(16, 16.0, 4) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn one_member_has_no_dispersion() {
        let mut dispersion = Dispersion::new(1);
        assert_eq!(dispersion.tick(&[50.0], 1, 50.0, 0.0), 0);
        assert!((dispersion.over(1) - 1.0).abs() < 1e-12);
    }
}
