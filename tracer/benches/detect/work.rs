//! Many independent pieces of work on several threads.

use super::arguments::Arguments;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pool-years and runs unless told.
const YEARS: f64 = 4.0;
const RUNS: usize = 200;
const QUICK_YEARS: f64 = 0.01;
const QUICK_RUNS: usize = 20;

/// What the user asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) only: Option<String>,
    /// Simulated pool-years of a cell that is cheap.
    pub(crate) years: f64,
    pub(crate) runs: usize,
    pub(crate) seed: u64,
    pub(crate) jobs: usize,
}

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let quick = arguments.quick;
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            quick,
            only: arguments.only.clone(),
            years: arguments.years.unwrap_or(if quick { QUICK_YEARS } else { YEARS }),
            runs: arguments.runs.map_or(if quick { QUICK_RUNS } else { RUNS }, usize::from),
            seed: arguments.seed,
            jobs: arguments.jobs.map_or_else(processors, usize::from),
        }
    }

    /// Whether a cell is wanted.
    pub(crate) fn wants(&self, cell: &str) -> bool {
        self.only.as_ref().is_none_or(|only| cell.contains(only.as_str()))
    }

    /// Does every task, the first ones first; the results are in the tasks' order. Says on stderr what is done.
    pub(crate) fn all<T: Sync, R: Send>(
        &self,
        tasks: &[T],
        name: impl Fn(&T) -> String + Sync,
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, tasks.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(task) = tasks.get(number) else { break };
                        let began = std::time::Instant::now();
                        let result = work(task);
                        let seconds = began.elapsed().as_secs_f64();
                        eprintln!("[{}/{}] {} ({seconds:.1} s)", number + 1, tasks.len(), name(task));
                        results
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push((number, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, result)| result).collect()
    }
}
