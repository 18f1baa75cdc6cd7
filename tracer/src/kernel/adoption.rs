//! Connections that were there before: two runs over every open file, once, when all else counts.

use super::bpf::run_iterator;
use super::object::program;
use super::refusal::refusal;
use aya::Ebpf;
use aya::programs::Iter;
use std::fs::File;
use tracer_ebpf::programs;

/// The two programs, as far as they are attached, and not run yet.
#[derive(Default)]
pub(super) struct Adoption {
    listeners: Option<File>,
    adopt: Option<File>,
}

impl Adoption {
    /// Loads and attaches one of the two.
    ///
    /// # Errors
    /// What the kernel says, in one line.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, name: &str, btf: &aya::Btf) -> Result<(), String> {
        let program: &mut Iter = program(ebpf, name)?;
        program.load("task_file", btf).map_err(|error| refusal(&error))?;
        let link = program.attach().map_err(|error| refusal(&error))?;
        let link = program.take_link(link).map_err(|error| refusal(&error))?;
        let run = link.into_file().map_err(|error| error.to_string())?;
        let place = if name == programs::LISTENERS { &mut self.listeners } else { &mut self.adopt };
        *place = Some(run);
        Ok(())
    }

    /// Runs both in their order and takes them out of the kernel. Without the first nothing is adopted: an accepted
    /// connection could be taken for an opened one.
    ///
    /// # Errors
    /// Why nothing, or not everything, was adopted.
    pub(super) fn run(self, ebpf: &mut Ebpf) -> Result<(), String> {
        let ran = match (self.listeners, self.adopt) {
            (Some(listeners), Some(adopt)) => run_iterator(listeners)
                .and_then(|()| run_iterator(adopt))
                .map_err(|error| format!("running it: {error}")),
            _ => Err(format!("it needs the program `{}`", programs::LISTENERS)),
        };
        for name in [programs::LISTENERS, programs::ADOPT] {
            if let Ok(program) = program::<Iter>(ebpf, name) {
                // One that was not loaded has nothing to unload.
                let _ = program.unload();
            }
        }
        ran
    }
}
