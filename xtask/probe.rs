//! The smallest program that LLVM can make an eBPF object of: with it a bpf-linker is tried out before it is trusted.
//! It names what the language itself is made of, so that it needs no `core`; compiled by `src/bpf_linker.rs` only.
#![feature(no_core, lang_items)]
#![expect(internal_features, reason = "core for the BPF target is built later, by means of what is tried out here")]
#![no_core]
#![no_main]

#[lang = "pointee_sized"]
trait PointeeSized {}
#[lang = "meta_sized"]
trait MetaSized: PointeeSized {}
#[lang = "sized"]
trait Sized: MetaSized {}
#[lang = "copy"]
trait Copy {}
impl Copy for u64 {}

#[unsafe(no_mangle)]
#[unsafe(link_section = "socket")]
extern "C" fn probe() -> u64 {
    0
}
