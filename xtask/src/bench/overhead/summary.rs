//! What all rounds together say. Pure. Ratios are of two cases in the same round, so that what slows a round down is in both.

use serde::Serialize;

use super::{
    cases::{self, CASES, Case, Program, Refused, Runs},
    lab::Connections,
    measure::{Figures, Run},
    statistics::Quartiles,
};

/// What one case takes.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) case: &'static str,
    pub(super) rounds: usize,
    pub(super) new: Costs,
    pub(super) kept: Costs,
    pub(super) resident_kib: Option<Quartiles>,
    pub(super) kernel_bytes: Option<Quartiles>,
}

/// With one kind of connections. Times are nanoseconds a request.
#[derive(Debug, Serialize)]
pub(super) struct Costs {
    pub(super) requests_per_second: Option<Quartiles>,
    pub(super) p99_seconds: Option<Quartiles>,
    /// Of those with nothing.
    pub(super) requests_ratio: Option<Quartiles>,
    pub(super) p99_ratio: Option<Quartiles>,
    pub(super) programs_ns: Option<Quartiles>,
    pub(super) process_ns: Option<Quartiles>,
    /// Of the programs' time, over one empty program on `inet_sock_set_state`; for new connections only.
    pub(super) one_empty_ratio: Option<Quartiles>,
    /// The same, over empty programs on all hooks of the case.
    pub(super) floor_ratio: Option<Quartiles>,
    /// Programs and process together, over those of tcplife; for new connections only.
    pub(super) tcplife_ratio: Option<Quartiles>,
    /// Share of the connections that it did not count.
    pub(super) missed: Option<Quartiles>,
    /// All that it did not count, in all rounds; negative when it counted more than there were.
    pub(super) missed_connections: Option<i64>,
    pub(super) programs: Vec<ProgramCosts>,
}

/// Of one program, a request.
#[derive(Debug, Serialize)]
pub(super) struct ProgramCosts {
    pub(super) name: String,
    pub(super) runs: Option<Quartiles>,
    pub(super) ns: Option<Quartiles>,
}

/// A row for each case that ran, in the order of [`CASES`].
pub(super) fn summaries(runs: &[Run]) -> Vec<Summary> {
    CASES.iter().filter_map(|case| summary(case, runs)).collect()
}

fn summary(case: &Case, runs: &[Run]) -> Option<Summary> {
    let own: Vec<&Run> = runs.iter().filter(|run| run.case == case.name).collect();
    let of = |figure: &dyn Fn(&Run) -> Option<u64>| {
        Quartiles::of(own.iter().filter_map(|run| figure(run)).map(|figure| figure as f64))
    };
    (!own.is_empty()).then(|| Summary {
        case: case.name,
        rounds: own.len(),
        new: costs(case, &own, runs, Connections::New),
        kept: costs(case, &own, runs, Connections::Kept),
        resident_kib: of(&|run| run.resident_kib),
        kernel_bytes: of(&|run| run.kernel_bytes),
    })
}

fn costs(case: &Case, own: &[&Run], runs: &[Run], connections: Connections) -> Costs {
    let of = |figure: &dyn Fn(&Figures) -> Option<f64>| {
        Quartiles::of(own.iter().filter_map(|run| figure(run.of(connections))))
    };
    // In the rounds in which both were measured.
    let over = |other: &str,
                figure: &dyn Fn(&Figures) -> Option<f64>,
                base: &dyn Fn(&Figures) -> Option<f64>| {
        Quartiles::of(own.iter().filter_map(|run| {
            let other = runs.iter().find(|another| another.round == run.round && another.case == other)?;
            let base = base(other.of(connections)).filter(|&base| base > 0.0)?;
            Some(figure(run.of(connections))? / base)
        }))
    };
    let same = |other: &str, figure: &dyn Fn(&Figures) -> Option<f64>| over(other, figure, figure);
    let one_empty = |figures: &Figures| one(figures, super::empty::FIRST);
    let floor = case.floor(connections);
    // Hooks that kept connections hardly ever come by.
    let new_only = connections == Connections::New;
    Costs {
        requests_per_second: of(&|figures| Some(figures.requests_per_second)),
        p99_seconds: of(&|figures| Some(figures.p99_seconds)),
        requests_ratio: same(cases::NOTHING, &|figures| Some(figures.requests_per_second)),
        p99_ratio: same(cases::NOTHING, &|figures| Some(figures.p99_seconds)),
        programs_ns: of(&Figures::programs_ns),
        process_ns: of(&|figures| figures.process_ns),
        one_empty_ratio: new_only.then(|| over(cases::EMPTY, &Figures::programs_ns, &one_empty)).flatten(),
        floor_ratio: floor.and_then(|floor| same(floor, &Figures::programs_ns)),
        tcplife_ratio: new_only.then(|| same(cases::TCPLIFE, &together)).flatten(),
        missed: of(&Figures::missed),
        missed_connections: missed_connections(own, connections),
        programs: programs(own, connections),
    }
}

