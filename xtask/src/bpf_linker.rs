//! The linker of eBPF objects. Its LLVM has to read what the compiler's LLVM writes: same major version.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{capture, run_aside},
    machine::Machine,
};

/// The version that is installed; another one that works is taken as it is.
const VERSION: &str = "0.13.0";

/// Has the bpf-linker on `PATH` link a program of this compiler. It takes a tenth of a second, so it is never
/// remembered: a linker, or the LLVM library it uses, can change at any time.
pub(crate) fn check(machine: &Machine) -> Result<()> {
    let Some(linker) = machine.find("bpf-linker") else { bail!("bpf-linker is not on PATH") };
    let folder = machine.scratch("probe")?;
    let source = machine.workspace.join("xtask/probe.rs");
    let (bitcode, object) = (folder.join("probe.bc"), folder.join("probe.o"));
    capture(
        machine
            .command("rustc")
            .args(["--edition=2024", "--crate-type=lib", "--emit=llvm-bc", "--target=bpfel-unknown-none"])
            .args(["-Copt-level=2", "-Cpanic=abort", "-o"])
            .args([&bitcode, &source])
            .env("RUSTC_BOOTSTRAP", "1"),
    )
    .context("this compiler does not take xtask/probe.rs, by which bpf-linker is tried out")?;
    let mut link = machine.command("bpf-linker");
    capture(link.args(["--emit=obj", "--export=probe", "--output"]).args([&object, &bitcode]))
        .with_context(|| format!("{} does not work with this compiler", linker.display()))?;
    // EM_BPF, little-endian, at its place in the ELF header.
    let header = std::fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
    if header.get(18..20) != Some(&[247, 0]) {
        bail!("{} made something that is no eBPF object", linker.display());
    }
    Ok(())
}

/// The packages that bpf-linker is built from, where they are not installed.
pub(crate) fn missing_packages(machine: &Machine) -> Vec<String> {
    let llvm = llvm_folder(machine);
    let mut missing = Vec::new();
    for (package, file) in packages(machine.rustc.llvm_major) {
        if !Path::new(&llvm).join(file).exists() {
            missing.push(package);
        }
    }
    if machine.find("cc").is_none() || machine.find("c++").is_none() {
        missing.push("build-essential".to_owned());
    }
    missing
}

/// Builds it from crates.io against Debian's LLVM, into cargo's folder of programs.
pub(crate) fn install(machine: &Machine) -> Result<()> {
    let major = machine.rustc.llvm_major;
    let mut path = std::ffi::OsString::from(llvm_folder(machine) + "/bin:");
    path.push(&machine.path);
    run_aside(
        machine
            .command("cargo")
            // Forced: the one that is there, if any, does not work.
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--quiet"])
            .args(["--no-default-features", "--features", &format!("llvm-{major}")])
            .env("PATH", path),
        &format!("bpf-linker {VERSION} is built from crates.io, by LLVM {major}, which rustc has too"),
    )?;
    check(machine).context("bpf-linker was installed, but one that does not work comes first on PATH")
}

/// What one types to install it without us.
pub(crate) fn by_hand(major: u32) -> String {
    format!(
        "PATH=/usr/lib/llvm-{major}/bin:$PATH cargo install bpf-linker --version {VERSION} --locked --force \
         --no-default-features --features llvm-{major}"
    )
}

/// Packages, and for each a file of it below the folder of LLVM.
fn packages(major: u32) -> [(String, &'static str); 3] {
    [
        (format!("llvm-{major}-dev"), "include/llvm-c/Core.h"),
        (format!("libpolly-{major}-dev"), "lib/libPolly.a"),
        ("libzstd-dev".to_owned(), "/usr/include/zstd.h"),
    ]
}

fn llvm_folder(machine: &Machine) -> String {
    format!("/usr/lib/llvm-{}", machine.rustc.llvm_major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_follow_the_compiler() {
        let names = packages(23).map(|(name, _file)| name);
        assert_eq!(names, ["llvm-23-dev", "libpolly-23-dev", "libzstd-dev"]);
    }
}
