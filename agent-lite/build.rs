//! Has the linker fold functions of equal code in builds that are optimised: generic code comes to the same
//! machine code for many types. Only where the pinned toolchain links with its own lld, which is on
//! x86-64 Linux with glibc; others may have a linker that does not know the word: then `WEIR_NO_ICF=1` leaves
//! it out. Functions are not told apart by their addresses here.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WEIR_NO_ICF");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let may = std::env::var_os("WEIR_NO_ICF").is_none();
    if may && is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bin=weir-agent-lite=-Wl,--icf=all");
    }
}
