//! Passes the linker what only the eBPF object needs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("bpf") {
        // v3: compare-exchange and 32-bit registers, in every kernel since 5.12.
        println!("cargo:rustc-link-arg-bins=--cpu=v3");
    }
}