/// Time of one program.
fn one(figures: &Figures, name: &str) -> Option<f64> {
    figures.programs.iter().find(|program| program.name == name).map(|program| program.ns)
}

/// Programs and process. What a process has its programs do in its own time, as tracer's sweep, is in both.
fn together(figures: &Figures) -> Option<f64> {
    Some(figures.programs_ns()? + figures.process_ns.unwrap_or(0.0))
}

fn missed_connections(own: &[&Run], connections: Connections) -> Option<i64> {
    let missed = |run: &&Run| {
        let figures = run.of(connections);
        Some(figures.accepted.cast_signed() - figures.counted?.cast_signed())
    };
    own.iter().map(missed).sum()
}

fn programs(own: &[&Run], connections: Connections) -> Vec<ProgramCosts> {
    let each = || own.iter().flat_map(|run| &run.of(connections).programs);
    let mut names: Vec<&str> = each().map(|program| program.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let costs = |name: &str| {
        let of = || each().filter(|program| program.name == name);
        ProgramCosts {
            name: name.to_owned(),
            runs: Quartiles::of(of().map(|program| program.runs)),
            ns: Quartiles::of(of().map(|program| program.ns)),
        }
    };
    names.into_iter().map(costs).collect()
}

/// What should have been measured and was not: of the cases that ran, and tracer whether it ran or not.
pub(super) fn gaps(summaries: &[Summary], refused: &[Refused]) -> Vec<String> {
    let is_tracer = |name| {
        let runs = CASES.iter().find(|case| case.name == name).map(|case| &case.runs);
        matches!(runs, Some(Runs::Tool(tool)) if matches!(tool.program, Program::Tracer))
    };
    let tracer = refused.iter().filter(|refused| is_tracer(refused.case));
    let mut gaps: Vec<String> =
        tracer.map(|refused| format!("{}: {}", refused.case, refused.reason)).collect();
    for summary in summaries {
        let Some(case) = CASES.iter().find(|case| case.name == summary.case) else { continue };
        let mut need = |there: bool, what: &str| {
            if !there {
                gaps.push(format!("{}: {what}", case.name));
            }
        };
        let (has_programs, tool) = match &case.runs {
            Runs::Nothing => (false, None),
            Runs::Empty(_) => (true, None),
            Runs::Tool(tool) => (true, Some(tool)),
        };
        need(!has_programs || summary.new.programs_ns.is_some(), "its programs did not run");
        need(!has_programs || summary.kernel_bytes.is_some(), "no memory in the kernel");
        need(tool.is_none() || summary.resident_kib.is_some(), "no memory of its process");
        need(tool.is_none() || summary.new.process_ns.is_some(), "no time of its process");
        let counts_nothing = summary.new.missed.is_none_or(|missed| missed.median >= 1.0);
        need(tool.is_none_or(|tool| tool.counts.is_none()) || !counts_nothing, "it counted no connection");
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overhead::programs::Cost;

    fn figures(requests_per_second: f64, programs: &[(&str, f64)], process_ns: Option<f64>) -> Figures {
        let cost = |&(name, ns): &(&str, f64)| Cost { name: name.to_owned(), runs: 10.0, ns };
        Figures {
            requests_per_second,
            p99_seconds: 0.01,
            process_ns,
            programs: programs.iter().map(cost).collect(),
            accepted: 1_000,
            counted: process_ns.map(|_| 990),
        }
    }

    fn run(round: u16, case: &'static str, of: Figures) -> Run {
        let (resident_kib, kernel_bytes) = (of.process_ns.map(|_| 9_000), of.programs_ns().map(|_| 4_096));
        Run { round, case, new: of.clone(), kept: of, resident_kib, kernel_bytes }
    }

    /// Two rounds, the second on a machine half as fast.
    fn runs() -> Vec<Run> {
        let round = |round: u16, speed: f64| {
            let of = |requests: f64, programs: &[(&str, f64)], process: Option<f64>| {
                let slower: Vec<_> = programs.iter().map(|&(name, ns)| (name, ns / speed)).collect();
                figures(requests * speed, &slower, process.map(|ns| ns / speed))
            };
            let empty = [("empty_lifecycle", 400.0), ("empty_relief", 200.0)];
            [
                run(
                    round,
                    "tracer watch",
                    of(9_900.0, &[("lifecycle", 700.0), ("relief", 200.0)], Some(100.0)),
                ),
                run(round, cases::NOTHING, of(10_000.0, &[], None)),
                run(round, cases::TCPLIFE, of(6_000.0, &[("inet_sock_set_st", 20_000.0)], Some(10_000.0))),
                run(round, cases::EMPTY, of(9_950.0, &empty, None)),
            ]
        };
        [round(1, 1.0), round(2, 0.5)].concat()
    }

    fn median(quartiles: Option<Quartiles>) -> f64 {
        (quartiles.unwrap().median * 1e6).round() / 1e6
    }

    #[test]
    fn ratios_are_of_the_same_round_whatever_the_rounds_are_like() {
        let summaries = summaries(&runs());
        let names: Vec<_> = summaries.iter().map(|summary| summary.case).collect();
        assert_eq!(names, [cases::NOTHING, cases::EMPTY, "tracer watch", cases::TCPLIFE]);
        let watch = &summaries[2].new;
        assert_eq!(watch.requests_ratio, Quartiles::of([0.99, 0.99]));
        assert_eq!(median(watch.one_empty_ratio), 2.25);
        assert_eq!(median(watch.floor_ratio), 1.5);
        assert_eq!(median(watch.tcplife_ratio), 0.033_333);
        assert_eq!(median(watch.programs_ns), 1_350.0);
        assert_eq!((median(watch.missed), watch.missed_connections), (0.01, Some(20)));
        assert_eq!(watch.programs.len(), 2);
    }

    #[test]
    fn what_is_not_measured_is_unknown() {
        let summaries = summaries(&runs());
        let nothing = &summaries[0];
        assert!(nothing.new.programs_ns.is_none() && nothing.new.tcplife_ratio.is_none());
        assert!(nothing.resident_kib.is_none() && nothing.new.missed_connections.is_none());
        // The floor with exchanges was not run.
        assert!(summaries[2].kept.floor_ratio.is_none() && summaries[2].kept.one_empty_ratio.is_none());
    }

    #[test]
    fn a_case_that_ran_and_measured_nothing_is_named() {
        let mut runs = runs();
        assert_eq!(gaps(&summaries(&runs), &[]), Vec::<String>::new());
        for run in runs.iter_mut().filter(|run| run.case == cases::TCPLIFE) {
            (run.new.programs, run.new.counted) = (Vec::new(), Some(0));
        }
        let expected = ["tcplife: its programs did not run", "tcplife: it counted no connection"];
        assert_eq!(gaps(&summaries(&runs), &[]), expected);
    }

    #[test]
    fn another_tool_may_be_unable_to_run_and_tracer_may_not() {
        let refused = |case| Refused { case, reason: "no kprobes".to_owned() };
        assert_eq!(gaps(&[], &[refused("tcptop"), refused("tracer watch")]), ["tracer watch: no kprobes"]);
    }
}
