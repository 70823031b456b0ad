//! Thousands of damaged snapshots, the same ones each time: an answer in bounded time, never a panic.

use std::time::{Duration, Instant};

use super::*;

/// xorshift64: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).unwrap()
    }

    fn number(&mut self) -> [u8; 8] {
        let interesting =
            [0, 1, 2, 3, 7, 15, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
        let number = match self.roll(3) {
            0 => self.roll(20) as u64,
            1 => interesting[self.roll(interesting.len())],
            _ => self.roll(usize::MAX) as u64,
        };
        number.to_le_bytes()
    }
}

/// Changes something. Meta pages keep a right checksum: otherwise nothing behind it would ever be reached.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let pages = bytes.len() / 4096;
    match dice.roll(8) {
        0 => {
            let at = dice.roll(bytes.len());
            bytes[at] ^= 1 << dice.roll(8);
        }
        // Headers and elements are where the structure is.
        1..=3 => {
            let width = [2, 4, 8][dice.roll(3)];
            let at = dice.roll(pages) * 4096 + dice.roll(40) * 4;
            bytes[at..at + width].copy_from_slice(&dice.number()[..width]);
        }
        4 => {
            let (from, to) = (dice.roll(pages) * 4096, dice.roll(pages) * 4096);
            bytes.copy_within(from..from + 4096, to);
        }
        5 => {
            let at = dice.roll(bytes.len() - 600);
            let (len, byte) = (dice.roll(600), dice.number()[0]);
            bytes[at..at + len].fill(byte);
        }
        6 => {
            let len = dice.roll(pages).max(3) * 4096;
            bytes.truncate(len);
        }
        _ => {
            let (id, field) = (dice.roll(2), 8 + 4 * dice.roll(11));
            let at = id * 4096 + 16 + field;
            bytes[at..at + 4].copy_from_slice(&dice.number()[..4]);
        }
    }
    for id in [0, 4096] {
        let sum = bytes[id + 16..id + 72].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        bytes[id + 72..id + 80].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn mutants_are_answered_in_time() {
    let member = NewMember { name: "a".to_owned(), peer_urls: vec!["http://10.0.0.1:2380".to_owned()] };
    let options = RestoreOptions { history: History::Bump(5), ..RestoreOptions::new("a", vec![member]) };
    for (line, seed) in LINES.into_iter().zip(1..) {
        let whole = bare(line);
        let mut dice = Dice(seed * 0x9e37_79b9);
        let (mut accepted, mut refused) = (0, 0);
        let scratch = Scratch::new(&whole);
        for n in 0..2500 {
            let mut bytes = whole.clone();
            for _ in 0..=dice.roll(3) {
                mutate(&mut bytes, &mut dice);
            }
            scratch.file.set_len(bytes.len() as u64).unwrap();
            scratch.put(0, &bytes);
            let started = Instant::now();
            match scratch.verify() {
                Ok(snapshot) => {
                    accepted += 1;
                    // Only now and then: each makes a log of 64 MB.
                    if accepted % 20 == 0 {
                        let target = scratch.dir.path().join("target");
                        if restore(&snapshot, &target, &options).is_ok() {
                            let report = verify(&target.join("member/snap/db"), VerifyOptions::default());
                            assert!(report.is_ok(), "{line}, mutant {n}: {report:?}");
                            fs::remove_dir_all(&target).unwrap();
                        }
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
            assert!(started.elapsed() < Duration::from_secs(5), "{line}, mutant {n}");
        }
        assert!(accepted > 100 && refused > 1000, "{line}: {accepted} accepted, {refused} refused");
    }
}
