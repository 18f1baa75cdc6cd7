//! Set-up: finds everything that is missing first, and installs it only if all of it can be installed.

use std::{fmt::Write as _, path::Path, time::Instant};

use anyhow::{Result, bail};

use crate::{apt, bpf_linker, machine::Machine, rust_src, vmtest::qemu};

/// A program that something needs: package, the binary it is checked by (or a file, with its whole path), and why.
struct Program {
    package: &'static str,
    binary: &'static str,
    why: &'static str,
}

const TEST_PROGRAMS: &[Program] = &[
    Program { package: "nginx", binary: "nginx", why: "balancer under test" },
    Program {
        package: "libnginx-mod-stream",
        binary: "/usr/lib/nginx/modules/ngx_stream_module.so",
        why: "nginx as a balancer of TCP",
    },
    Program { package: "haproxy", binary: "haproxy", why: "balancer under test" },
    Program { package: "iproute2", binary: "ip", why: "network namespaces and addresses of the tests" },
    Program { package: "tmux", binary: "tmux", why: "a terminal for the tests of `tracer top`" },
    Program { package: "strace", binary: "strace", why: "a kernel that refuses, call by call" },
    Program {
        package: "faketime",
        binary: "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        why: "clocks that jump",
    },
    Program { package: "bpftool", binary: "bpftool", why: "a second opinion on what is loaded and pinned" },
    Program { package: "chromium", binary: "chromium", why: "a reader of the live page" },
    Program {
        package: "prometheus",
        binary: "promtool",
        why: "a reader of the metrics, and of rules on them",
    },
    Program {
        package: "prometheus-alertmanager",
        binary: "prometheus-alertmanager",
        why: "who is told of alerts",
    },
    Program {
        package: "qemu-system-x86",
        binary: qemu::PROGRAM,
        why: "other kernels than the one that runs here",
    },
];

/// What `pictures` needs.
const PICTURE_PROGRAMS: &[Program] = &[
    Program { package: "tmux", binary: "tmux", why: "a terminal to take a picture of" },
    Program { package: "chromium", binary: "chromium", why: "a browser to take a picture of" },
];

/// What `bench overhead` needs, and nothing else does.
const OVERHEAD_PROGRAMS: &[Program] = &[
    Program { package: "nginx", binary: "nginx", why: "balancer and backends" },
    Program { package: "iproute2", binary: "ip", why: "its network namespace" },
    Program { package: "wrk", binary: "wrk", why: "load" },
    Program { package: "bpftool", binary: "bpftool", why: "what programs in the kernel take" },
    Program { package: "bpftrace", binary: "bpftrace", why: "a tool to compare with" },
    Program { package: "libbpf-tools", binary: "tcplife", why: "tools to compare with" },
];

/// What `package --check` needs, and nothing else does.
const PACKAGE_PROGRAMS: &[Program] = &[
    Program { package: "lintian", binary: "lintian", why: "Debian's judgement on the package" },
    Program { package: "mmdebstrap", binary: "mmdebstrap", why: "a clean Debian to install it on" },
    Program {
        package: "systemd-container",
        binary: "systemd-nspawn",
        why: "systemd of that Debian, to run the service",
    },
];

/// A prerequisite that is not there.
struct Missing {
    what: &'static str,
    why: String,
    /// Debian packages to install, before anything else.
    packages: Vec<String>,
    /// What is to be done after that.
    then: Option<fn(&Machine) -> Result<()>>,
    /// The command that does `then` by hand.
    by_hand: Option<String>,
}

/// Installs what is missing to build tracer, and for the tests also what these need.
pub(crate) fn set_up(machine: &Machine, tests: bool) -> Result<()> {
    set_up_with(machine, if tests { TEST_PROGRAMS } else { &[] })
}

/// Installs what is missing to build tracer, and to compare what it costs with other tools.
pub(crate) fn set_up_overhead(machine: &Machine) -> Result<()> {
    set_up_with(machine, OVERHEAD_PROGRAMS)
}

/// Installs what is missing to build tracer, and to take pictures of it.
pub(crate) fn set_up_pictures(machine: &Machine) -> Result<()> {
    set_up_with(machine, PICTURE_PROGRAMS)
}

/// Installs what is missing to build tracer, and to try its package out.
pub(crate) fn set_up_package(machine: &Machine) -> Result<()> {
    set_up_with(machine, PACKAGE_PROGRAMS)
}

