//! The program as a file: it must run on any machine, whatever libraries that has.

/// Type of the program header that names a dynamic loader (ELF specification, `PT_INTERP`).
const INTERPRETER: usize = 3;

#[test]
fn it_is_linked_statically() {
    let file = std::fs::read(env!("CARGO_BIN_EXE_rkadm")).unwrap();
    assert_eq!(file[..5], *b"\x7fELF\x02", "no 64-bit ELF file");
    let number = |at: usize, bytes: usize| {
        file[at..at + bytes].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (first, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    assert!(count > 0);
    let types: Vec<_> = (0..count).map(|header| number(first + header * size, 4)).collect();
    assert!(!types.contains(&INTERPRETER), "it wants a dynamic loader: {types:?}");
}
