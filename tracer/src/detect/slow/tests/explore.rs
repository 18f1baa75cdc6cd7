use super::servers::*;
use crate::detect::slow::*;

fn env(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn explore_power() {
    let runs = env("RUNS", 100.0) as u64;
    for (measured, median, sigma) in [
        (Measured::Responses, 0.01, 1.0),
        (Measured::Responses, 0.01, 2.0),
        (Measured::Responses, 0.01, 0.2),
        (Measured::Connects, 0.01, 1.0),
        (Measured::Lifetimes, 0.5, 1.0),
        (Measured::Lifetimes, 0.5, 0.1),
        (Measured::Lifetimes, 30.0, 1.0),
        (Measured::Lifetimes, 0.01, 1.0),
    ] {
        for (rate, quiet) in [(200.0, 0), (200.0, 4000), (20.0, 0), (20.0, 4000), (1.0, 0)] {
            for times in [2.5, 5.0] {
                let most = if rate > 100.0 { 120 } else { 2000 };
                let mut delays = vec![];
                let mut wrong = 0;
                let mut clear = vec![];
                for seed in 0..(if quiet > 0 { runs / 5 } else { runs }) {
                    let mut pool = Servers::new(4, rate, median, sigma, seed * 7919 + 3).measuring(measured);
                    for _ in 0..quiet {
                        pool.step();
                    }
                    pool.servers[1].median *= times;
                    let hit = pool.until(most, |a| matches!(a, Answer::Found { .. }));
                    if let Some((s, a)) = &hit {
                        delays.push(*s);
                        wrong += (named(a) != vec![1]) as u32;
                        for _ in 0..20 {
                            let a = pool.step();
                            wrong += (named(&a) != vec![1]) as u32;
                        }
                        pool.servers[1].median = median;
                        clear.push(pool.until(3000, |a| named(a).is_empty()).map_or(9999, |x| x.0));
                    } else {
                        delays.push(9999)
                    }
                }
                delays.sort();
                clear.sort();
                let q = |d: &Vec<u32>, p: f64| {
                    if d.is_empty() { 0 } else { d[((d.len() - 1) as f64 * p) as usize] }
                };
                println!(
                    "{measured:?} {median} s{sigma} {rate}/s quiet {quiet} x{times}: p50 {} p90 {} p98 {} max {} wrong {wrong}; clear p50 {} p98 {} ",
                    q(&delays, 0.5),
                    q(&delays, 0.9),
                    q(&delays, 0.98),
                    q(&delays, 1.0),
                    q(&clear, 0.5),
                    q(&clear, 0.98)
                );
            }
        }
    }
}

#[test]
fn explore_false() {
    let days = env("DAYS", 0.2);
    let mut total = 0;
    for (measured, median, sigma) in [
        (Measured::Responses, 0.01, 1.0),
        (Measured::Responses, 0.01, 2.0),
        (Measured::Lifetimes, 0.5, 1.0),
        (Measured::Lifetimes, 30.0, 1.0),
        (Measured::Lifetimes, 0.5, 2.0),
    ] {
        for rate in [1.0, 20.0, 200.0] {
            for unequal in [false, true] {
                let mut pool =
                    Servers::new(4, rate, median, sigma, env("SEED", 5.0) as u64).measuring(measured);
                if unequal {
                    pool.servers[1].median *= 1.3;
                    pool.servers[2].median *= 1.3f64.sqrt();
                }
                let mut count = 0;
                let mut before = false;
                let mut clear = 0u64;
                let mut n = 0u64;
                let mut shown = 0;
                for _ in 0..(days * 86400.0) as u32 {
                    let a = pool.step();
                    let f = matches!(a, Answer::Found { .. });
                    if f && !before {
                        count += 1;
                        if shown < 2 {
                            shown += 1;
                            println!("   {} {a:?}", pool.now);
                        }
                    }
                    before = f;
                    n += 1;
                    clear += matches!(a, Answer::Clear) as u64;
                }
                total += count;
                println!(
                    "{measured:?} {median} s{sigma} {rate}/s unequal {unequal}: {count} in {days} days, clear {:.3}",
                    clear as f64 / n as f64
                );
            }
        }
    }
    println!("total {total}");
}