fn set_up_with(machine: &Machine, programs: &[Program]) -> Result<()> {
    let start = Instant::now();
    let mut missing: Vec<Missing> = [rust_src(machine), bpf_linker(machine)].into_iter().flatten().collect();
    missing.extend(absent(machine, programs));
    if missing.is_empty() {
        eprintln!("set-up: all there ({:.1} s)", start.elapsed().as_secs_f64());
        return Ok(());
    }
    let packages: Vec<String> = missing.iter().flat_map(|missing| missing.packages.clone()).collect();
    let debian = machine.find("apt-get").is_some();
    let can_install = machine.root && debian;
    if !packages.is_empty() && !can_install {
        bail!("{}", by_hand(&missing, debian));
    }
    for missing in &missing {
        eprintln!("set-up: {}: {}", missing.what, missing.why);
    }
    if !packages.is_empty() {
        step(&format!("Debian packages {}", packages.join(", ")), || apt::install(machine, &packages))?;
    }
    for missing in &missing {
        if let Some(then) = missing.then {
            step(missing.what, || then(machine))?;
        }
    }
    eprintln!("set-up: done ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

fn step(what: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    eprintln!("set-up: installing {what}");
    install()?;
    eprintln!("set-up: installed {what} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

fn rust_src(machine: &Machine) -> Option<Missing> {
    (!rust_src::present(machine)).then(|| Missing {
        what: "rust-src",
        why: format!("the sources of core are not in {}", machine.sysroot.display()),
        packages: Vec::new(),
        then: Some(rust_src::install),
        by_hand: Some("rustup component add rust-src".to_owned()),
    })
}

fn bpf_linker(machine: &Machine) -> Option<Missing> {
    let error = bpf_linker::check(machine).err()?;
    Some(Missing {
        what: "bpf-linker",
        why: format!("{error:#}"),
        packages: bpf_linker::missing_packages(machine),
        then: Some(bpf_linker::install),
        by_hand: Some(bpf_linker::by_hand(machine.rustc.llvm_major)),
    })
}

fn absent(machine: &Machine, programs: &[Program]) -> impl Iterator<Item = Missing> {
    let there = |binary: &str| Path::new(binary).is_absolute() && Path::new(binary).is_file();
    let absent = move |binary: &str| !there(binary) && machine.find(binary).is_none();
    programs.iter().filter(move |program| absent(program.binary)).map(|program| Missing {
        what: program.binary,
        why: format!("not there; it is for: {}", program.why),
        packages: vec![program.package.to_owned()],
        then: None,
        by_hand: None,
    })
}

/// What to do where we may not, or cannot, install packages.
fn by_hand(missing: &[Missing], debian: bool) -> String {
    let packages: Vec<&str> = missing.iter().flat_map(|m| &m.packages).map(String::as_str).collect();
    let packages = packages.join(" ");
    let mut text = if debian {
        "this needs packages, and only root can install them; nothing was changed. Run it as root once, or run:\n".to_owned()
    } else {
        "this needs packages, and there is no apt-get to install them; nothing was changed. Install:\n"
            .to_owned()
    };
    let command = if debian { "apt-get install " } else { "as Debian calls them: " };
    let mut line = |line: &str| {
        let _infallible = writeln!(text, "  {line}");
    };
    line(&format!("{command}{packages}"));
    missing.iter().filter_map(|missing| missing.by_hand.as_deref()).for_each(&mut line);
    text += "which is missing for:";
    for missing in missing {
        let _infallible = write!(text, "\n  {}: {}", missing.what, missing.why);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Vec<Missing> {
        let nothing =
            |what| Missing { what, why: "gone".to_owned(), packages: Vec::new(), then: None, by_hand: None };
        vec![
            Missing { by_hand: Some("rustup component add rust-src".to_owned()), ..nothing("rust-src") },
            Missing { packages: vec!["nginx".to_owned()], ..nothing("nginx") },
            Missing { packages: vec!["iproute2".to_owned()], ..nothing("ip") },
        ]
    }

    #[test]
    fn without_rights_it_names_every_command() {
        let text = by_hand(&missing(), true);
        assert!(text.contains("nothing was changed"), "{text}");
        assert!(
            text.contains("\n  apt-get install nginx iproute2\n  rustup component add rust-src\n"),
            "{text}"
        );
        assert!(text.ends_with("\n  rust-src: gone\n  nginx: gone\n  ip: gone"), "{text}");
    }

    #[test]
    fn without_apt_it_names_the_packages() {
        let text = by_hand(&missing(), false);
        assert!(text.contains("there is no apt-get"), "{text}");
        assert!(text.contains("\n  as Debian calls them: nginx iproute2\n"), "{text}");
    }
}
